"""What `imgkit batch run`, `retry` and the forms without a plan file share: options, the run itself, how it ends."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgkit.errors import ImgkitError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager
    from types import FrameType

    from imgkit.batch.jobs import Job
    from imgkit.batch.ledger import Ledger, Outcome, State

_PACK = 8  # images that one appliance serves, if they are trusted
_HANDED_OUT = 64  # jobs that a scheduler has at any time, so that its workers do not wait for us

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, as unified diffs; write nothing.")]
LedgerFolder = Annotated[
    Path | None,
    typer.Option(
        "--ledger",
        metavar="FOLDER",
        readable=False,
        help="Directory of the ledger and the undo files. [default: next to the images]",
    ),
]


Sha256 = Annotated[
    bool, typer.Option("--sha256", help="Note each result's SHA-256 in the ledger, for which all of it is read.")
]


@dataclass(frozen=True, slots=True)
class Workers:
    """Who does the work: processes here, or a scheduler's."""

    number: int
    scheduler: str | None
    trust_images: bool = False

    @property
    def pack(self) -> int:
        """Images that share an appliance."""
        return _PACK if self.trust_images else 1

    @property
    def in_flight(self) -> int:
        """Jobs that are handed out at any time."""
        return _HANDED_OUT if self.scheduler else 2 * self.number

    def pool(self) -> AbstractContextManager[Executor]:
        """The executor."""
        if self.scheduler:
            from imgkit.batch.cluster import cluster

            return cluster(self.scheduler)
        from imgkit.batch.run import local_pool

        return local_pool(self.number)


def make_workers(
    *,
    jobs: Annotated[
        int | None,
        typer.Option("-j", "--jobs", min=1, metavar="N", help="Worker processes. [default: one per CPU]"),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Run on the workers of a Dask scheduler: tcp://HOST:8786.")
    ] = None,
    trust_images: Annotated[
        bool,
        typer.Option(
            "--trust-images",
            help="Let images share an appliance or a kernel: faster, but a malicious image can then reach others.",
        ),
    ] = False,
) -> Workers:
    """The workers that the options describe."""
    if jobs and scheduler:
        raise UsageError(
            "--jobs and --scheduler are mutually exclusive", hint="The number of workers is the cluster's."
        )
    return Workers(jobs or len(os.sched_getaffinity(0)), scheduler, trust_images)


def go_on(ledger: Ledger, wanted: Sequence[Job], workers: Workers, *, as_json: bool) -> None:
    """Do what is left, and end the command."""
    from imgkit.batch import run as batch
    from imgkit.cli.batchview import progress_of
    from imgkit.cli.render import note

    remaining, news = ledger.enter(list(wanted))
    for item in news:
        note(item)
    otherwise = 0
    with first_interrupt_noted() as stopping, progress_of(len(remaining)) as advance:

        def tell(job: Job, outcome: Outcome) -> None:
            nonlocal otherwise
            otherwise += bool(outcome.announcements)
            _tell_of(job, outcome)
            advance(outcome)

        with counted(ledger):
            batch.run(
                remaining,
                ledger,
                workers.pool,
                in_flight=workers.in_flight,
                pack=workers.pack,
                on_outcome=tell,
                stopping=stopping,
            )
        interrupted = stopping()
    if otherwise and not as_json:
        note(f"images whose boot default or timeout changed: {otherwise:,}; see `imgkit batch report {ledger.folder}`")
    end("batch-run", ledger.counts(), ledger.failed(), as_json=as_json, is_run=True, interrupted=interrupted)


@contextmanager
def counted(ledger: Ledger) -> Iterator[None]:
    """Have what ends a run early say how far it came."""
    import sqlite3

    from imgkit.cli.batchview import total

    try:
        yield
    except BaseException as stop:
        with suppress(ImgkitError, sqlite3.Error):  # the ledger itself may be what failed
            stop.add_note(total(ledger.counts()))
        raise


def show(wanted: Sequence[Job], workers: Workers, *, as_json: bool) -> None:
    """Plan every image, show what would change, and end the command. Nothing is noted down."""
    from imgkit.batch import run as batch
    from imgkit.batch.ledger import State
    from imgkit.cli.batchview import progress_of
    from imgkit.cli.render import note, out, out_text

    counts, failed = dict.fromkeys(State, 0), []
    with first_interrupt_noted() as stopping, progress_of(len(wanted)) as advance:

        def tell(job: Job, outcome: Outcome) -> None:
            counts[outcome.state] += 1
            for announcement in outcome.announcements:
                note(f"{job.input}: {announcement}")
            _tell_of(job, outcome)
            advance(outcome)
            if outcome.state is State.FAILED:
                failed.append(str(job.input))
            elif not as_json:
                out(f"# {job.input}" + (f" -> {job.output}" if job.output else ""))
                if outcome.changes:
                    out_text("".join(change.diff for change in outcome.changes))

        batch.rehearse(
            wanted, workers.pool, in_flight=workers.in_flight, pack=workers.pack, on_outcome=tell, stopping=stopping
        )
        interrupted = stopping()
    counts[State.PENDING] = len(wanted) - sum(counts.values())
    prefix = "dry run, nothing was written: "
    end("batch-run", counts, failed, as_json=as_json, prefix=prefix, is_run=True, interrupted=interrupted)


def end(
    kind: str,
    counts: dict[State, int],
    failed: Sequence[str],
    *,
    as_json: bool,
    prefix: str = "",
    is_run: bool = False,
    interrupted: bool = False,
) -> None:
    """Tell the sum, and end the command.

    Its status is that of Ctrl-C if it was `interrupted`, 1 if an image failed, that of a part if one was enabled so.
    """
    from imgkit.batch.ledger import State
    from imgkit.cli.batchview import total
    from imgkit.cli.main import status_of_verdict
    from imgkit.cli.render import note, print_json

    if as_json:
        print_json(
            kind, 1, {"counts": counts, "failed": list(failed)} | ({"interrupted": interrupted} if is_run else {})
        )
    else:
        note(f"{'interrupted; ' if interrupted else ''}{prefix}{total(counts)}")
    if interrupted:
        raise typer.Exit(128 + signal.SIGINT)
    partly = is_run and counts[State.PARTLY] > 0
    raise typer.Exit(1 if failed else status_of_verdict("partly" if partly else "enabled"))


def _tell_of(job: Job, outcome: Outcome) -> None:
    from imgkit.batch.ledger import State
    from imgkit.cli.render import note
    from imgkit.console.judge import sentence

    for check in outcome.failing:
        note(f"{job.input}: NOT enabled: {sentence(check)}. Fix: {check.hint}")
    if outcome.state is State.FAILED:
        told = outcome.message if str(job.input) in outcome.message else f"{job.input}: {outcome.message}"
        note(f"{told}{f' ({outcome.hint})' if outcome.hint else ''}")


@contextmanager
def first_interrupt_noted() -> Iterator[Callable[[], bool]]:
    """Ctrl-C once: the value says so from then on. Twice: whatever the command does on Ctrl-C."""
    from imgkit.cli.render import note

    before = signal.getsignal(signal.SIGINT)
    noted = False

    def take(_number: int, _frame: FrameType | None) -> None:
        nonlocal noted
        noted = True
        signal.signal(signal.SIGINT, before)
        note("finishing the images in progress; press Ctrl-C again to stop at once")

    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, take)
    try:
        yield lambda: noted
    finally:
        signal.signal(signal.SIGINT, before)
