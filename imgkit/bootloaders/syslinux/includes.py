"""A SYSLINUX menu as a whole: a configuration with all that it includes, in the order in which SYSLINUX reads it.

Which label boots depends on order and nesting across files: Debian includes its labels from inside submenus, and the
last DEFAULT wins wherever it stands. Includes that are missing are passed over, as SYSLINUX does.

Names of files are relative to the directory of the configuration that was started, not to the file that names them.

The rules: https://wiki.syslinux.org/wiki/index.php?title=Menu and com32/menu/readconfig.c in SYSLINUX's source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgkit.bootloaders.syslinux import config as syslinux
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.bootloaders.syslinux.config import Label, SyslinuxFacts
    from imgkit.configtext.text import Setting

_MAX_FILES = 500
_MAX_DEPTH = 16
_MAX_SUBMENUS = 64
# Modules that show the labels as a menu. gfxboot does as well, but by a configuration of its own.
_MENU_MODULE = re.compile(r"(?:.*/)?(?:vesa)?menu(?:\.c32)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Item:
    """A label, its file, and the submenus that it is in: () for the top, numbers in reading order else."""

    file: str
    label: Label
    menu: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Menu:
    """A configuration. `settings` are (file, setting) of the directives that belong to no label, in reading order.

    `files` are the configuration and its includes, each once; `chained` those that CONFIG names, which replace it.
    """

    files: tuple[str, ...]
    chained: tuple[str, ...]
    items: tuple[Item, ...]
    settings: tuple[tuple[str, Setting], ...]

    def last(self, name: str) -> tuple[str, Setting] | None:
        """File and setting of this name that is in effect."""
        return next((pair for pair in reversed(self.settings) if pair[1].name == name), None)

    def value(self, name: str) -> str:
        """First word of the setting's value, "" where there is none."""
        found = self.last(name)
        return next(iter(found[1].value.split()), "") if found else ""


@dataclass(slots=True)
class _Reader:
    """What has been read so far."""

    folder: str
    text_of: Callable[[str], str | None]
    spelled: Callable[[str], str | None]
    facts: dict[str, SyslinuxFacts] = field(default_factory=dict)
    chained: dict[str, None] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    settings: list[tuple[str, Setting]] = field(default_factory=list)
    menu: tuple[int, ...] = ()
    submenus: int = 0
    reads: int = 0

    def read(self, path: str, above: tuple[str, ...]) -> None:
        """Take a file in, and what it includes, where that is named."""
        if path in above or len(above) > _MAX_DEPTH:  # a loop: SYSLINUX stops at some depth too
            return
        self.reads += 1
        if self.reads > _MAX_FILES:
            raise ConfigError(f"includes files more than {_MAX_FILES} times", path=above[0] if above else path)
        if path not in self.facts:
            text = self.text_of(path)
            if text is None:
                return
            self.facts[path] = _facts(path, text)
        for line in _by_line(self.facts[path]):
            self._take(path, line, above)

    def _take(self, path: str, what: Label | Setting, above: tuple[str, ...]) -> None:
        if isinstance(what, syslinux.Label):
            self.items.append(Item(path, what, self.menu))
        elif what.name in ("include", "menu include"):
            self.read(self._path(what.value), (*above, path))
        elif what.name == "config":
            self.chained[self._path(what.value)] = None
        else:
            self.settings.append((path, what))
            if what.name == "menu begin":
                if len(self.menu) == _MAX_SUBMENUS:
                    message = f"nests submenus deeper than {_MAX_SUBMENUS}"
                    raise ConfigError(message, line=what.line, path=path)
                self.submenus += 1
                self.menu = (*self.menu, self.submenus)
            elif what.name == "menu end":
                self.menu = self.menu[:-1]

    def _path(self, value: str) -> str:
        name = next(iter(value.split()), "")  # a title may follow the name
        path = re.sub("/+", "/", name if name.startswith("/") else f"{self.folder}/{name}")
        return self.spelled(path) or path


def read(path: str, text_of: Callable[[str], str | None], spelled: Callable[[str], str | None] | None = None) -> Menu:
    """The menu that starts at `path`. `text_of` gives the text of a file, None where there is none.

    `spelled` gives the path that a name in the menu leads to, for trees that tell upper from lower case.

    Raises `ConfigError` for what is no configuration of SYSLINUX, and for includes without end.
    """
    reader = _Reader(path.rpartition("/")[0], text_of, spelled or (lambda name: name))
    reader.read(path, ())
    files = tuple(reader.facts)
    chained = tuple(file for file in reader.chained if file not in files)
    return Menu(files, chained, tuple(reader.items), tuple(reader.settings))


def default_item(menu: Menu) -> Item | None:
    """The label that boots when Enter is pressed, and, without ONTIMEOUT, when time is up; None where none does.

    Where a module shows a menu, UI and DEFAULT together name a label; else it is the last MENU DEFAULT at the top, or
    the first label there. Without a menu, it is the label that DEFAULT names.
    """
    named = [item for item in menu.items if item.label.name == menu.value("default")]
    if not shows_menu(menu) or (menu.value("ui") and named):
        return named[-1] if named else None
    top = [item for item in menu.items if not item.menu]
    marked = [item for item in top if item.label.is_default]
    return marked[-1] if marked else next(iter(top), None)


def shows_menu(menu: Menu) -> bool:
    """Whether a module shows the labels as a menu."""
    return _MENU_MODULE.fullmatch(menu.value("ui") or menu.value("default")) is not None


def _facts(path: str, text: str) -> SyslinuxFacts:
    """The facts of one file; an error names it, which is not always the file that was started."""
    try:
        return syslinux.facts(text)
    except ConfigError as error:
        error.path = path
        raise


def _by_line(found: SyslinuxFacts) -> Iterator[Label | Setting]:
    names = {"include", "menu include", "config"}
    own = [setting for setting in found.settings if setting.name not in names]
    everything: list[Label | Setting] = [*own, *found.includes, *found.labels]
    yield from sorted(everything, key=lambda what: what.line)
