"""Time and memory of a whole process, over several runs."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table


IMGKIT = Path(sys.executable).with_name("imgkit")


class BenchmarkError(Exception):
    """A measured command failed."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Seconds of each run, and the most memory that any run's process held, in bytes."""

    seconds: tuple[float, ...]
    peak: int

    @property
    def median(self) -> float:
        """Median of the runs' seconds."""
        return statistics.median(self.seconds)


def seconds(figure: Figure) -> str:
    """The median, for a table."""
    return f"{figure.median:.3f} s" if figure.median < 1 else f"{figure.median:.1f} s"


def compare(table: Table, task: str, ours: Figure, theirs: Figure, wanted: str) -> None:
    """Add a row: task, both times, how many times faster or slower, what is wanted, and our peak memory."""
    ratio = theirs.median / ours.median
    told = f"{ratio:.3g} x faster" if ratio >= 1 else f"{1 / ratio:.3g} x slower"
    table.add_row(task, seconds(ours), seconds(theirs), told, wanted, f"{ours.peak >> 20} MiB")


def measure(
    argv: Sequence[str | Path], *, runs: int, prepare: Callable[[], object] | None = None, cwd: Path | None = None
) -> Figure:
    """Run a command several times; `prepare` goes before each run, and is not timed. Raises `BenchmarkError`."""
    seconds, peak = [], 0
    for _ in range(runs):
        if prepare is not None:
            prepare()
        elapsed, memory = _once(list(map(str, argv)), cwd)
        seconds.append(elapsed)
        peak = max(peak, memory)
    return Figure(tuple(seconds), peak)


def _once(argv: list[str], cwd: Path | None) -> tuple[float, int]:
    """Seconds, and bytes of the largest process: for tools that fork QEMU that is the tool, not the appliance."""
    started = time.perf_counter()
    process = subprocess.Popen(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    complaint = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode != 0:
        raise BenchmarkError(f"{' '.join(argv)}: status {process.returncode}: {complaint.decode(errors='replace')}")
    return elapsed, usage.ru_maxrss * 1024
