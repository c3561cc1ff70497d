"""`imgkit console`: the serial console of the system in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from imgkit.cli.compose import add_command, composed
from imgkit.cli.options import AsJson, make_delivery, make_source

if TYPE_CHECKING:
    from imgkit.accounts.wanted import LoginOptions
    from imgkit.cli.options import Delivery
    from imgkit.configtext.options import EnableOptions
    from imgkit.editing import ImageSource

app = typer.Typer(
    no_args_is_help=True,
    help="Enable the serial console of the system or the installer in an image, or tell whether it is enabled.",
)


ConsoleSettings: TypeAlias = dict[str, Any]
"""Fields of a `SerialConsole`. What they leave open, the image decides."""


def make_console(
    *,
    port: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Linux's name of the port. [default: the architecture's, as ttyS0 on x86]"),
    ] = None,
    baud: Annotated[
        int | None, typer.Option(metavar="RATE", help="Bits per second. [default: that of the image, or 115200]")
    ] = None,
    parity: Annotated[str | None, typer.Option(metavar="n|o|e", help="Parity: none, odd or even. [default: n]")] = None,
    data_bits: Annotated[int | None, typer.Option(metavar="7|8", help="Bits of a character. [default: 8]")] = None,
    stop_bits: Annotated[int | None, typer.Option(metavar="1|2", help="Stop bits. [default: 1]")] = None,
    terminal: Annotated[
        str | None, typer.Option(metavar="TERM", help="Terminal type for the login prompt. [default: vt220]")
    ] = None,
    no_vga: Annotated[
        bool, typer.Option("--no-vga", help="Serial console only; by default the screen stays on.")
    ] = False,
) -> ConsoleSettings:
    """What the options say of a serial console. UsageError for values that nothing would take."""
    from imgkit.configtext.serial import SerialConsole

    settings = {
        "port": port,
        "baud": baud,
        "parity": parity,
        "data_bits": data_bits,
        "stop_bits": stop_bits,
        "terminal": terminal,
        "keep_vga": False if no_vga else None,
    }
    said: ConsoleSettings = {name: value for name, value in settings.items() if value is not None}
    SerialConsole(**said)
    return said


def make_options(
    *,
    quiet_off: Annotated[
        bool, typer.Option("--quiet-off", help="Show kernel messages: remove quiet, rhgb and splash.")
    ] = False,
    timeout: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Boot menu timeout. [default: unchanged; 10 for an ISO's installer whose menu has no timeout]",
        ),
    ] = None,
    default: Annotated[
        str,
        typer.Option(
            metavar="keep|text|TITLE",
            help="What an ISO boots by default: the same as before (keep); the same, but graphical installers in text"
            " mode (text); or the menu entry with this title, as 'SUBMENU>ENTRY' if it is in a submenu.",
        ),
    ] = "text",
    recovery: Annotated[bool, typer.Option("--recovery", help="Change the recovery entries too.")] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Write nothing if the console can only be enabled in part."),
    ] = False,
) -> EnableOptions:
    """What else is wanted."""
    from imgkit.configtext.options import EnableOptions

    return EnableOptions(recovery=recovery, quiet_off=quiet_off, timeout=timeout, default=default, strict=strict)


@composed(source=make_source, console=make_console, options=make_options, delivery=make_delivery)
def enable(
    source: ImageSource,
    *,
    console: ConsoleSettings,
    options: EnableOptions,
    login: Annotated[
        list[str] | None,
        typer.Option(
            metavar="USER[:FILE]",
            help="Also set a user's password, as `login enable --password` does. Repeatable.",
        ),
    ] = None,
    delivery: Delivery,
    as_json: AsJson = False,
) -> None:
    """Give the system in an image a serial console: boot menu, kernel and login prompt, now and after updates.

    An ISO still boots by default what it booted before: the local disk, a live system, an unattended installation. Two
    things may change, and are reported: a graphical installer that asks questions is replaced by its text variant, and
    a menu without a timeout starts such an installer after 10 seconds. `--default keep` declines both. The installed
    system keeps the console.

    `console status` of the result decides what is reported: enabled (exit status 0), or enabled in part (15), with what
    is missing and how to fix it. Where nothing can be enabled, nothing is written.

    Examples:
      imgkit console enable debian.qcow2 --dry-run
      imgkit console enable debian.qcow2 --in-place --undo debian.undo
      imgkit console enable cloud.qcow2 -o open.qcow2 --login root:pw.txt
      imgkit console enable debian.qcow2 -o serial.qcow2 --timeout 5
      imgkit console enable debian-12-netinst.iso -o serial.iso
      imgkit console enable s3://bucket/a.iso -o s3://bucket/serial.iso
    """
    from imgkit.cli.delivery import delivering, judgement_fields, print_edited, print_edited_json, print_judgement
    from imgkit.cli.main import status_of_verdict
    from imgkit.cli.render import note
    from imgkit.console.enabling import enable_console

    accounts = _login(login) if login else None
    with delivering(source, delivery, as_json=as_json) as progress:
        enabled = enable_console(
            source,
            delivery.destination,
            console=console,
            options=options,
            login=accounts,
            undo=delivery.undo,
            progress=progress,
        )
    if as_json:
        fields = judgement_fields(enabled.judgement) | {"verdict": enabled.verdict}
        if accounts is not None:
            fields["login_failing"] = enabled.login_failing
        print_edited_json("console-enable", source, delivery, enabled.edited, console=enabled.console, **fields)
    else:
        told = f"serial console {enabled.console.port} enabled{' in part' if enabled.failing else ''}"
        unchanged = f"{told} already; nothing to change"
        print_edited(source, delivery, enabled.edited, done=told, unchanged=unchanged)
        print_judgement(enabled.judgement)
        for sentence in enabled.login_failing:
            note(f"NOT enabled: {sentence}")
    raise typer.Exit(status_of_verdict(enabled.verdict))


def _login(words: list[str]) -> LoginOptions:
    from imgkit.accounts.wanted import LoginOptions
    from imgkit.cli.login import read_password

    return LoginOptions(passwords=tuple(map(read_password, words)))


@composed(source=make_source, console=make_console)
def status(source: ImageSource, *, console: ConsoleSettings, as_json: AsJson = False) -> None:
    """Tell whether the serial console is enabled (exit status 0) or not (1), link by link.

    Below a link that `console enable` does not mend stands what to do instead.

    Without options it is the console that the system's kernel uses, or the usual one for its architecture.

    Examples:
      imgkit console status debian.qcow2
      imgkit console status debian.qcow2 --port ttyS1 --json
    """
    from imgkit.cli.render import out, print_json
    from imgkit.console.enabling import console_status

    found = console_status(source, console)
    if as_json:
        print_json("console-status", 1, {"image": source.path, "enabled": found.enabled, "status": found})
    else:
        for link in found.links:
            where = link.file + (f":{link.line}" if link.line else "")
            out(
                f"{'ok     ' if link.ok else 'MISSING'} {link.kind:<12} {link.message}"
                + (f"  [{where}]" if where else "")
            )
            if link.hint and not link.ok:  # what enabling does not mend
                out(f"        {link.hint}")
        out(f"serial console {found.console.port}: {'enabled' if found.enabled else 'not enabled'}")
    raise typer.Exit(0 if found.enabled else 1)


add_command(app, enable, "enable")
add_command(app, status, "status")
