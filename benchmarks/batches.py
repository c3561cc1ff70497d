"""How fast batches are, beside loops over the tools that they replace: `python -m benchmarks.batches [NUMBER]`.

Each disk is a private copy of the small Debian fixture (qcow2, 3 MB), edited in place, commit and undo file included;
each ISO a new file of the Debian one (130 MB), synced. Start-up of the command and of its workers counts in all
figures but Dask's, which is the difference between long and short batches.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import imgkit
from benchmarks.measure import IMGKIT, BenchmarkError, measure
from fixtures.catalog import fixture
from imgkit.guest.kvm import kvm_works

if TYPE_CHECKING:
    from collections.abc import Iterator


_DISKS = 'inputs = ["*.qcow2"]\nin-place = true\n[operation]\nkind = "console enable"\n'
_ISOS = 'inputs = ["*.iso"]\noutput = "out/{name}"\n[operation]\nkind = "console enable"\n'
_ISO_COPIES = 8


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    if not kvm_works():
        os.environ.setdefault("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")
    os.environ.setdefault("LIBGUESTFS_BACKEND", "direct")
    print(f"{'images':>8} {'jobs':>5} {'seconds':>8} {'images/s':>9}  coordinator's peak")
    rates, peaks = {}, {}
    for images, jobs in ((number, 1), (number, 2), (number // 10, 2)):
        seconds, peak = disks(images, "--jobs", str(jobs))
        rates[images, jobs], peaks[images] = images / seconds, peak
        print(f"{images:8,} {jobs:5} {seconds:8.2f} {images / seconds:9.1f}  {peak >> 10} MiB", flush=True)
    two = rates[number, 2]
    _tell("disks a second, two jobs", f"{two:.1f}", "at least 40")
    _tell("two jobs against one", f"{two / rates[number, 1]:.2f} x", "at least 1.7 x")
    grown = (peaks[number] - peaks[number // 10]) >> 10
    _tell("coordinator's peak, ten times the images", f"+{grown} MiB", "flat")
    _tell("Dask's cost an image, two workers", f"{dask_cost(number // 2) * 1000:.1f} ms", "at most 10 ms")
    ours, loop = isos()
    _tell("ISOs a second | loop over xorriso", f"{ours:.2f} | {loop:.2f}, {ours / loop:.2f} x", "at least 1.7 x")
    customize = virt_customize()
    _tell("disks | loop over virt-customize", f"{two:.1f} | {customize:.4f}, {two / customize:.0f} x", "at least 500 x")


def _tell(what: str, figure: str, wanted: str) -> None:
    print(f"{what:45} {figure:28} {wanted}", flush=True)


@contextmanager
def _copies(name: str, number: int, plan: str) -> Iterator[Path]:
    """A folder with so many copies of a fixture, and a plan."""
    with tempfile.TemporaryDirectory(prefix="imgkit-batch-") as made:
        folder = Path(made)
        source = fixture(name)
        for n in range(number):
            path = folder / f"image-{n:05}{source.suffix}"
            shutil.copyfile(source, path)
        (folder / "plan.toml").write_text(plan)
        os.sync()  # else the first fsync of each image would write the whole copy
        yield folder


def disks(images: int, *options: str) -> tuple[float, int]:
    """Seconds from start to end of the command, and the most memory that the coordinator held, in KiB."""
    with _copies("small-qcow2", images, _DISKS) as folder:
        return _run(folder, *options)


def _run(folder: Path, *options: str) -> tuple[float, int]:
    started = time.monotonic()
    command = [IMGKIT, "batch", "run", folder / "plan.toml", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as running:
        peak = 0
        while running.poll() is None:
            peak = max(peak, _peak(running.pid))
            time.sleep(0.02)
        if running.returncode:
            raise BenchmarkError(f"imgkit batch run: {running.stderr.read().decode() if running.stderr else ''}")
    return time.monotonic() - started, peak


def dask_cost(images: int) -> float:
    """Seconds that an image costs more with two Dask workers than with two processes of our own.

    Measured on images that are not there, which cost nothing themselves.
    """

    def each(*options: str) -> float:
        long, short = _nothing(images, *options), _nothing(images // 5, *options)
        return (long - short) / (images - images // 5)

    with _dask() as address:
        return each("--scheduler", address) - each("--jobs", "2")


def _nothing(images: int, *options: str) -> float:
    with tempfile.TemporaryDirectory(prefix="imgkit-batch-") as made:
        plan, names = Path(made) / "plan.toml", Path(made) / "names"
        names.write_text("".join(f"{n}.qcow2\n" for n in range(images)))
        plan.write_text(_DISKS.replace('inputs = ["*.qcow2"]', 'list = "names"'))
        started = time.monotonic()
        done = subprocess.run([IMGKIT, "batch", "run", plan, *options], stderr=subprocess.DEVNULL, check=False)
        if done.returncode != 1:
            raise BenchmarkError(f"imgkit batch run of missing images ended with status {done.returncode}")
        return time.monotonic() - started


@contextmanager
def _dask() -> Iterator[str]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imgkit-dask-")))
        where = folder / "scheduler.json"

        def start(*words: str | Path) -> None:
            dask = Path(sys.executable).with_name("dask")
            process = subprocess.Popen(
                [dask, *words, "--no-dashboard"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.kill)

        start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", where)
        while not where.exists():
            time.sleep(0.1)
        for _ in range(2):
            start("worker", "--scheduler-file", where, "--nthreads", "1", "--no-nanny", "--local-directory", folder)
        address = json.loads(where.read_text())["address"]
        from distributed import Client  # noqa: PLC0415  slow to import

        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2)
        yield address


def isos() -> tuple[float, float]:
    """ISOs a second as one batch, and in a loop over xorriso that puts in the same files."""
    with _copies("iso-debian", _ISO_COPIES, _ISOS) as folder:
        ours = _run(folder, "--jobs", "2")[0]
        updates = _edited_files("iso-debian", folder)
        (folder / "loop").mkdir()
        os.sync()
        words = " ".join(f"-update {file} {path}" for file, path in updates)
        replay = f'xorriso -indev "$i" -outdev "loop/$i" -boot_image any replay {words} && sync "loop/$i"'
        loop = measure(["sh", "-c", f"for i in *.iso; do {replay} || exit 1; done"], runs=1, cwd=folder).median
    return _ISO_COPIES / ours, _ISO_COPIES / loop


def virt_customize() -> float:
    """Disks a second in a loop over virt-customize that puts in the same files. Two rounds are enough to tell."""
    with _copies("small-qcow2", 2, _DISKS) as folder:
        options = [
            word
            for file, path in _edited_files("small-qcow2", folder)
            for word in ("--mkdir", str(Path(path).parent), "--upload", f"{file}:{path}")
        ]
        seconds = [
            measure(["virt-customize", "--no-network", "-a", image, *options], runs=1).median
            for image in sorted(folder.glob("*.qcow2"))
        ]
    return 1 / min(seconds)


def _edited_files(name: str, folder: Path) -> list[tuple[Path, str]]:
    """The files that imgkit would change, as files here, and where they go."""

    files = []
    for number, change in enumerate(imgkit.enable_console(fixture(name)).changes):
        file = folder / f"edit-{number}"
        file.write_bytes(change.after or b"")
        files.append((file, change.path))
    return files


def _peak(pid: int) -> int:
    """A process's own peak of memory, in KiB; 0 once it has ended. Children do not count, unlike with wait4(2)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


if __name__ == "__main__":
    main()
