"""`imgkit login`: who may log in to the system in an image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgkit.cli.compose import add_command, composed
from imgkit.cli.console import ConsoleSettings, make_console
from imgkit.cli.options import AsJson, make_delivery, make_source
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from imgkit.accounts.wanted import LoginOptions
    from imgkit.cli.options import Delivery
    from imgkit.editing import ImageSource

app = typer.Typer(
    no_args_is_help=True, help="Set up logins of the system in an image, or show who can log in on its serial line."
)


def make_login(
    *,
    password: Annotated[
        list[str] | None,
        typer.Option(
            metavar="USER[:FILE]",
            help="Set a user's password: the first line of FILE, or of standard input for -; without FILE, ask for it. "
            "Repeatable.",
        ),
    ] = None,
    ssh_key: Annotated[
        list[str] | None,
        typer.Option(metavar="USER:FILE", help="Add public keys to a user's authorized_keys. Repeatable."),
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Create a user with a home directory and administrator rights. Repeatable."),
    ] = None,
    autologin: Annotated[
        str, typer.Option(metavar="USER", help="Log this user in on the serial line without a password.")
    ] = "",
    hostname: Annotated[str, typer.Option(metavar="NAME", help="Set the host name.")] = "",
    machine_id: Annotated[
        str | None, typer.Option(metavar="new", help="Have the system generate a new machine ID at the next boot.")
    ] = None,
    cloud_init: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            readable=False,
            help="A file of a NoCloud seed: user-data (a single file may have any name), meta-data, network-config, "
            "vendor-data. Repeatable.",
        ),
    ] = None,
) -> LoginOptions:
    """What is wanted of the accounts. UsageError for what no system would take."""
    from imgkit.accounts.wanted import LoginOptions

    if machine_id not in (None, "new"):
        raise UsageError(f"unknown --machine-id: {machine_id!r}", hint="The only value is new.")
    return LoginOptions(
        passwords=tuple(map(read_password, password or ())),
        ssh_keys=tuple(_read_keys(word) for word in ssh_key or ()),
        users=tuple(user or ()),
        autologin=autologin,
        hostname=hostname,
        new_machine_id=machine_id == "new",
        cloud_init=tuple(_seeds(cloud_init or [])),
    )


@composed(source=make_source, login=make_login, console=make_console, delivery=make_delivery)
def enable(
    source: ImageSource,
    *,
    login: LoginOptions,
    console: ConsoleSettings,
    delivery: Delivery,
    as_json: AsJson = False,
) -> None:
    """Set passwords, SSH keys, users, autologin and the host name of the system in an image.

    Cloud images have no passwords set. No program of the system is run: its account files are edited, and the rest of
    them stays unchanged. Only users that are named are unlocked. Passwords are read from a file, standard input or the
    terminal, hashed by the best method that the system supports, and never shown.

    `login status` of the result decides what is reported: whether the named users can log in on the serial line (exit
    status 0) or not (15), and why. An undo file contains what was there before, including the old hashes.

    Examples:
      imgkit login enable debian.qcow2 --password root --in-place
      imgkit login enable a.qcow2 --user ada --ssh-key ada:id.pub -o b.qcow2
      imgkit login enable cloud.img --cloud-init user-data --in-place
    """
    from imgkit.cli.delivery import delivering, print_edited, print_edited_json
    from imgkit.cli.main import status_of_verdict
    from imgkit.cli.render import note
    from imgkit.console.login import enable_login

    with delivering(source, delivery, as_json=as_json) as progress:
        enabled = enable_login(
            source, delivery.destination, login, console=console, undo=delivery.undo, progress=progress
        )
    if as_json:
        fields = {name: getattr(enabled, name) for name in ("verdict", "announcements", "failing")}
        accounts = enabled.status.accounts
        print_edited_json("login-enable", source, delivery, enabled.edited, accounts=accounts, **fields)
    else:
        print_edited(source, delivery, enabled.edited, done="", unchanged="nothing to change")
        for sentence in enabled.announcements:
            note(sentence)
        for sentence in enabled.failing:
            note(f"NOT enabled: {sentence}")
    raise typer.Exit(status_of_verdict(enabled.verdict))


@composed(source=make_source, console=make_console)
def status(source: ImageSource, *, console: ConsoleSettings, as_json: AsJson = False) -> None:
    """Show who can log in on the serial line, and why others cannot (exit status 1 if nobody can).

    Examples:
      imgkit login status debian.qcow2
      imgkit login status debian.qcow2 --port ttyS1 --json
    """
    from imgkit.cli.render import note, out, print_json
    from imgkit.console.login import login_status

    found = login_status(source, console)
    if as_json:
        fields = {name: getattr(found, name) for name in ("enabled", "has_prompt", "console", "accounts", "prompt")}
        print_json("login-status", 1, {"image": source.path, "notices": found.notices} | fields)
    else:
        for account in found.accounts:
            keys = f", {account.ssh_keys} SSH key{'s' if account.ssh_keys > 1 else ''}" if account.ssh_keys else ""
            how = "without a password" if account.has_autologin else "with a password"
            told = f"may log in, {how}" if account.may_log_in else "; ".join(account.reasons)
            out(f"{'ok     ' if account.may_log_in else 'NO     '} {account.name:<16} {told}{keys}")
        for check in found.prompt:
            out(f"{'ok     ' if check.ok else 'MISSING'} {check.kind:<16} {check.message}")
        for notice in found.notices:
            note(notice)
        out(f"login on {found.console.port}: {'possible' if found.enabled else 'not possible'}")
    raise typer.Exit(0 if found.enabled else 1)


def read_password(word: str) -> tuple[str, str]:
    """A user and a password, from `USER:FILE`, `USER:-`, or `USER` and the terminal."""
    from imgkit.storage.host import read_text

    user, colon, name = word.partition(":")
    if not user or (colon and not name):
        raise UsageError(f"{word!r} is not USER:FILE", hint="For example: root:password.txt, or root:- for a pipe.")
    if colon:
        lines = (sys.stdin.readline() if name == "-" else read_text(Path(name))).split("\n")
        return user, lines[0].rstrip("\r")
    if not sys.stdin.isatty():
        raise UsageError(
            f"no password for {user} was given, and standard input is not a terminal",
            hint=f"Give {user}:FILE, or {user}:- to read it from a pipe.",
        )
    first = typer.prompt(f"Password for {user}", hide_input=True, err=True)
    if typer.prompt("Again", hide_input=True, err=True) != first:
        raise UsageError("the passwords do not match", hint="Type it again.")
    return user, str(first)


def _read_keys(word: str) -> tuple[str, str]:
    from imgkit.storage.host import read_text

    user, _, name = word.partition(":")
    if not user or not name:
        raise UsageError(f"{word!r} is not USER:FILE", hint="For example: root:id_ed25519.pub")
    return user, read_text(Path(name))


def _seeds(paths: list[Path]) -> list[tuple[str, bytes]]:
    from imgkit.storage.host import read_file

    is_alone = len(paths) == 1 and "-data" not in paths[0].name
    return [("user-data" if is_alone else path.name, read_file(path)) for path in paths]


add_command(app, enable, "enable")
add_command(app, status, "status")
