"""Where GRUB 2 shows its menu: the effect of a script's `serial` and `terminal_*` commands, along every path.

GRUB starts on the terminal `console`. A script may configure the serial port, which makes a terminal `serial`, and
may switch input and output; conditions that depend on the machine decide which of these commands run. So the effect
is a set of states, one for each way through the script. What menu entries do later does not matter to the menu.
The edits make every path lead to the wanted state.

The commands: https://www.gnu.org/software/grub/manual/grub/html_node/serial.html and terminal_005foutput.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imgkit.bootloaders.grub2.script import Block, Command, Function, If, Loop, Statement, commands, parse
from imgkit.configtext.text import Splice, insert_lines, line_number, line_start, splice
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from imgkit.configtext.serial import SerialConsole

_MAX_STATES = 256
_OPTION = re.compile(r"--(unit|port|speed|word|parity|stop)=(\S+)|--(unit|port|speed|word|parity|stop)|-([upswrt])(.*)")
_LETTERS = {"u": "unit", "p": "port", "s": "speed", "w": "word", "r": "parity", "t": "stop"}
_DEFAULTS = {"unit": "0", "speed": "9600", "word": "8", "parity": "no", "stop": "1"}

_MENU = ("menuentry", "submenu", "hiddenentry", "blscfg", "blsuki")
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


# -- edits ------------------------------------------------------------------------------------------------------------


def set_terminal(text: str, console: SerialConsole) -> str:
    """`text` with the menu on the serial line; unchanged where it is there already, or where there is no menu.

    Every command that switches terminals before the menu is made to name the wanted ones, and what is still missing
    goes in front of the first of them. On a machine without the port GRUB then stays on the VGA console.
    Raises `ConfigError` where the script takes the terminal away again.
    """
    return add_terminals(splice(text, rewrites(parse(text), console)), console)


def rewrites(script: Block, console: SerialConsole) -> list[Splice]:
    """Splices that make the commands that are there name the wanted terminals; none where that is not needed."""
    if all(state.serve(console) for state in states(script)):
        return []
    serial, terminals = console.grub_serial_command(), console.grub_terminals()
    changes = []
    for command in commands(script):
        if command.name == "serial" and serial is not None:
            if serial_settings(command.operands) != serial_settings(tuple(serial.split()[1:])):
                changes.append(Splice(command.start, command.stop, serial))
        elif _replaces_terminals(command) and set(command.operands) != set(terminals):
            changes.append(Splice(command.words[1].start, command.words[-1].stop, " ".join(terminals)))
    return changes


def add_terminals(text: str, console: SerialConsole) -> str:
    """The rewritten `text` with the commands that it lacks, checked along every path."""
    script = parse(text)
    anchor = menu_anchor(script)
    if anchor is None or all(state.serve(console) for state in states(script)):
        return text
    text = splice(text, [_insertion(text, script, console)])
    if not all(state.serve(console) for state in states(parse(text))):
        raise ConfigError(
            "the menu's terminals are switched in a way that imgkit cannot follow",
            line=line_number(text, anchor.start),
            hint=f"Make the file use the terminals {' '.join(console.grub_terminals())}.",
        )
    return text


def _insertion(text: str, script: Block, console: SerialConsole) -> Splice:
    missing = _missing_commands(script, console)
    anchor = menu_anchor(script)
    if missing and missing[0].startswith("terminal") and console.grub_serial_command() is not None:
        # The terminal `serial` exists only behind the command that is there already.
        names = [statement.name if isinstance(statement, Command) else "" for statement in script]
        anchor = next(iter(script[names.index("serial") + 1 :]), None)
    if anchor is None:
        return insert_lines(text, len(text), missing)
    return insert_before(text, anchor, missing)


def _missing_commands(script: Block, console: SerialConsole) -> list[str]:
    """Commands that no statement outside a condition has, in the order that GRUB's own generator uses."""
    always = {
        statement.name: statement.start
        for statement in reversed(script)
        if isinstance(statement, Command) and (statement.name == "serial" or _replaces_terminals(statement))
    }
    serial, terminals = console.grub_serial_command(), " ".join(console.grub_terminals())
    missing = []
    if serial is not None:
        switches = (command.start for command in commands(script) if command.name in TERMINAL_COMMANDS)
        if "serial" not in always or always["serial"] > min(switches, default=always["serial"]):
            missing.append(serial)
    missing += [
        f"{name} {terminals}"
        for name in ("terminal_input", "terminal_output")
        if name not in always and "terminal" not in always
    ]
    return missing


def _replaces_terminals(command: Command) -> bool:
    """Whether it switches to the terminals that it names, rather than list, append or remove some."""
    return command.name in TERMINAL_COMMANDS and bool(command.operands) and not command.operands[0].startswith("-")


def menu_anchor(script: Block) -> Statement | None:
    """The statement in front of which terminals can be set: the first that sets some, else the first of the menu."""
    for names in (("serial", *TERMINAL_COMMANDS), _MENU):
        for statement in script:
            if any(command.name in names for command in commands((statement,))):
                return statement
    return None


def insert_before(text: str, statement: Statement, new: list[str]) -> Splice:
    """Splice that puts commands in front of a statement, each on a line of its own with the same indentation."""
    start = line_start(text, statement.start)
    indent = text[start : statement.start]
    if indent.strip(" \t"):  # Another statement ends on the same line.
        return Splice(statement.start, statement.start, "".join(f"{command}; " for command in new))
    return insert_lines(text, start, [indent + command for command in new])
