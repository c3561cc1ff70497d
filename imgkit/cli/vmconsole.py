"""`imgkit vm console`: a terminal, a pipe or a script at the serial line of a running machine."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgkit.cli.options import AsJson
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgkit.vm.serial.attach import Attachment
    from imgkit.vm.serial.dialogue import Conversation, Dialogue, Expect, Send


def console(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The machine's name.", show_default=False)],
    *,
    connect: Annotated[
        str, typer.Option("--connect", metavar="URI", help="libvirt connection; your own session needs no privileges.")
    ] = "qemu:///session",
    force: Annotated[bool, typer.Option("--force", help="Take over the console if it is in use.")] = False,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", readable=False, help="Append what the serial line prints to a file.")
    ] = None,
    reconnect: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="How long to wait for a machine that went off to start again."),
    ] = 10,
    escape: Annotated[str, typer.Option(metavar="KEY", help="The key that detaches, or none.")] = "^]",
    prefix: Annotated[
        str, typer.Option(metavar="KEY", help="The key before w (send the window size), z (suspend), ? (help).")
    ] = "^^",
    expect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGEX", help="Wait for text instead of attaching a terminal. Repeatable, in order with --send."
        ),
    ] = None,
    send: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help=r"Send text; \n, \r, \t, \e, \xHH. Repeatable, in order with --expect."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for each --expect.")] = 120,
    as_json: AsJson = False,
) -> None:
    r"""Attach to the serial console of a running machine; Ctrl-] detaches, and the machine keeps running.

    All other keys are the guest's. Should the machine go off and be on again, its console is there again. Where
    standard input is a pipe, all its bytes are typed, and its end ends it once the guest is silent.

    With --expect or --send, a script: what comes over the line is shown on standard output, and the exit status is 0
    only if all texts came, else 1; how far the boot came is said then.

    Examples:
      imgkit vm console test0
      imgkit vm console test0 --expect 'login:' --timeout 300
      imgkit vm console test0 --send '\n' --expect 'login: ' --send 'root\n'
    """
    from imgkit.vm.connection import connect as connected
    from imgkit.vm.serial.attach import Attachment
    from imgkit.vm.serial.dialogue import Dialogue
    from imgkit.vm.serial.keys import Keys, parse_key

    if expect or send:
        steps = _in_order(expect or [], send or [], sys.argv)
        dialogue = Dialogue(steps, timeout=timeout, reconnect=reconnect, force=force, log=log)
        _converse(connect, name, dialogue, as_json=as_json)
    elif as_json:
        raise UsageError("--json needs --expect or --send", hint="For example: --expect 'login:'")
    else:
        keys = Keys(parse_key(escape), parse_key(prefix))
        with connected(connect) as connection:
            attach_here(connection, name, Attachment(keys, force=force, reconnect=reconnect, log=log))


def attach_here(connection: Any, name: str, how: Attachment, *, on_open: Callable[[], None] | None = None) -> None:
    """Attach this process's terminal, or what stands in its place, to a console; `on_open` is that of `attach`."""
    from imgkit.cli.render import note
    from imgkit.vm.serial.attach import End, attach

    try:
        end = attach(connection, name, how, notify=_tell, on_open=on_open)
    finally:
        _reset_terminal()
    if end is End.READER:
        raise BrokenPipeError
    if end is End.TERMINAL:
        raise typer.Exit(128 + signal.SIGHUP)
    if end is End.OFF:
        note(f"{name} is off")
    elif sys.stdin.isatty():
        note(f"detached from {name}, which keeps running")


def _converse(uri: str, name: str, dialogue: Dialogue, *, as_json: bool) -> None:
    from imgkit.cli.render import print_json
    from imgkit.vm.connection import connect
    from imgkit.vm.serial.dialogue import converse

    with connect(uri) as connection:
        came = converse(connection, name, dialogue, on_output=None if as_json else Shown())
    if as_json:
        fields = ("passed", "seconds", "found", "reached", "explanation", "transcript")
        print_json("vm-console", 1, {"name": name} | {field: getattr(came, field) for field in fields})
    elif not came.passed:
        _explain(name, came)
    raise typer.Exit(0 if came.passed else 1)


def _explain(name: str, came: Conversation) -> None:
    from imgkit.cli.render import note
    from imgkit.vm.stages import Stage

    sys.stderr.write("\n")
    if came.reached is Stage.NOTHING:
        note(f"{name}: {came.explanation}; nothing appeared on the line")
        note("If it is waiting at a prompt, send a newline first: --send '\\n' before --expect.")
    else:
        note(f"{name}: {came.explanation}; the boot got as far as: {came.reached}")


def _in_order(expect: Sequence[str], send: Sequence[str], words: Sequence[str]) -> list[Expect | Send]:
    """The steps, in the order of the command line, which Typer does not tell."""
    from imgkit.vm.serial.dialogue import Expect, Send, parse_text

    waiting = {"--expect": list(expect), "--send": list(send)}
    steps: list[Expect | Send] = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        left = waiting.get(option)
        if left and left[0] == (value if equals else following):
            text = left.pop(0)
            steps.append(Expect(text) if option == "--expect" else Send(parse_text(text)))
    return steps


def _tell(text: str) -> None:
    """A sentence, also while the terminal is raw and the cursor is anywhere."""
    from imgkit.visible import visible_text

    lines = "".join(f"imgkit: {line}\r\n" for line in visible_text(text).split("\n"))
    sys.stderr.write(f"\r{lines}" if sys.stdin.isatty() else lines.replace("\r", ""))


def _reset_terminal() -> None:
    """Take back what a program of the guest may have done to the terminal."""
    from imgkit.vm.serial.terminal import SOFT_RESET

    if sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        with suppress(OSError):  # the terminal was closed
            os.write(sys.stdout.fileno(), SOFT_RESET + b"\n")


class Shown:
    """What comes over the line, on standard output: as it is, or cleaned for a terminal."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._has_reader = True

    def __call__(self, data: bytes) -> None:
        """Show bytes."""
        from imgkit.visible import visible_text

        if self._is_terminal:
            data = visible_text(data.decode(errors="replace").replace("\r", "")).encode()
        try:
            if self._has_reader:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
        except OSError:  # it is said at the end
            self._has_reader = False
