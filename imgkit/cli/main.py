"""The command `imgkit`: its subcommands, and what each kind of error means as an exit status.

Nothing heavy is imported here; each command imports what it needs when it runs.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from imgkit import errors
from imgkit.cli import console, doctor, files, inspection, undo

if TYPE_CHECKING:
    from types import FrameType

EXIT_STATUS: dict[type[errors.ImgkitError], int] = {
    errors.UsageError: 2,
    errors.UnclassifiedImageError: 3,
    errors.FormatError: 4,
    errors.UnsupportedError: 5,
    errors.InUseError: 6,
    errors.StaleImageError: 7,
    errors.OutputError: 8,
    errors.EngineError: 9,
    errors.GuestError: 10,
    errors.TreeError: 11,
    errors.ConfigError: 12,
}
"""Status by class; a class that is not listed has its parent's. 0 is success, 1 a negative answer."""

app = typer.Typer(
    name="imgkit",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, 1 the answer is no, 2 usage, 3 to 12 an error: see `imgkit exit-status`.",
)
app.add_typer(console.app, name="console")
app.command("inspect")(inspection.inspect)
for command in (files.ls, files.cat, files.write, files.edit, undo.undo, undo.recover, doctor.doctor):
    app.command()(command)


def _version(wanted: bool) -> None:
    if wanted:
        from imgkit import __version__

        typer.echo(f"imgkit {__version__}")
        raise typer.Exit


@app.callback()
def imgkit(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Give Linux images a working serial console, without root.

    `imgkit console enable debian.qcow2 --in-place` is the main job; `--dry-run` shows what it would change.
    """


@app.command("exit-status")
def exit_status() -> None:
    """List the exit statuses and what they mean.

    Example: `imgkit exit-status`
    """
    typer.echo(" 0  done\n 1  the answer is no (`console status`, `doctor`)")
    for kind, status in EXIT_STATUS.items():
        typer.echo(f"{status:2}  {(kind.__doc__ or '').splitlines()[0]}")


def main() -> None:
    """Run the command line; ends the process."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except errors.ImgkitError as error:
        _report(error)
        sys.exit(status_of(error))
    except KeyboardInterrupt:
        sys.stderr.write("imgkit: interrupted; the image is as it was, or `imgkit recover` finishes it\n")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has enough; do not fail again when Python flushes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def status_of(error: errors.ImgkitError) -> int:
    """Exit status of an error: that of the nearest class that has one."""
    return next((EXIT_STATUS[kind] for kind in type(error).__mro__ if kind in EXIT_STATUS), 1)


def _report(error: errors.ImgkitError) -> None:
    from imgkit.cli.render import print_error

    print_error(error, status_of(error), as_json="--json" in sys.argv)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
