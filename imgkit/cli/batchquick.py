"""`imgkit batch console enable`, `batch write`, `batch iso add`: batches that need no plan file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgkit.cli.batching import DryRun, LedgerFolder, Sha256, Workers, go_on, make_workers, show
from imgkit.cli.compose import add_command, composed
from imgkit.cli.console import ConsoleSettings, make_console, make_options
from imgkit.cli.options import AsJson, choice
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from imgkit.batch.operations import Operation
    from imgkit.configtext.options import EnableOptions

console = typer.Typer(no_args_is_help=True, help="Enable the serial console of many images.")
iso = typer.Typer(no_args_is_help=True, help="Add files to many ISOs.")

_Inputs = Annotated[
    list[str], typer.Argument(metavar="IMAGE...", help="Images, and patterns such as 'isos/*.iso'.", show_default=False)
]


@dataclass(frozen=True, slots=True)
class Where:
    """Where results and ledger go, and how the images are opened."""

    out: str | None
    ledger: Path | None
    engine: str
    dry_run: bool
    sha256: bool


def make_where(
    *,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Write new images there; or a template: 'new/{stem}-serial{suffix}', with {sha256}."
        ),
    ] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Edit the images themselves, atomically.")] = False,
    ledger: LedgerFolder = None,
    engine: Annotated[
        str, typer.Option(metavar="auto|native|uml|guestfs", help="How to access guest file systems.")
    ] = "auto",
    dry_run: DryRun = False,
    sha256: Sha256 = False,
) -> Where:
    """Where results and ledger go. UsageError unless exactly one place is named."""
    if (out is None) != in_place and not (dry_run and out is None):
        raise UsageError(
            "give exactly one of --out and --in-place",
            hint="Give --out FOLDER to write new images, or --in-place to edit these.",
        )
    return Where(out, ledger, engine, dry_run, sha256)


@composed(console=make_console, options=make_options, where=make_where, workers=make_workers)
def enable(
    images: _Inputs,
    *,
    console: ConsoleSettings,
    options: EnableOptions,
    where: Where,
    workers: Workers,
    as_json: AsJson = False,
) -> None:
    """Give many images a serial console. Its ledger is told at the start; with its folder's name the batch goes on.

    Examples:
      imgkit batch console enable 'isos/*.iso' --out serial/
      imgkit batch console enable 'disks/*.qcow2' --in-place --timeout 5 --jobs 4
      imgkit batch console enable a.qcow2 b.qcow2 --in-place --dry-run
      imgkit batch console enable 's3://bucket/*.iso' --out s3://bucket/serial/
      imgkit batch console enable 'isos/*.iso' --out serial/ --ledger ledgers/1
    """
    from imgkit.batch.operations import EnableConsole

    _start(images, EnableConsole(tuple(sorted(console.items())), options), where, workers, as_json=as_json)


@composed(where=make_where, workers=make_workers)
def write(
    images: _Inputs,
    path: Annotated[str, typer.Argument(metavar="PATH", help="The file inside each image.", show_default=False)],
    *,
    where: Where,
    workers: Workers,
    as_json: AsJson = False,
) -> None:
    """Write standard input to a file in many images.

    Examples:
      imgkit batch write 'disks/*.qcow2' /etc/motd --in-place < motd
    """
    from imgkit.batch.operations import WriteFile

    _start(images, WriteFile(path, sys.stdin.buffer.read()), where, workers, as_json=as_json)


@composed(where=make_where, workers=make_workers)
def add(
    images: _Inputs,
    *,
    files: Annotated[
        list[Path],
        typer.Option("--file", metavar="HOSTFILE", readable=False, help="A file or directory to add. Repeatable."),
    ],
    at: Annotated[str, typer.Option(metavar="AT", help="Where they go in the ISOs.")] = "/",
    replace: Annotated[bool, typer.Option("--replace", help="Replace existing files.")] = False,
    where: Where,
    workers: Workers,
    as_json: AsJson = False,
) -> None:
    """Add files or whole directories to many ISOs, as `imgkit iso add` does.

    Examples:
      imgkit batch iso add 'isos/*.iso' --file preseed.cfg --at / --out auto/
    """
    from imgkit.batch.operations import AddFiles

    sources = tuple(path.absolute() for path in files)
    _start(images, AddFiles(sources, at, replace=replace), where, workers, as_json=as_json)


def _start(inputs: list[str], operation: Operation, where: Where, workers: Workers, *, as_json: bool) -> None:
    from imgkit.batch import quick
    from imgkit.batch.jobs import find_jobs
    from imgkit.batch.ledger import open_ledger
    from imgkit.batch.plan import Selector
    from imgkit.cli.render import note
    from imgkit.guest.engines.choice import EngineChoice

    selector = Selector("*", engine=EngineChoice(choice("engine", where.engine, EngineChoice)))
    plan = quick.make_plan(inputs, operation, selector, out=where.out, folder=Path.cwd(), sha256=where.sha256)
    if where.ledger is not None:
        quick.check_plan(plan, where.ledger)
    wanted = find_jobs(plan)
    if where.dry_run:
        show(wanted, workers, as_json=as_json)
    folder = where.ledger or quick.default_folder(plan)
    with open_ledger(folder, create=True) as ledger:
        quick.keep(plan, ledger.folder)
        note(f"ledger {folder}: `imgkit batch status`, `run`, `retry`, `undo` and `report` take its name")
        go_on(ledger, wanted, workers, as_json=as_json)


add_command(console, enable, "enable")
add_command(iso, add, "add")
