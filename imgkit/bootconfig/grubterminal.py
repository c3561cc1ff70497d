"""Where GRUB 2 shows its menu: the effect of a script's `serial` and `terminal_*` commands, along every path.

GRUB starts on the terminal `console`. A script may configure the serial port, which makes a terminal `serial`, and
may switch input and output; conditions that depend on the machine decide which of these commands run. So the effect
is a set of states, one for each way through the script. What menu entries do later does not matter to the menu.

The commands: https://www.gnu.org/software/grub/manual/grub/html_node/serial.html and terminal_005foutput.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imgkit.bootconfig.grubscript import Block, Command, Function, If, Loop, commands

if TYPE_CHECKING:
    from imgkit.bootconfig.serial import SerialConsole

_MAX_STATES = 256
_OPTION = re.compile(r"--(unit|port|speed|word|parity|stop)=(\S+)|--(unit|port|speed|word|parity|stop)|-([upswrt])(.*)")
_LETTERS = {"u": "unit", "p": "port", "s": "speed", "w": "word", "r": "parity", "t": "stop"}
_DEFAULTS = {"unit": "0", "speed": "9600", "word": "8", "parity": "no", "stop": "1"}

TERMINAL_COMMANDS = ("terminal_input", "terminal_output", "terminal")


@dataclass(frozen=True, slots=True)
class Terminals:
    """One state: the terminals in use for input and for output, and the serial port's settings once it has any.

    `serial` holds sorted (option, value) pairs of GRUB's command `serial`.
    """

    inputs: frozenset[str] = frozenset({"console"})
    outputs: frozenset[str] = frozenset({"console"})
    serial: tuple[tuple[str, str], ...] | None = None

    def serve(self, console: SerialConsole) -> bool:
        """Whether the menu is on `console`, and on the VGA console or not, as asked."""
        command = console.grub_serial_command()
        if command is None:
            # The firmware's console is the serial line; gfxterm draws on a screen instead.
            return "console" in self.inputs and self.outputs == {"console"}
        if self.serial != serial_settings(tuple(command.split()[1:])):
            return False
        inputs, outputs = set(map(_is_serial, self.inputs)), set(map(_is_serial, self.outputs))
        return inputs == outputs == ({True, False} if console.keep_vga else {True})


_UNKNOWN = Terminals(frozenset(), frozenset())


def _is_serial(terminal: str) -> bool:
    return terminal.startswith("serial")


def serial_settings(operands: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """What GRUB's command `serial` sets up, defaults filled in, as sorted pairs: ("speed", "115200") and so on."""
    settings = dict(_DEFAULTS)
    words = iter(operands)
    for word in words:
        match = _OPTION.fullmatch(word)
        if match is None:
            settings["unit"] = word.removeprefix("com")
        elif match[1]:
            settings[match[1]] = match[2]
        else:
            option = match[3] or _LETTERS[match[4]]
            settings[option] = (match[5] if match[4] else "") or next(words, "")
    return tuple(sorted(settings.items()))


def states(block: Block) -> frozenset[Terminals]:
    """The states that GRUB may be in when it shows the menu of this script.

    Functions are not followed: no known generator switches terminals in one. Where there are too many states to
    tell, the set holds one that serves no console.
    """
    return _run(block, frozenset({Terminals()}))


def _run(block: Block, before: frozenset[Terminals]) -> frozenset[Terminals]:
    now = before
    for statement in block:
        match statement:
            case Command():
                now = frozenset(_command(statement, state) for state in now)
            case If():
                now = _branches(statement, now)
            case Loop():
                now |= _run(statement.body, _run(statement.condition, now))
            case Function():
                pass
        if len(now) > _MAX_STATES:
            now = frozenset({_UNKNOWN})
    return now


def _branches(statement: If, before: frozenset[Terminals]) -> frozenset[Terminals]:
    now, after = before, frozenset[Terminals]()
    for condition, body in statement.branches:
        now = _run(condition, now)
        after |= _run(body, now)
        if any(command.name == "serial" for command in commands(condition[-1:])):
            # `if serial ...; then`: only a machine without the port goes the other way, and there nothing helps.
            return after
    return after | _run(statement.otherwise, now)


def _command(command: Command, state: Terminals) -> Terminals:
    if command.name == "serial":
        return replace(state, serial=serial_settings(command.operands))
    if command.name not in TERMINAL_COMMANDS:
        return state
    named = frozenset(operand for operand in command.operands if not operand.startswith("-"))
    if any(map(_is_serial, named)) and state.serial is None:
        # GRUB knows no terminal `serial` yet: the command fails and changes nothing.
        return state
    if command.name != "terminal_output":
        state = replace(state, inputs=_switch(command.operands, state.inputs, named))
    if command.name != "terminal_input":
        state = replace(state, outputs=_switch(command.operands, state.outputs, named))
    return state


def _switch(operands: tuple[str, ...], active: frozenset[str], named: frozenset[str]) -> frozenset[str]:
    if not named:
        return active  # The bare command lists the terminals.
    if "--append" in operands:
        return active | named
    if "--remove" in operands:
        return active - named
    return named
