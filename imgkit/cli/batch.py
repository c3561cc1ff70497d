"""`imgkit batch`: many images as one job, which goes on where it stopped."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgkit.cli import batchquick, batchreport
from imgkit.cli.batching import DryRun, LedgerFolder, Sha256, Workers, counted, end, go_on, make_workers, show
from imgkit.cli.compose import add_command, composed
from imgkit.cli.options import AsJson

if TYPE_CHECKING:
    from imgkit.batch.ledger import Outcome, Record

app = typer.Typer(
    no_args_is_help=True,
    help="Do the same to many images. What is done is noted in a ledger: run it again to go on.",
)
app.add_typer(batchquick.console, name="console", short_help="Enable the serial console of many images.")
app.add_typer(batchquick.iso, name="iso", short_help="Add files to many ISOs.")

_Batch = Annotated[
    Path,
    typer.Argument(
        metavar="BATCH", readable=False, help="The plan, or the folder of the batch's ledger.", show_default=False
    ),
]


@composed(workers=make_workers)
def run(
    plan: _Batch,
    *,
    workers: Workers,
    ledger: LedgerFolder = None,
    dry_run: DryRun = False,
    sha256: Sha256 = False,
    as_json: AsJson = False,
) -> None:
    """Do what a plan says to all of its images, or what is left of it.

    The exit status is 1 if an image failed, else 15 if the serial console of one was enabled in part only.

    Ctrl-C lets the images in work be finished; a second one stops at once, which harms none.

    Examples:
      imgkit batch run plan.toml
      imgkit batch run plan.toml --dry-run
      imgkit batch run plan.toml --jobs 4 --json
      imgkit batch run plan.toml --ledger /var/lib/batches/plan
      imgkit batch run plan.toml --scheduler tcp://10.0.0.5:8786
    """
    from imgkit.batch.jobs import find_jobs
    from imgkit.batch.ledger import ledger_folder, open_ledger
    from imgkit.batch.plan import read_plan
    from imgkit.batch.quick import check_plan, plan_of, point_to

    plan_file = plan_of(plan)
    said = read_plan(plan_file)
    check_plan(plan_file, ledger or ledger_folder(plan))
    wanted = find_jobs(replace(said, sha256=sha256 or said.sha256))
    if dry_run:
        show(wanted, workers, as_json=as_json)
    with open_ledger(ledger or ledger_folder(plan), create=True) as opened:
        point_to(plan_file, opened.folder)
        go_on(opened, wanted, workers, as_json=as_json)


@composed(workers=make_workers)
def retry(plan: _Batch, *, workers: Workers, ledger: LedgerFolder = None, as_json: AsJson = False) -> None:
    """Try again what failed or was undone, and go on with what is left. Exit status 1 if one failed.

    Examples:
      imgkit batch retry plan.toml
      imgkit batch retry serial.batch
    """
    from imgkit.batch.jobs import find_jobs
    from imgkit.batch.ledger import State, ledger_folder, open_ledger
    from imgkit.batch.plan import read_plan
    from imgkit.batch.quick import check_plan, plan_of

    check_plan(plan_of(plan), ledger or ledger_folder(plan))
    wanted = find_jobs(read_plan(plan_of(plan)))
    with open_ledger(ledger or ledger_folder(plan)) as opened:
        opened.reopen(State.FAILED, State.UNDONE)
        go_on(opened, wanted, workers, as_json=as_json)


def status(
    plan: _Batch,
    *,
    ledger: LedgerFolder = None,
    follow: Annotated[
        bool | None,
        typer.Option(
            "--follow/--once",
            help="Follow the run until it ends, or show the status once. [default: follow on a terminal]",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the status of each image; on a terminal, while the batch runs, as a table that is kept up to date.

    With --json there is a line for each image, with --follow another one whenever one changes, and the sum comes last.

    Examples:
      imgkit batch status plan.toml
      imgkit batch status serial.batch --once
      imgkit batch status plan.toml --json --follow
    """
    from imgkit.batch.ledger import is_running, ledger_folder, open_ledger
    from imgkit.cli.batchview import changes, total, watch
    from imgkit.cli.render import note, out, print_json_line
    from imgkit.console.judge import sentence

    folder = ledger or ledger_folder(plan)
    follows = (sys.stdout.isatty() and not as_json) if follow is None else follow

    def goes_on() -> bool:
        return follows and is_running(folder)

    with open_ledger(folder, alone=False) as opened:
        if as_json:
            for numbers in changes(opened, goes_on):
                for number in numbers:
                    print_json_line("batch-image", 1, _row(opened.record(number)))
            print_json_line("batch-status", 2, {"counts": opened.counts()})
            return
        if sys.stdout.isatty() and goes_on():
            watch(opened, folder, goes_on)
            return
        for numbers in changes(opened, goes_on):
            for record in map(opened.record, numbers):
                told = record.outcome.message or record.output or ""
                if failing := record.outcome.failing:
                    failed = f"{len(failing)} check{'s' if len(failing) != 1 else ''} failed"
                    told = f"{told}  {failed}: {sentence(failing[0])}".strip()
                out(f"{record.outcome.state:<9} {record.input}{f'  {told}' if told else ''}")
        note(total(opened.counts()))


def undo(plan: _Batch, *, ledger: LedgerFolder = None, as_json: AsJson = False) -> None:
    """Take back all that was done: edited images get their old bytes, new files go. Exit status 1 if one could not be.

    Examples:
      imgkit batch undo plan.toml
      imgkit batch undo serial.batch
    """
    from imgkit.batch import run as batch
    from imgkit.batch.ledger import State, ledger_folder, open_ledger
    from imgkit.cli.render import note

    failed: list[str] = []

    def tell(record: Record, outcome: Outcome) -> None:
        if outcome.state is State.FAILED:
            failed.append(str(record.input))
            note(f"{outcome.message}{f' ({outcome.hint})' if outcome.hint else ''}")

    with open_ledger(ledger or ledger_folder(plan)) as opened:
        with counted(opened):
            batch.undo(opened, tell)
        end("batch-undo", opened.counts(), failed, as_json=as_json)


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
        "input_version": outcome.input_version,
        "verdict": outcome.verdict,
        "announcements": outcome.announcements,
        "failing": outcome.failing,
    }


for command in (run, retry, status, undo):
    add_command(app, command, command.__name__)
add_command(app, batchreport.report, "report")
add_command(app, batchquick.write, "write")
