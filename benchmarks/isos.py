"""Editing ISOs against cp and xorriso: `python -m benchmarks.isos`.

An ISO of 400 MiB gets its serial console as a new file and in place; xorriso is given the same edited files. All
results are synced. Planning is measured on an ISO with 50,000 files.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

import imgkit
from benchmarks.measure import IMGKIT, Figure, compare, measure, seconds
from fixtures.catalog import fixture

_RUNS = 7


def main() -> None:
    """Measure all and print the table."""
    table = Table("task", "imgkit", "peer", "ratio", "wanted", "peak")
    source, many = fixture("iso-debian-400"), fixture("iso-many")
    with tempfile.TemporaryDirectory(prefix="imgkit-bench-", dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        image, new = folder / "image.iso", folder / "new.iso"
        updates = _same_edits(source, folder)

        def no_output() -> None:
            new.unlink(missing_ok=True)
            os.sync()

        def fresh() -> None:
            shutil.copyfile(source, image)
            os.sync()

        start = measure([IMGKIT, "--version"], runs=_RUNS)
        fresh()
        ours = measure([IMGKIT, "console", "enable", image, "-o", new], runs=_RUNS, prepare=no_output)
        copy = measure(_durable(new, "cp", "--reflink=never", image, new), runs=_RUNS, prepare=no_output)
        replay = _durable(new, "xorriso", "-indev", image, "-outdev", new, "-boot_image", "any", "replay", *updates)
        theirs = measure(replay, runs=_RUNS, prepare=no_output)
        without_start = Figure(tuple(each - start.median for each in ours.seconds), ours.peak)
        compare(table, "new file, less start-up | cp --reflink=never", without_start, copy, "at most 1.15 x slower")
        compare(table, "new file | xorriso -indev -outdev", ours, theirs, "at least 1.7 x faster")
        in_place = measure([IMGKIT, "console", "enable", image, "--in-place"], runs=_RUNS, prepare=fresh)
        grown = _durable(image, "xorriso", "-dev", image, "-boot_image", "any", "keep", *updates)
        compare(table, "in place | xorriso -dev", in_place, measure(grown, runs=_RUNS, prepare=fresh), "faster, 0.5 s")
        floor = measure([sys.executable, "-c", "import typer"], runs=_RUNS)
        table.add_row("of that, python -c 'import typer'", seconds(floor), "", "", "", f"{floor.peak >> 20} MiB")
        plan = measure([IMGKIT, "console", "enable", many, "--dry-run"], runs=_RUNS)
        table.add_row("planning, 50,000 files", seconds(plan), "", "", "at most 1.0 s", f"{plan.peak >> 20} MiB")
    Console(width=120).print(table)


def _durable(result: Path, *argv: str | Path) -> list[str | Path]:
    """A command, and the sync of its result: imgkit does not return before its own is on the disk."""
    return ["sh", "-c", '"$@" && sync "$0"', result, *argv]


def _same_edits(source: Path, folder: Path) -> list[str]:
    """Commands of xorriso that put in the files that imgkit would."""

    words = []
    for number, change in enumerate(imgkit.enable_console(source).changes):
        file = folder / f"edit-{number}"
        file.write_bytes(change.after or b"")
        words += ["-update", str(file), change.path]
    return words


if __name__ == "__main__":
    main()
