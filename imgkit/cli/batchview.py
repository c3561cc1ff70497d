"""How a batch is seen while it runs: a bar for who runs it, a table for who looks at its ledger."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from imgkit.visible import visible_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imgkit.batch.ledger import Ledger, Outcome, Record, State

_POLL = 0.5  # seconds between two looks at a ledger
_LATEST = 10  # images that the table names


def total(counts: dict[State, int]) -> str:
    """How many images there are of each state, in words."""
    return ", ".join(f"{number:,} {state}" for state, number in counts.items() if number) or "no images"


@contextmanager
def progress_of(images: int) -> Iterator[Callable[[Outcome], None]]:
    """A callback for each outcome, which moves a bar on standard error if that is a terminal."""
    if not sys.stderr.isatty() or not images:
        yield lambda _outcome: None
        return
    from rich.console import Console  # rich takes 60 ms to import
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from imgkit.batch.ledger import State

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}{task.fields[failed]}"),
        TimeRemainingColumn(),
    )
    failed, started = 0, time.monotonic()
    # What is told meanwhile (standard error) goes above the bar; data (standard output) is not ours to move.
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("", total=images, rate="", failed="")

        def advance(outcome: Outcome) -> None:
            nonlocal failed
            failed += outcome.state is State.FAILED
            rate = (bar.tasks[0].completed + 1) / (time.monotonic() - started)
            told = f", {failed:,} failed" if failed else ""
            bar.update(task, advance=1, rate=f"{rate:.1f} a second", failed=told)

        yield advance


def changes(ledger: Ledger, is_running: Callable[[], bool]) -> Iterator[list[int]]:
    """The numbers of the images whose state is another than at the last look: at first all, then while it runs."""
    seen: dict[int, State] = {}
    while True:
        last = not is_running()  # asked first: what is settled until then is seen
        now = ledger.states()
        yield [number for number, state in now.items() if seen.get(number) is not state]
        if last:
            return
        seen = now
        time.sleep(_POLL)


def watch(ledger: Ledger, name: Path, is_running: Callable[[], bool]) -> None:
    """A table on the terminal, until the run ends."""
    from rich.console import Console
    from rich.live import Live

    latest: deque[Record] = deque(maxlen=_LATEST)
    is_first = True
    started, before = time.monotonic(), 0
    with Live(console=Console(), auto_refresh=False, redirect_stderr=False) as live:
        for numbers in changes(ledger, is_running):
            counts = ledger.counts()
            settled = sum(counts.values()) - _pending(counts)
            if is_first:
                before, is_first = settled, False
            else:
                latest.extend(ledger.record(number) for number in numbers[-_LATEST:])
            rate = (settled - before) / max(time.monotonic() - started, 1e-3)
            live.update(_table(name, counts, latest, rate), refresh=True)


def _pending(counts: dict[State, int]) -> int:
    from imgkit.batch.ledger import State

    return counts[State.PENDING]


def _table(name: Path, counts: dict[State, int], latest: deque[Record], rate: float) -> Any:
    from rich.table import Table
    from rich.text import Text

    told = f"{name.name}: {total(counts)}, {rate:.1f} a second"
    table = Table(
        title=Text(visible_line(told)), title_justify="left", box=None, show_header=bool(latest), pad_edge=False
    )
    for heading, width in (("state", 9), ("seconds", 7), ("image", None), ("", None)):
        table.add_column(heading, width=width, no_wrap=True, overflow="ellipsis")
    for record in latest:
        outcome = record.outcome
        what = outcome.message or ", ".join(change.path for change in outcome.changes)
        cells = (str(outcome.state), f"{outcome.seconds:.2f}", str(getattr(record.input, "name", record.input)), what)
        table.add_row(*(Text(visible_line(cell)) for cell in cells), style="red" if outcome.error else None)
    return table
