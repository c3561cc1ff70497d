"""Where GRUB 2 shows its menu: the effect of `serial` and `terminal_*` commands.

GRUB starts on the terminal `console`. A script may configure the serial port, which makes a terminal `serial`, and
may switch input and output; conditions that depend on the machine decide which of these commands run. So the effect
is a set of states, one for each way through the script. What menu entries do later does not matter to the menu.

The commands: https://www.gnu.org/software/grub/manual/grub/html_node/serial.html and terminal_005foutput.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imgkit.configtext.serial import SerialConsole
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_STATES = 256
_OPTION = re.compile(r"--(unit|port|speed|word|parity|stop)=(\S+)|--(unit|port|speed|word|parity|stop)|-([upswrt])(.*)")
_LETTERS = {"u": "unit", "p": "port", "s": "speed", "w": "word", "r": "parity", "t": "stop"}
_ADDRESSES = {"0x3f8": 0, "0x2f8": 1, "0x3e8": 2, "0x2e8": 3}  # of the PC's ports
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
            # The firmware's console is the serial line.
            return "console" in self.inputs and "console" in self.outputs
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


def console_of(settings: Iterable[tuple[str, str]]) -> SerialConsole | None:
    """The serial console that such settings are for; None where they are for no port that Linux calls ttyS.

    The default speed is what nobody chose: then it is the usual one of a console.
    """
    values = dict(settings)
    unit = _ADDRESSES.get(values["port"].lower()) if "port" in values else values["unit"]
    try:
        usual = SerialConsole(f"ttyS{unit}", parity=values["parity"][:1], data_bits=int(values["word"]))
        return usual if values["speed"] == _DEFAULTS["speed"] else replace(usual, baud=int(values["speed"]))
    except (ValueError, UsageError):
        return None


def in_use(states: Iterable[Terminals]) -> SerialConsole | None:
    """The serial console that a menu shows on, on one of the paths to it; None where it shows on none."""
    found = (each.serial for each in sorted(states, key=repr) if any(map(_is_serial, each.outputs)))
    return next((console for serial in found if serial is not None and (console := console_of(serial))), None)


def bounded(found: frozenset[Terminals]) -> frozenset[Terminals]:
    """The states; one that serves no console where they are too many to tell."""
    return found if len(found) <= _MAX_STATES else frozenset({_UNKNOWN})


def after(name: str, operands: tuple[str, ...], state: Terminals) -> Terminals:
    """The state behind `serial` or one of the `TERMINAL_COMMANDS`."""
    if name == "serial":
        return replace(state, serial=serial_settings(operands))
    named = frozenset(operand for operand in operands if not operand.startswith("-"))
    if any(map(_is_serial, named)) and state.serial is None:
        # GRUB knows no terminal `serial` yet: the command fails and changes nothing.
        return state
    if name != "terminal_output":
        state = replace(state, inputs=_switch(operands, state.inputs, named))
    if name != "terminal_input":
        state = replace(state, outputs=_switch(operands, state.outputs, named))
    return state


def _switch(operands: tuple[str, ...], active: frozenset[str], named: frozenset[str]) -> frozenset[str]:
    if not named:
        return active  # The bare command lists the terminals.
    if "--append" in operands:
        return active | named
    if "--remove" in operands:
        return active - named
    return named


def replaces_terminals(name: str, operands: tuple[str, ...]) -> bool:
    """Whether a command switches to the terminals that it names, rather than list, append or remove some."""
    return name in TERMINAL_COMMANDS and bool(operands) and not operands[0].startswith("-")
