"""The command `imgkit`: its subcommands, and what each kind of error means as an exit status.

Nothing heavy is imported here; each command imports what it needs when it runs.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from imgkit import errors
from imgkit.cli.lazy import Place, lazy_group
from imgkit.cli.options import AsJson, take_process

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    errors.LocationError: 13,
    errors.MachineError: 14,
    errors.PartlyEnabledError: 15,
}
"""Status by class; a class that is not listed has its parent's. 0 is success, 1 a negative answer."""

BUG = 70  # EX_SOFTWARE of sysexits.h
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

_COMMANDS = {
    "inspect": Place("inspection"),
    "ls": Place("files"),
    "cat": Place("files"),
    "write": Place("files"),
    "edit": Place("files"),
    "undo": Place("undo"),
    "recover": Place("undo"),
    "verify": Place("verify"),
    "doctor": Place("doctor"),
    "exit-status": Place("main"),
    "console": Place("console", "Enable the serial console, or tell whether it is enabled."),
    "login": Place("login", "Set passwords, keys and users, or show who can log in."),
    "batch": Place("batch", "Process many images: plan, run, resume, undo."),
    "iso": Place("iso", "Add, remove and copy out the files of an ISO."),
    "location": Place("location", "Inspect install trees, and download their kernels."),
    "vm": Place("vm", "Install, start, stop, list and remove virtual machines."),
}

app = typer.Typer(
    name="imgkit",
    cls=lazy_group(_COMMANDS),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help without rich, which takes 0.1 s to import
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, 1 a check failed, 2 usage, 3 to 15 an error: see `imgkit exit-status`.",
)


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


def exit_status(*, as_json: AsJson = False) -> None:
    """List the exit statuses and what they mean.

    Examples:
      imgkit exit-status
    """
    from imgkit.cli.render import out, print_json

    meanings = {0: "done", 1: "a check failed (`console status`, `doctor`, `verify`), or an image of a batch failed"}
    meanings |= {status: (kind.__doc__ or "").splitlines()[0] for kind, status in EXIT_STATUS.items()}
    meanings |= {BUG: "a bug in imgkit, which should be reported"}
    meanings |= {128 + number: f"ended by {number.name}" for number in _ENDING}
    meanings |= {128 + signal.SIGPIPE: "the reader of standard output closed it"}
    if as_json:
        statuses = [{"status": status, "meaning": meaning} for status, meaning in meanings.items()]
        print_json("exit-status", 1, {"statuses": statuses})
        return
    for status, meaning in meanings.items():
        out(f"{status:3}  {meaning}")


def main() -> None:
    """Run the command line; ends the process."""
    _open_standard_streams()
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and a shell's background jobs have it
            signal.signal(number, _stop)
    take_process()
    try:
        _check_words(sys.argv)
        sys.exit(_run())
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # Typer's, for help: its status 1 means "no" here
            raise SystemExit(128 + signal.SIGPIPE) from None
        raise
    except errors.ReaderEnded as ended:  # the confined child has said everything
        sys.exit(ended.status)
    except errors.ImgkitError as error:
        _report(error)
        sys.exit(status_of(error))
    except _Stopped as stopped:
        told = getattr(stopped, "__notes__", None) or ["no image is half edited"]
        with _where_it_can_be_said():
            sys.stderr.write(f"imgkit: interrupted; {'; '.join(told)}\n")
        sys.exit(128 + stopped.number)
    except Exception as error:  # noqa: BLE001 - the last net
        sys.exit(_unexpected(error))
    finally:
        gc.freeze()  # what is left goes with the process: to look through it once more takes 25 ms


def _run() -> int:
    """Run the command that the command line names; the exit status. What is wrong with the words is a UsageError."""
    from typer._click.exceptions import NoArgsIsHelpError
    from typer._click.exceptions import UsageError as WrongWords

    try:
        status = app(standalone_mode=False)
    except NoArgsIsHelpError as asked:
        asked.show()
        return asked.exit_code
    except WrongWords as wrong:
        # Typer would propose `enable` to somebody who wants to disable.
        message, usage = wrong.format_message().partition(" Did you mean ")[0], ""
        if wrong.ctx is not None:
            usage = f"{' '.join(wrong.ctx.get_usage().split())}; see `{wrong.ctx.command_path} --help`."
        raise errors.UsageError(f"{message[:1].lower()}{message[1:].rstrip('.')}", hint=usage) from wrong
    return status if isinstance(status, int) else 0


def _unexpected(error: Exception) -> int:
    """Say what an exception means that nothing has translated; the exit status."""
    from imgkit.cli.bugs import report_bug, translated

    if isinstance(error, OSError) and (known := translated(error)) is not None:
        _report(known)
        return status_of(known)
    with _where_it_can_be_said():
        report_bug(error, BUG, as_json="--json" in sys.argv)
    return BUG


def _open_standard_streams() -> None:
    """Put something in the place of standard streams that are closed, as some daemons and `>&-` leave them.

    Without it the image that is opened first would be standard output. What is written there then fails, as it should;
    what is said on standard error nobody hears.
    """
    for descriptor, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # which takes the lowest free number
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _check_words(words: list[str]) -> None:
    """Refuse what no file can be called, before anything asks the system for it."""
    if any("\0" in word for word in words):
        raise errors.UsageError("an argument contains a NUL byte", hint="Name another file.")


def status_of(error: errors.ImgkitError) -> int:
    """Exit status of an error: that of the nearest class that has one."""
    return next((EXIT_STATUS[kind] for kind in type(error).__mro__ if kind in EXIT_STATUS), 1)


def status_of_verdict(verdict: str) -> int:
    """Exit status of a command that enabled a serial console: 0, or that of what is enabled in part only."""
    return 0 if verdict == "enabled" else EXIT_STATUS[errors.PartlyEnabledError]


class _Stopped(BaseException):
    """A signal asks us to end. It passes everything, so that temporary files go, and Typer, which has its own words."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, _frame: FrameType | None) -> None:
    raise _Stopped(number)


@contextmanager
def _where_it_can_be_said() -> Iterator[None]:
    """Write to standard error. Where that fails, the exit status alone says it: what is buffered goes nowhere."""
    try:
        yield
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _report(error: errors.ImgkitError) -> None:
    from imgkit.cli.render import print_error

    with _where_it_can_be_said():
        print_error(error, status_of(error), as_json="--json" in sys.argv)
