"""/etc/inittab of sysvinit, busybox and OpenWrt's procd: who asks for a login on which line.

Systems with systemd have no use for the file. Alpine's and Gentoo's OpenRC run from one of the first two.

What is looked for is whatever holds a terminal: a getty, login, a shell, or a program that is none of these. Where no
terminal is named, busybox gives the process that of the first field, and the kernel's console where that is empty;
sysvinit always gives the kernel's console. Two gettys on one line take each other's keys, so there is only ever one.

sysvinit: https://manpages.debian.org/bookworm/sysvinit-core/inittab.5.en.html
busybox (whose first field is a device, and which knows no runlevels): examples/inittab in its source.
procd (whose askconsole takes the first `console=`, not the last): https://openwrt.org/docs/techref/initscripts
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.configtext.text import Splice, insert_lines, lines, splice
from imgkit.errors import ConfigError
from imgkit.inits import getty

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from imgkit.configtext.serial import SerialConsole
    from imgkit.configtext.text import Line
    from imgkit.inits.getty import GettyCommand

_ENTRY = re.compile(r"(#[ \t]*)?([^:#\s]{0,14}):([0-9A-Za-z*#]{0,14}):([a-z]+):(.*)")
_TERMINAL = re.compile(r"(?:tty|hvc|hvsi|xvc)[A-Za-z]*\d+|console")
_VIRTUAL_TERMINAL = re.compile(r"tty[1-6]")
_RUNLEVELS = "2345"
_CONSOLE, _FIRST_CONSOLE = "console", "first console"
_ACTIONS = frozenset({"respawn", "askfirst", "respawnlate", "askconsole", "askconsolelate", "once"})


@dataclass(frozen=True, slots=True)
class InittabEntry:
    """One line that holds a terminal, or a comment that would.

    `terminal` is a device's name, "console" (the last `console=` of the kernel) or "first console". `is_login` tells
    whether it is for people; a getty's command is in `getty`. `start` is the line's offset, `body` that of its id
    field (behind the comment sign), `levels` that of its runlevels, `process` that of the command.
    """

    line: int
    id: str
    runlevels: str
    action: str
    command: str
    terminal: str
    is_login: bool
    getty: GettyCommand | None
    is_active: bool
    start: int
    body: int
    levels: int
    process: int
    stop: int


@dataclass(frozen=True, slots=True)
class InittabFacts:
    """What holds terminals. `is_busybox` tells the dialect, `levels` are the runlevels that are entered, if known.

    `consoles` are the ports of the kernel's `console=` arguments, in order; None where they are not known, and then
    the console that is asked about is taken to be the last of them.
    """

    entries: tuple[InittabEntry, ...]
    ids: frozenset[str]
    is_busybox: bool
    levels: frozenset[str]
    consoles: tuple[str, ...] | None

    def runs(self, entry: InittabEntry) -> bool:
        """Whether an entry is started in every runlevel that the system enters."""
        if self.is_busybox or not entry.runlevels:
            return True
        return self.levels <= set(entry.runlevels) if self.levels else bool(set(_RUNLEVELS) & set(entry.runlevels))

    def on(self, console: SerialConsole) -> list[InittabEntry]:
        """The active entries on the console's port, those that name it before those that follow the kernel."""
        found = [e for e in self.entries if e.is_active and self._port(e, console) == console.port]
        return sorted(found, key=lambda entry: entry.terminal != console.port)

    def active(self, console: SerialConsole) -> InittabEntry | None:
        """What holds the console's port in the runlevels that are used; else, in another one."""
        found = self.on(console)
        return next((entry for entry in found if self.runs(entry)), next(iter(self.dormant(console)), None))

    def dormant(self, console: SerialConsole) -> list[InittabEntry]:
        """The gettys on the console's port that are active, but not in the runlevels that are used."""
        return [e for e in self.on(console) if e.getty is not None and e.terminal == console.port and not self.runs(e)]

    def has_getty(self, console: SerialConsole) -> bool:
        """Whether exactly one program asks for a login on the console, at its speed."""
        holders = [entry for entry in self.on(console) if self.runs(entry)]
        return len(holders) == 1 and holders[0].is_login and has_speed(holders[0], console)

    def has_vga_getty(self, console: SerialConsole | None = None) -> bool:
        """Whether somebody asks for a login on a virtual terminal."""
        logins = (entry for entry in self.entries if entry.is_active and entry.is_login and self.runs(entry))
        return any(_VIRTUAL_TERMINAL.fullmatch(self._port(entry, console)) for entry in logins)

    def misses_vga_getty(self, console: SerialConsole) -> bool:
        """Whether the screen has lost its login: gettys that are comments, or one that has gone to the serial line."""
        if not console.wants_vga or self.has_vga_getty(console):
            return False
        return self.moved() is not None or any(_VIRTUAL_TERMINAL.fullmatch(e.terminal) for e in self.entries)

    def moved(self) -> InittabEntry | None:
        """The login that goes wherever the kernel's console goes."""
        logins = (entry for entry in self.entries if entry.is_active and entry.is_login and self.runs(entry))
        return next((entry for entry in logins if entry.terminal == _CONSOLE), None)

    def _port(self, entry: InittabEntry, console: SerialConsole | None) -> str:
        consoles = self.consoles if self.consoles is not None else _consoles(console)
        if not consoles or entry.terminal not in (_CONSOLE, _FIRST_CONSOLE):
            return entry.terminal
        port = consoles[-1] if entry.terminal == _CONSOLE else consoles[0]
        return "tty1" if port in ("tty0", "tty") else port


def has_speed(entry: InittabEntry, console: SerialConsole) -> bool:
    """Whether an entry leaves the line at the console's speed; login and shells always do."""
    return entry.getty is None or entry.getty.has_speed_of(console)


def facts(text: str, consoles: Sequence[str] | None = None, levels: Collection[str] = ()) -> InittabFacts:
    """What the file starts on terminals. `levels` are runlevels that the kernel command line asks for.

    Raises `ConfigError` for a line that is no entry.
    """
    matches = list(_matches(text))
    active = [match for _, match in matches if not match[1]]
    is_busybox = any(not match[2] or (not match[3] and _TERMINAL.fullmatch(match[2])) for match in active)
    default = {max(match[3]) for match in active if match[4] == "initdefault" and match[3]}
    return InittabFacts(
        entries=tuple(entry for line, match in matches if (entry := _entry(text, line, match, busybox=is_busybox))),
        ids=frozenset(match[2] for match in active),
        is_busybox=is_busybox,
        levels=frozenset(levels or default),
        consoles=None if consoles is None else tuple(consoles),
    )


def _matches(text: str) -> Iterator[tuple[Line, re.Match[str]]]:
    for line in lines(text):
        match = _ENTRY.match(line.body)
        if match is not None:
            yield line, match
        elif line.body.strip() and not line.body.lstrip().startswith("#"):
            raise ConfigError(
                f"no entry id:runlevels:action:process: {line.body.strip()[:40]!r}",
                line=line.number,
                hint="Correct the line or comment it out.",
            )


def _entry(text: str, line: Line, match: re.Match[str], *, busybox: bool) -> InittabEntry | None:
    """The entry of a line, if it holds a terminal."""
    if match[4] not in _ACTIONS or (busybox and match[2] and not _TERMINAL.fullmatch(match[2])):
        return None  # busybox starts nothing on a device that is not there
    command = getty.find(text, line.start + match.start(5), line.stop)
    shell = getty.shell_terminal(match[5])
    given = match[2] if busybox else ""
    if not given:
        given = _FIRST_CONSOLE if match[4].startswith("askconsole") else _CONSOLE
    if command is not None and command.port != "-":
        terminal = command.port
    elif command is not None or shell is not None:
        terminal = shell or given
    else:
        terminal = getty.device(match[5]) or (given if busybox and match[2] else "")
    if not terminal:
        return None
    return InittabEntry(
        line=line.number,
        id=match[2],
        runlevels=match[3],
        action=match[4],
        command=match[5],
        terminal=terminal,
        is_login=command is not None or shell is not None,
        getty=command,
        is_active=not match[1],
        start=line.start,
        body=line.start + match.start(2),
        levels=line.start + match.start(3),
        process=line.start + match.start(5),
        stop=line.stop,
    )


def enable(
    text: str, console: SerialConsole, consoles: Sequence[str] | None = None, levels: Collection[str] = ()
) -> str:
    """`text` with one getty on the console; with the VGA console kept, also on virtual terminals as before.

    What asks for a login there already stays, at the right speed and in the runlevels that are used; a second one
    becomes a comment. Else a comment that shows one becomes active, or a line is added. A program that is no login
    keeps the port. Virtual terminals come back when all their gettys are comments, as an installation over a serial
    line leaves them, and one is added where the screen's only login followed the kernel's console.
    Raises `ConfigError` for a line that is no entry.
    """
    found = facts(text, consoles, levels)
    changes: list[Splice] = []
    running = [entry for entry in found.on(console) if found.runs(entry)]
    dormant = found.dormant(console)
    example = _example(found, console)
    if running:
        changes += _correct(running[0], console)
        if all(entry.is_login for entry in running):
            changes += [Splice(entry.start, entry.start, "#") for entry in running[1:]]
    elif dormant:
        changes += [_add_levels(dormant[0], found.levels), *_correct(dormant[0], console)]
    elif example is not None:
        changes += _activate(example, found, console)
    else:
        changes.append(_add(text, found, console))
    if found.misses_vga_getty(console):
        changes += _screen(text, found)
    return splice(text, changes)


def _consoles(console: SerialConsole | None) -> tuple[str, ...]:
    """What the kernel's consoles are once `console` is enabled."""
    if console is None:
        return ()
    return tuple(argument.removeprefix("console=").split(",")[0] for argument in console.kernel_arguments())


def _correct(entry: InittabEntry, console: SerialConsole) -> Iterator[Splice]:
    if entry.getty is None or entry.getty.has_speed_of(console):
        return
    if entry.getty.speed_range is not None and entry.getty.program != "mgetty":
        yield Splice(*entry.getty.speed_range, str(console.baud))
    else:
        yield Splice(entry.process, entry.stop, getty.command(console))


def _add_levels(entry: InittabEntry, levels: Iterable[str]) -> Splice:
    missing = "".join(sorted(level for level in levels if level not in entry.runlevels))
    end = entry.levels + len(entry.runlevels)
    return Splice(end, end, missing)


def _example(found: InittabFacts, console: SerialConsole) -> InittabEntry | None:
    """A comment such as Debian's `#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100`, for a runlevel that is used."""
    for entry in found.entries:
        command = entry.getty
        if command is None or entry.is_active or command.port != console.port or not command.speed:
            continue
        if command.program in ("getty", "agetty", "start_getty") and found.runs(entry):
            return entry
    return None


def _activate(entry: InittabEntry, found: InittabFacts, console: SerialConsole) -> Iterator[Splice]:
    assert entry.getty is not None
    yield Splice(entry.start, entry.body, "")
    if entry.id in found.ids and not found.is_busybox:
        yield Splice(entry.body, entry.body + len(entry.id), _free_id(found, console))
    if entry.getty.speed_range is not None:
        yield Splice(*entry.getty.speed_range, str(console.baud))
    if entry.getty.terminal_range is not None:
        yield Splice(*entry.getty.terminal_range, console.terminal)


def _add(text: str, found: InittabFacts, console: SerialConsole) -> Splice:
    """A new line behind the last one with a getty, in the dialect and with the runlevels of the file."""
    gettys = [entry for entry in found.entries if entry.getty is not None]
    shells = [
        entry for entry in found.entries if entry.is_active and entry.is_login and not getty.device(entry.command)
    ]
    if found.is_busybox and not gettys and shells:
        action = shells[0].action.replace("askconsole", "askfirst").removesuffix("late")
        return _line_behind(text, found, f"{console.port}::{action}:{shells[0].command}")
    runlevels = next((e.runlevels for e in gettys if _VIRTUAL_TERMINAL.fullmatch(e.terminal)), _RUNLEVELS)
    runlevels += "".join(sorted(level for level in found.levels if runlevels and level not in runlevels))
    identifier = console.port if found.is_busybox else _free_id(found, console)
    paths = [entry.getty.path for entry in gettys if entry.getty and entry.getty.program in ("getty", "agetty")]
    command = getty.command(console, *paths[:1])
    return _line_behind(text, found, f"{identifier}:{'' if found.is_busybox else runlevels}:respawn:{command}")


def _line_behind(text: str, found: InittabFacts, new: str) -> Splice:
    gettys = [entry for entry in found.entries if entry.getty is not None] or found.entries
    end = text.find("\n", gettys[-1].stop) if gettys else -1
    return insert_lines(text, len(text) if end < 0 else end + 1, [new])


def _free_id(found: InittabFacts, console: SerialConsole) -> str:
    """An id of at most four characters, Debian's T0 for ttyS0 before others."""
    names = (f"{letter}{console.unit}" for letter in "TSsHhUuVvXxYyZz")
    return next((name for name in names if name not in found.ids), f"~{console.unit}")


def _screen(text: str, found: InittabFacts) -> Iterator[Splice]:
    """A login on the screen again: the comments that would start one on tty1 to tty6, or a new line for tty1."""
    seen, is_there = set(found.ids), False
    for entry in found.entries:
        if _VIRTUAL_TERMINAL.fullmatch(entry.terminal) and not entry.is_active and entry.id not in seen:
            seen.add(entry.id)
            is_there = True
            yield Splice(entry.start, entry.body, "")
    moved = found.moved()
    if is_there or moved is None:
        return
    path = moved.getty.path if moved.getty is not None else "/sbin/getty"
    command = moved.command if found.is_busybox and moved.getty is None else f"{path} 38400 tty1"
    identifier = "tty1" if found.is_busybox else next(name for name in ("1", "v1", "tty1") if name not in found.ids)
    yield _line_behind(text, found, f"{identifier}:{moved.runlevels}:{moved.action}:{command}")
