"""What comes of following a GRUB script: the menus that it leads to, with all that matters of them for a console."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.bootloaders.grub2.script import Command, Statement
    from imgkit.bootloaders.grub2.source import Source
    from imgkit.bootloaders.grub2.terminal import Terminals
    from imgkit.bootloaders.grub2.variables import Values
    from imgkit.bootloaders.grub2.words import Word


class Anchor(NamedTuple):
    """A statement of a file, outside all others, that is running: new commands can be put in front of it."""

    source: Source
    statement: Statement


@dataclass(frozen=True, slots=True)
class Step:
    """A command that ran. `operands` are expanded where they are known; `is_certain`: no condition decides it.

    `anchor` is the statement of the file that it is written in, `own_anchor` the one of the menu itself that led to it.
    """

    source: Source
    command: Command
    operands: tuple[str, ...]
    anchor: Anchor
    own_anchor: Anchor
    is_certain: bool

    @property
    def line(self) -> int:
        """The line of the file, from 1, that it is written on."""
        return self.source.line(self.command.start)


@dataclass(frozen=True, slots=True)
class Assignment:
    """A value given to one of the menu's own variables before the menu shows, and the word that does it."""

    source: Source
    name: str
    value: str
    word: Word

    @property
    def line(self) -> int:
        """The line of the file, from 1, that it is written on."""
        return self.source.line(self.word.start)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A command that loads Linux: file and line, the path, the arguments, and whether they start a rescue system.

    Arguments with `$variables` that are not known stand as they are written. `hypervisor` holds the arguments of the
    Xen (or other multiboot kernel) that starts this one, None where it starts by itself.
    """

    file: str
    line: int
    path: str
    arguments: tuple[str, ...]
    is_recovery: bool
    hypervisor: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A menu entry, or a submenu with its entries. `title` and `id` are expanded where they are known.

    `is_certain` says that no condition decides whether it is there, `is_hidden` that only a key leads to it. `kernels`
    and `initrds` are what it loads itself, `leads_to` is the file of the menu that it opens by `configfile`, or "".
    """

    file: str
    line: int
    title: str
    id: str
    is_certain: bool
    is_hidden: bool
    kernels: tuple[Kernel, ...]
    initrds: tuple[str, ...]
    entries: tuple[Entry, ...]
    leads_to: str = ""


@dataclass(frozen=True, slots=True)
class Menu:
    """A menu: the file that GRUB starts with, and what running it, and all that it sources, comes to.

    `switches` are the `serial` and `terminal*` commands that run before it shows, `states` is their effect along every
    path, `settings` are the assignments of `default`, `timeout` and `timeout_style`, `defaults` what `default` then
    may be. `first_switch` is the first command that sets a terminal, `first_item` the first that adds to the menu.
    `shows` says that it has entries, `by_itself` that nobody has to choose it.
    """

    file: str
    entries: tuple[Entry, ...]
    switches: tuple[Step, ...]
    settings: tuple[Assignment, ...]
    states: frozenset[Terminals]
    defaults: Values
    first_switch: Step | None
    first_item: Step | None
    shows: bool
    by_itself: bool

    def kernels(self) -> Iterator[tuple[Entry, Kernel]]:
        """What its entries load, those of submenus too."""
        return _kernels(self.entries)


@dataclass(frozen=True, slots=True)
class Problem:
    """What could not be followed: where it is written, and why."""

    file: str
    line: int
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Journey:
    """All that a start file leads to: its own menu first, then others, the scripts on the way, and what was not found.

    `sources` are those of files and of strings given to `eval`, each once.
    """

    menus: tuple[Menu, ...]
    sources: tuple[Source, ...]
    problems: tuple[Problem, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """The files, the start first, each once."""
        return tuple(dict.fromkeys(source.file for source in self.sources))


def _kernels(entries: tuple[Entry, ...]) -> Iterator[tuple[Entry, Kernel]]:
    for entry in entries:
        yield from ((entry, kernel) for kernel in entry.kernels)
        yield from _kernels(entry.entries)


@dataclass(slots=True)
class Page:
    """A menu, or a submenu, or an entry, while it is being read."""

    is_menu: bool = True
    by_itself: bool = False
    in_doubt: bool = False
    shows: bool = False
    pending: list[Step] = field(default_factory=list)
    switches: list[Step] = field(default_factory=list)
    settings: list[Assignment] = field(default_factory=list)
    commands: list[Step] = field(default_factory=list)
    first_item: Step | None = None
    leads_to: str = ""
