"""How many disks a second a batch does, over worker processes and over the number of images.

    python -m benchmarks.batches [NUMBER]

Each disk is a private copy of the small Debian fixture (qcow2, 3 MB), edited in place, commit and undo file included.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import IMGKIT, BenchmarkError
from fixtures.catalog import fixture

_PLAN = 'inputs = ["*.qcow2"]\nin-place = true\n[operation]\nkind = "console enable"\n'


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"{'images':>8} {'jobs':>5} {'seconds':>8} {'images/s':>9}  coordinator's peak")
    for images, jobs in ((number, 1), (number, 2), (number // 10, 2)):
        seconds, peak = measure(images, jobs)
        print(f"{images:8,} {jobs:5} {seconds:8.2f} {images / seconds:9.1f}  {peak >> 10} MiB", flush=True)


def measure(images: int, jobs: int) -> tuple[float, int]:
    """Seconds from start to end of the command, and the most memory that the coordinator held, in KiB."""
    with tempfile.TemporaryDirectory(prefix="imgkit-batch-") as name:
        folder = Path(name)
        for n in range(images):
            path = folder / f"disk-{n:05}.qcow2"
            shutil.copyfile(fixture("small-qcow2"), path)
        (folder / "plan.toml").write_text(_PLAN)
        os.sync()  # else the first fsync of each image would write the whole copy
        started = time.monotonic()
        with subprocess.Popen([IMGKIT, "batch", "run", folder / "plan.toml", "--jobs", str(jobs)]) as running:
            peak = 0
            while running.poll() is None:
                peak = max(peak, _peak(running.pid))
                time.sleep(0.02)
        if running.returncode:
            raise BenchmarkError(f"imgkit batch run ended with status {running.returncode}")
        return time.monotonic() - started, peak


def _peak(pid: int) -> int:
    """A process's own peak of memory, in KiB; 0 once it has ended. Children do not count, unlike with wait4(2)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


if __name__ == "__main__":
    main()
