"""`imgkit batch`: many images as one job, which goes on where it stopped."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgkit.cli.compose import add_command
from imgkit.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

    from imgkit.batch.jobs import Job
    from imgkit.batch.ledger import Ledger, Outcome, Record, State

app = typer.Typer(
    no_args_is_help=True,
    help="Do the same to many images. What is done is noted in a ledger beside the plan: run it again to go on.",
)

_Plan = Annotated[
    Path, typer.Argument(metavar="PLAN", readable=False, help="The plan: a TOML file.", show_default=False)
]
_Jobs = Annotated[
    int | None,
    typer.Option("-j", "--jobs", min=1, metavar="N", help="Worker processes. [default: one a processor]"),
]

_Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Let the workers of a Dask scheduler do it: tcp://HOST:8786.")
]
_HANDED_OUT = 64  # jobs that a scheduler has at any time, so that its workers do not wait for us


def run(
    plan: _Plan,
    *,
    jobs: _Jobs = None,
    scheduler: _Scheduler = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, as unified diffs; write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Do what a plan says to all of its images, or what is left of it. Exit status 1 if one failed.

    Ctrl-C lets the images in work be finished; a second one stops at once, which harms none.

    Examples:
      imgkit batch run plan.toml
      imgkit batch run plan.toml --dry-run
      imgkit batch run plan.toml --jobs 4 --json
      imgkit batch run plan.toml --scheduler tcp://10.0.0.5:8786
    """
    from imgkit.batch.jobs import find_jobs
    from imgkit.batch.ledger import ledger_folder, open_ledger
    from imgkit.batch.plan import read_plan

    wanted = find_jobs(read_plan(plan))
    if dry_run:
        _show(wanted, as_json=as_json)
        return
    with open_ledger(ledger_folder(plan), create=True) as ledger:
        _go_on(ledger, wanted, jobs, scheduler, as_json=as_json)


def retry(plan: _Plan, *, jobs: _Jobs = None, scheduler: _Scheduler = None, as_json: AsJson = False) -> None:
    """Try again what failed or was undone, and go on with what is left. Exit status 1 if one failed.

    Examples:
      imgkit batch retry plan.toml
    """
    from imgkit.batch.jobs import find_jobs
    from imgkit.batch.ledger import State, ledger_folder, open_ledger
    from imgkit.batch.plan import read_plan

    wanted = find_jobs(read_plan(plan))
    with open_ledger(ledger_folder(plan)) as ledger:
        ledger.reopen(State.FAILED, State.UNDONE)
        _go_on(ledger, wanted, jobs, scheduler, as_json=as_json)


def status(plan: _Plan, *, as_json: AsJson = False) -> None:
    """Tell what became of each image, also while the batch runs.

    Examples:
      imgkit batch status plan.toml
      imgkit batch status plan.toml --json
    """
    from imgkit.batch.ledger import ledger_folder, open_ledger
    from imgkit.cli.render import note, out, print_json

    with open_ledger(ledger_folder(plan), alone=False) as ledger:
        counts, records = ledger.counts(), list(ledger.records())
    if as_json:
        print_json("batch-status", 1, {"counts": counts, "images": [_row(record) for record in records]})
        return
    for record in records:
        told = record.outcome.message or record.output or ""
        out(f"{record.outcome.state:<9} {record.input}{f'  {told}' if told else ''}")
    note(_sum(counts))


def undo(plan: _Plan, *, as_json: AsJson = False) -> None:
    """Take back all that was done: edited images get their old bytes, new files go. Exit status 1 if one could not be.

    Examples:
      imgkit batch undo plan.toml
    """
    from imgkit.batch import run as batch
    from imgkit.batch.ledger import State, ledger_folder, open_ledger
    from imgkit.cli.render import note

    failed: list[Path] = []

    def tell(record: Record, outcome: Outcome) -> None:
        if outcome.state is State.FAILED:
            failed.append(record.input)
            note(f"{outcome.message}{f' ({outcome.hint})' if outcome.hint else ''}")

    with open_ledger(ledger_folder(plan)) as ledger:
        done = [record for record in ledger.records() if record.outcome.state is State.DONE]
        batch.undo(done, ledger, tell)
        _end("batch-undo", ledger.counts(), failed, as_json=as_json)


def _go_on(ledger: Ledger, wanted: list[Job], jobs: int | None, scheduler: str | None, *, as_json: bool) -> None:
    from imgkit.batch import run as batch
    from imgkit.batch.cluster import cluster
    from imgkit.batch.ledger import State
    from imgkit.cli.render import note

    remaining, news = ledger.enter(wanted)
    for item in news:
        note(item)
    workers = jobs or len(os.sched_getaffinity(0))

    def tell(job: Job, outcome: Outcome) -> None:
        if outcome.state is State.FAILED:
            told = outcome.message if str(job.input) in outcome.message else f"{job.input}: {outcome.message}"
            note(f"{told}{f' ({outcome.hint})' if outcome.hint else ''}")

    with _first_interrupt_noted() as stopping:
        batch.run(
            remaining,
            ledger,
            lambda: cluster(scheduler) if scheduler else batch.local_pool(workers),
            in_flight=_HANDED_OUT if scheduler else 2 * workers,
            on_outcome=tell,
            stopping=stopping,
        )
    failed = [record.input for record in ledger.records() if record.outcome.state is State.FAILED]
    _end("batch-run", ledger.counts(), failed, as_json=as_json)


def _end(kind: str, counts: dict[State, int], failed: list[Path], *, as_json: bool) -> None:
    from imgkit.cli.render import note, print_json

    if as_json:
        print_json(kind, 1, {"counts": counts, "failed": failed})
    else:
        note(_sum(counts))
    raise typer.Exit(1 if failed else 0)


def _show(wanted: Iterable[Job], *, as_json: bool) -> None:
    """Plan every image, and show what would change. Nothing is noted down, so each is planned once and forgotten."""
    from imgkit.batch.ledger import State
    from imgkit.batch.work import Task, carry_out
    from imgkit.cli.render import note, out, print_json

    counts, failed = dict.fromkeys(State, 0), []
    for job in wanted:
        outcome = carry_out(Task(job, None))
        counts[outcome.state] += 1
        if outcome.state is State.FAILED:
            failed.append(job.input)
            note(f"{job.input}: {outcome.message}")
        elif not as_json:
            out(f"# {job.input}" + (f" -> {job.output}" if job.output else ""))
            out("".join(change.diff for change in outcome.changes).rstrip("\n"))
    if as_json:
        print_json("batch-run", 1, {"counts": counts, "failed": failed})
    else:
        note(f"dry run, nothing was written: {_sum(counts)}")
    raise typer.Exit(1 if failed else 0)


def _row(record: Record) -> dict[str, Any]:
    outcome = record.outcome
    return {
        "image": record.input,
        "output": record.output,
        "operation": record.operation,
        "state": outcome.state,
        "sha256": outcome.sha256,
        "engine": outcome.engine,
        "seconds": outcome.seconds,
        "changes": [{"path": change.path, "diff": change.diff} for change in outcome.changes],
        "notices": outcome.notices,
        "error": outcome.error,
        "message": outcome.message,
        "hint": outcome.hint,
    }


def _sum(counts: dict[State, int]) -> str:
    return ", ".join(f"{number:,} {state}" for state, number in counts.items() if number) or "no images"


@contextmanager
def _first_interrupt_noted() -> Iterator[Callable[[], bool]]:
    """Ctrl-C once: the value says so from then on. Twice: whatever the command does on Ctrl-C."""
    from imgkit.cli.render import note

    before = signal.getsignal(signal.SIGINT)
    noted = False

    def take(_number: int, _frame: FrameType | None) -> None:
        nonlocal noted
        noted = True
        signal.signal(signal.SIGINT, before)
        note("finishing the images in work; Ctrl-C again stops at once")

    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, take)
    try:
        yield lambda: noted
    finally:
        signal.signal(signal.SIGINT, before)


for command in (run, retry, status, undo):
    add_command(app, command, command.__name__)
