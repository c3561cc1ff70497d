"""Print how imgkit compares with the tools that it replaces: `python -m benchmarks [--quick]`.

Everything is measured in this run on this machine, on copies of one Debian image, as whole processes. The appliance
tools run with the direct backend; without KVM they, and the guestfs engine, emulate.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

import imgkit
from benchmarks.measure import IMGKIT, Figure, compare, measure, seconds
from fixtures.catalog import fixture
from imgkit.guest.kvm import kvm_works

_FEW, _MANY, _COPIES = 3, 15, 16
_ROOT, _BLOCK, _LOGGED = 526336 * 512, 4096, range(1100, 2100)  # where / of image a begins, and blocks of its metadata


@dataclass(slots=True)
class Bench:
    """A folder with the image to be measured on, and the table that fills."""

    folder: Path
    original: Path
    quick: bool
    table: Table = field(default_factory=lambda: Table("task", "imgkit", "peer", "ratio", "wanted", "peak"))

    def fresh(self) -> Path:
        """Make the working image anew."""
        return self._copy(self.folder / "image.qcow2")

    def copies(self, number: int) -> list[Path]:
        """Images of the same content, a file each."""
        return [self._copy(self.folder / f"copy-{count}.qcow2") for count in range(number)]

    def imgkit(self, *arguments: str | Path, runs: int = _MANY) -> Figure:
        """Measure one imgkit command, with a fresh image for each run."""
        return measure((IMGKIT, *arguments), runs=runs, prepare=self.fresh)

    def peer(self, *argv: str | Path, runs: int = _FEW) -> Figure:
        """Measure one command of another tool, with a fresh image for each run."""
        return measure(argv, runs=1 if self.quick else runs, prepare=self.fresh)

    def row(self, task: str, ours: Figure, theirs: Figure, wanted: str) -> None:
        """Add a comparison."""
        compare(self.table, task, ours, theirs, wanted)

    def _copy(self, to: Path) -> Path:
        to.unlink(missing_ok=True)
        subprocess.run(["cp", "--reflink=auto", self.original, to], check=True)
        to.chmod(0o644)
        os.sync()  # or the first fsync of what is measured would pay for this copy
        return to


def main() -> None:
    """Measure all and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="run each appliance tool once only")
    arguments = parser.parse_args()
    os.environ.setdefault("LIBGUESTFS_BACKEND", "direct")
    if not kvm_works():
        os.environ.setdefault("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")
    with tempfile.TemporaryDirectory(prefix="imgkit-bench-", dir=os.environ.get("TMPDIR")) as folder:
        bench = Bench(Path(folder), fixture("a"), arguments.quick)
        start = bench.imgkit("--version")
        _enable(bench, start)
        _enable_on_lvm(bench, start)
        _enable_in_a_kernel(bench)
        _read(bench)
        _throughput(bench)
    note = f"start-up: `imgkit --version` {seconds(start)}, peak {start.peak >> 20} MiB"
    Console(width=120).print(bench.table, note)


def _enable(bench: Bench, start: Figure) -> None:
    image = bench.folder / "image.qcow2"
    uploads = _same_edits(bench)
    ours = bench.imgkit("console", "enable", image, "--in-place")
    customize = bench.peer("virt-customize", "--no-network", "-a", image, *uploads)
    bench.row("console enable | virt-customize, same edits", ours, customize, "at least 60 x")
    appliance = bench.imgkit(
        "console", "enable", image, "--in-place", "--engine", "guestfs", runs=1 if bench.quick else _FEW
    )
    bench.row("… --engine guestfs | virt-customize", appliance, customize, "at least 1.43 x")
    above = Figure(tuple(each - start.median for each in ours.seconds), ours.peak)
    bench.table.add_row(
        "console enable, above start-up", seconds(above), "", "", "at most 0.2 s", f"{above.peak >> 20} MiB"
    )


def _enable_on_lvm(bench: Bench, start: Figure) -> None:
    """The same on ext4 on a logical volume, as guided partitioning lays it, and on one that was not unmounted."""
    (bench.folder / "lvm").mkdir()
    (bench.folder / "dirty").mkdir()
    lvm = Bench(bench.folder / "lvm", fixture("guided"), bench.quick, bench.table)
    dirty = Bench(bench.folder / "dirty", _dirty_copy(bench), bench.quick, bench.table)
    for task, each in (("ext4 on LVM", lvm), ("ext4 with a journal to be replayed", dirty)):
        ours = each.imgkit("console", "enable", each.folder / "image.qcow2", "--in-place", "--engine", "native")
        above = Figure(tuple(took - start.median for took in ours.seconds), ours.peak)
        bench.table.add_row(
            f"… {task}, above start-up", seconds(above), "", "", "at most 0.3 s", f"{ours.peak >> 20} MiB"
        )


def _enable_in_a_kernel(bench: Bench) -> None:
    """The same on XFS on a logical volume, which only Linux writes."""
    (bench.folder / "xfs").mkdir()
    xfs = Bench(bench.folder / "xfs", fixture("d"), bench.quick, bench.table)
    image = xfs.folder / "image.qcow2"
    uploads = _same_edits(xfs)
    ours = xfs.imgkit("console", "enable", image, "--in-place", "--engine", "uml", runs=_FEW)
    customize = xfs.peer("virt-customize", "--no-network", "-a", image, *uploads)
    xfs.row("… XFS on LVM, --engine uml | virt-customize", ours, customize, "at least 11 x")


def _dirty_copy(bench: Bench) -> Path:
    """The image with 1,000 blocks of / in its journal, as after a power cut."""
    raw, blocks, dirty = bench.folder / "dirty.raw", bench.folder / "blocks", bench.folder / "dirty.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "raw", bench.original, raw], check=True)
    with raw.open("rb") as file:
        file.seek(_ROOT + _LOGGED.start * _BLOCK)
        blocks.write_bytes(file.read(len(_LOGGED) * _BLOCK))
    script = f"jo -c\njw -b {','.join(map(str, _LOGGED))} {blocks}\njc\n"
    debugfs = shutil.which("debugfs", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or "debugfs"
    argv = [debugfs, "-w", "-f", "-", f"{raw}?offset={_ROOT}"]
    subprocess.run(argv, input=script, text=True, capture_output=True, check=True)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, dirty], check=True)
    raw.unlink()
    return dirty


def _same_edits(bench: Bench) -> list[str]:
    """Options of virt-customize that make the files that imgkit would."""
    wanted = imgkit.enable_console(bench.original)
    options = []
    for number, change in enumerate(wanted.changes):
        file = bench.folder / f"edit-{number}"
        file.write_bytes(change.after or b"")
        options += ["--mkdir", str(Path(change.path).parent), "--upload", f"{file}:{change.path}"]
    return options


def _read(bench: Bench) -> None:
    image, raw = bench.folder / "image.qcow2", bench.folder / "disk.raw"
    file = "/etc/default/grub"
    bench.row("cat | virt-cat", bench.imgkit("cat", image, file), bench.peer("virt-cat", "-a", image, file), "faster")
    inspected = bench.imgkit("inspect", "--json", image)
    bench.row("inspect | virt-inspector", inspected, bench.peer("virt-inspector", "-a", image), "at least 60 x")
    subprocess.run(["qemu-img", "convert", "-O", "raw", bench.original, raw], check=True)
    sfdisk = shutil.which("sfdisk", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or "sfdisk"
    bench.row(
        "inspect, whole | sfdisk --json, table only",
        bench.imgkit("inspect", "--json", raw),
        bench.peer(sfdisk, "--json", raw, runs=_MANY),
        "",
    )


def _throughput(bench: Bench) -> None:
    images = bench.copies(_COPIES)
    argv = [sys.executable, "-m", "benchmarks.throughput", *map(str, images)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    bench.table.add_row(
        "console enable, library, one process", f"{float(done.stdout):.0f} images/s", "", "", "at least 50 images/s"
    )


if __name__ == "__main__":
    main()
