"""/etc/inittab of sysvinit and of busybox: who asks for a login on which line.

Systems with systemd have no use for the file. Alpine's and Gentoo's OpenRC run from one of the two inits.

sysvinit: https://manpages.debian.org/bookworm/sysvinit-core/inittab.5.en.html
busybox (whose first field is a device, and which knows no runlevels): examples/inittab in its source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.configtext.text import Splice, insert_lines, lines, splice
from imgkit.errors import ConfigError
from imgkit.inits import getty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.serial import SerialConsole
    from imgkit.inits.getty import GettyCommand

_ENTRY = re.compile(r"(#[ \t]*)?([^:#\s]{0,14}):([0-9A-Za-z*#]{0,14}):([a-z]+):(.*)")
_VIRTUAL_TERMINAL = re.compile(r"tty[1-6]")
_RUNLEVELS = "2345"


@dataclass(frozen=True, slots=True)
class InittabEntry:
    """One line that starts a getty, or a comment that would.

    `start` is the line's offset, `body` that of its id field (behind the comment sign), `process` that of the command.
    """

    line: int
    id: str
    runlevels: str
    getty: GettyCommand
    is_active: bool
    start: int
    body: int
    process: int
    stop: int


@dataclass(frozen=True, slots=True)
class InittabFacts:
    """The gettys of the file, those in comments too. `is_busybox` tells the dialect."""

    gettys: tuple[InittabEntry, ...]
    ids: frozenset[str]
    is_busybox: bool

    def active(self, port: str) -> InittabEntry | None:
        """The getty that runs on a port."""
        return next((entry for entry in self.gettys if entry.is_active and entry.getty.port == port), None)

    def has_getty(self, console: SerialConsole) -> bool:
        """Whether somebody asks for a login on the console, at its speed."""
        entry = self.active(console.port)
        return entry is not None and entry.getty.serves(console)

    def has_vga_getty(self) -> bool:
        """Whether somebody asks for a login on a virtual terminal."""
        return any(entry.is_active and _VIRTUAL_TERMINAL.fullmatch(entry.getty.port) for entry in self.gettys)


def facts(text: str) -> InittabFacts:
    """What the file starts. Raises `ConfigError` for a line that is no entry."""
    gettys, ids, is_busybox = [], set(), False
    for line in lines(text):
        match = _ENTRY.match(line.body)
        is_comment = line.body.lstrip().startswith("#")
        if match is None:
            if line.body.strip() and not is_comment:
                raise ConfigError(
                    f"no entry id:runlevels:action:process: {line.body.strip()[:40]!r}",
                    line=line.number,
                    hint="Correct the line or comment it out.",
                )
            continue
        if not is_comment:
            ids.add(match[2])
            is_busybox |= not match[2]
        command = getty.find(text, line.start + match.start(5), line.stop)
        if command is not None and match[4] == "respawn":
            body, process = line.start + match.start(2), line.start + match.start(5)
            entry = InittabEntry(
                line.number, match[2], match[3], command, not is_comment, line.start, body, process, line.stop
            )
            gettys.append(entry)
    return InittabFacts(tuple(gettys), frozenset(ids), is_busybox)


def enable(text: str, console: SerialConsole) -> str:
    """`text` with a getty on the console; with the VGA console kept, also on virtual terminals as before.

    An active line for the port is corrected, a comment that shows one becomes active, or a line is added. Virtual
    terminals come back when all their gettys are comments, as an installation over a serial line leaves them.
    Raises `ConfigError` for a line that is no entry.
    """
    found = facts(text)
    changes: list[Splice] = []
    active = found.active(console.port)
    example = _example(found, console)
    if active is not None:
        changes += _correct(active, console)
    elif example is not None:
        changes += _activate(example, found, console)
    else:
        changes.append(_add(text, found, console))
    if console.wants_vga and not found.has_vga_getty():
        changes += [Splice(entry.start, entry.body, "") for entry in _virtual_terminals(found)]
    return splice(text, changes)


def _correct(entry: InittabEntry, console: SerialConsole) -> Iterator[Splice]:
    if entry.getty.serves(console):
        return
    if entry.getty.speed_range is not None and entry.getty.program != "mgetty":
        yield Splice(*entry.getty.speed_range, str(console.baud))
    else:
        yield Splice(entry.process, entry.stop, getty.command(console))


def _example(found: InittabFacts, console: SerialConsole) -> InittabEntry | None:
    """A comment such as Debian's `#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100`."""
    for entry in found.gettys:
        if entry.getty.port == console.port and entry.getty.program in ("getty", "agetty") and entry.getty.speed:
            return entry
    return None


def _activate(entry: InittabEntry, found: InittabFacts, console: SerialConsole) -> Iterator[Splice]:
    yield Splice(entry.start, entry.body, "")
    if entry.id in found.ids:
        yield Splice(entry.body, entry.body + len(entry.id), _free_id(found, console))
    if entry.getty.speed_range is not None:
        yield Splice(*entry.getty.speed_range, str(console.baud))
    if entry.getty.terminal_range is not None:
        yield Splice(*entry.getty.terminal_range, console.terminal)


def _add(text: str, found: InittabFacts, console: SerialConsole) -> Splice:
    """A new line behind the last one with a getty, in the dialect and with the runlevels of the file."""
    runlevels = next((e.runlevels for e in found.gettys if _VIRTUAL_TERMINAL.fullmatch(e.getty.port)), _RUNLEVELS)
    identifier = console.port if found.is_busybox else _free_id(found, console)
    paths = [entry.getty.path for entry in found.gettys if entry.getty.program in ("getty", "agetty")]
    command = getty.command(console, *paths[:1])
    last = found.gettys[-1].stop if found.gettys else len(text)
    end = text.find("\n", last)
    return insert_lines(text, len(text) if end < 0 else end + 1, [f"{identifier}:{runlevels}:respawn:{command}"])


def _free_id(found: InittabFacts, console: SerialConsole) -> str:
    """An id of at most four characters, Debian's T0 for ttyS0 before others."""
    names = (f"{letter}{console.unit}" for letter in "TSsHhUuVvXxYyZz")
    return next((name for name in names if name not in found.ids), f"~{console.unit}")


def _virtual_terminals(found: InittabFacts) -> Iterator[InittabEntry]:
    """The comments that would start a getty on tty1 to tty6, the first for each."""
    seen = set(found.ids)
    for entry in found.gettys:
        if _VIRTUAL_TERMINAL.fullmatch(entry.getty.port) and entry.id not in seen:
            seen.add(entry.id)
            yield entry
