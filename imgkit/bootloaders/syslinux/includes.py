"""A SYSLINUX menu as a whole: a configuration with all that it includes, in the order in which SYSLINUX reads it.

Which label boots depends on order and nesting across files: Debian includes its labels from inside submenus, and the
last DEFAULT wins wherever it stands. Includes that are missing are passed over, as SYSLINUX does.

Names of files are relative to SYSLINUX's current directory, not to the file that names them. That is the directory of
the configuration that was started; `CONFIG file directory`, or CONFIG with the directory in APPEND, changes it.

The rules: https://wiki.syslinux.org/wiki/index.php?title=Menu and com32/menu/readconfig.c in SYSLINUX's source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgkit.bootloaders.syslinux import config as syslinux
from imgkit.bootloaders.syslinux.labels import Label, is_menu_module, module_name
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.bootloaders.syslinux.config import SyslinuxFacts
    from imgkit.configtext.text import Setting

_MAX_FILES = 500
_MAX_DEPTH = 16
_MAX_SUBMENUS = 64
_MAX_HOPS = 8

Place = tuple[int, ...]
"""The submenus that lead to something: () for the top, numbers in reading order else."""


@dataclass(frozen=True, slots=True)
class Item:
    """A label, its file, the submenus that it is in, and their titles."""

    file: str
    label: Label
    menu: Place
    titles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """A configuration that replaces the menu, and the directory in which its names start."""

    file: str
    folder: str


@dataclass(frozen=True, slots=True)
class Scoped:
    """A directive that belongs to no label: its file, what it says, and the submenu in which it stands."""

    file: str
    setting: Setting
    menu: Place


@dataclass(frozen=True, slots=True)
class Menu:
    """A configuration. `settings` are the directives that belong to no label, in reading order.

    `files` are the configuration and its includes, each once; `folder` is where names start. `lines` are what each page
    lists, in order: labels, and submenus by their place.
    """

    files: tuple[str, ...]
    folder: str
    items: tuple[Item, ...]
    settings: tuple[Scoped, ...]
    lines: dict[Place, tuple[Item | Place, ...]]

    def last(self, name: str, menu: Place | None = None) -> Scoped | None:
        """The setting of this name that is in effect: the last at all, or that of a submenu or of what is around it."""
        found = [scoped for scoped in self.settings if scoped.setting.name == name]
        if menu is None:
            return found[-1] if found else None
        for place in (menu[:depth] for depth in range(len(menu), -1, -1)):
            own = [scoped for scoped in found if scoped.menu == place]
            if own:
                return own[-1]
        return None

    def value(self, name: str, menu: Place | None = None) -> str:
        """First word of the setting's value, "" where there is none."""
        found = self.last(name, menu)
        return next(iter(found.setting.value.split()), "") if found else ""

    def value_of(self, name: str) -> str:
        """The setting's whole value, "" where there is none."""
        found = self.last(name)
        return found.setting.value if found else ""

    def labelled(self, name: str) -> Item | None:
        """The item of this name; the last where there are more."""
        return next((item for item in reversed(self.items) if item.label.name == name), None)

    def path_of(self, name: str, folder: str | None = None) -> str:
        """The path that a name in this menu means."""
        return _absolute(name, self.folder if folder is None else folder)


@dataclass(slots=True)
class _Reader:
    """What has been read so far."""

    folder: str
    text_of: Callable[[str], str | None]
    spelled: Callable[[str], str | None]
    facts: dict[str, SyslinuxFacts] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    settings: list[Scoped] = field(default_factory=list)
    lines: dict[Place, list[Item | Place]] = field(default_factory=lambda: {(): []})
    titles: dict[Place, str] = field(default_factory=dict)
    menu: Place = ()
    submenus: int = 0
    reads: int = 0
    can_title: bool = True

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
        if isinstance(what, Label):
            item = Item(path, what, self.menu)
            self.items.append(item)
            self.can_title = False
            if not what.is_hidden:
                self.lines[self.menu].append(item)
        elif what.name in ("include", "menu include"):
            self._include(path, what, above)
        else:
            self.settings.append(Scoped(path, what, self.menu))
            if what.name == "menu begin":
                self._begin(path, what, what.value)
            elif what.name == "menu end":
                self.menu = self.menu[:-1]
            elif what.name in ("menu label", "menu title") and self.menu and self.can_title:
                self.titles[self.menu] = what.value.replace("^", "")

    def _include(self, path: str, what: Setting, above: tuple[str, ...]) -> None:
        """A file, or, where a title follows its name, a submenu made of it."""
        name, *title = what.value.split(maxsplit=1) or [""]
        target = self.resolved(name)
        if title:
            self._begin(path, what, title[0])
            self.read(target, (*above, path))
            self.menu = self.menu[:-1]
        else:
            self.read(target, (*above, path))

    def _begin(self, path: str, what: Setting, title: str) -> None:
        if len(self.menu) == _MAX_SUBMENUS:
            raise ConfigError(f"nests submenus deeper than {_MAX_SUBMENUS}", line=what.line, path=path)
        self.submenus += 1
        inner = (*self.menu, self.submenus)
        self.lines[self.menu].append(inner)
        self.menu, self.can_title = inner, True
        self.lines[inner] = []
        self.titles[inner] = title.replace("^", "")

    def resolved(self, name: str) -> str:
        path = _absolute(name, self.folder)
        return self.spelled(path) or path

    def titled(self, item: Item) -> Item:
        """The item with the titles of its submenus, which may stand behind it."""
        titles = tuple(self.titles.get(item.menu[:depth], "") for depth in range(1, len(item.menu) + 1))
        return Item(item.file, item.label, item.menu, titles)


def read(
    path: str,
    text_of: Callable[[str], str | None],
    spelled: Callable[[str], str | None] | None = None,
    *,
    folder: str | None = None,
) -> Menu:
    """The menu that starts at `path`. `text_of` gives the text of a file, None where there is none.

    `spelled` gives the path that a name in the menu leads to, for trees that tell upper from lower case; `folder` is
    where names start, by default that of the file.

    Raises `ConfigError` for what is no configuration of SYSLINUX, and for includes without end.
    """
    reader = _Reader(path.rpartition("/")[0] if folder is None else folder, text_of, spelled or (lambda name: name))
    reader.read(path, ())
    for name in _menu_files(reader):
        reader.read(reader.resolved(name), ())
    items = {id(item): reader.titled(item) for item in reader.items}
    lines = {
        place: tuple(items[id(line)] if isinstance(line, Item) else line for line in page)
        for place, page in reader.lines.items()
    }
    return Menu(tuple(reader.facts), reader.folder, tuple(items.values()), tuple(reader.settings), lines)


def _menu_files(reader: _Reader) -> list[str]:
    """Files that the module of UI or DEFAULT is given: it shows their labels as the menu."""
    commands = [scoped.setting for scoped in reader.settings if scoped.setting.name in ("ui", "default")]
    ui = [setting for setting in commands if setting.name == "ui"]
    last = (ui or commands)[-1:]
    return [
        name for setting in last if is_menu_module(setting.value) for name in setting.value.split()[1:] if name != "~"
    ]


def chains(menu: Menu, item: Item) -> list[Chain]:
    """The configurations that an item leads to, by CONFIG or as files of a menu's module; none for what boots.

    Their files are names as the menu has them, resolved but not looked up.
    """
    label = item.label
    if label.kind == "config":
        name, *behind = label.path.split() or [""]
        folder = next(iter((*behind, *label.words)), None)
        changed = menu.folder if folder is None else menu.path_of(folder).rstrip("/")
        return [Chain(menu.path_of(name), changed)] if name else []
    if label.shows_menu:
        return [Chain(menu.path_of(name), menu.folder) for name in label.words if name != "~"]
    return []


def default_item(menu: Menu) -> Item | None:
    """The label that boots when Enter is pressed, and, without ONTIMEOUT, when time is up; None where none does.

    Where a module shows a menu, UI and DEFAULT together name a label, in a submenu as well; else it is the last MENU
    DEFAULT of the page that shows first, or the first label there. A submenu that is the default shows its own page.
    Without a menu, it is the label that DEFAULT names.
    """
    named = menu.labelled(menu.value("default"))
    if not shows_menu(menu) or (_has_ui(menu) and named):
        return named
    place = start_place(menu)
    for _ in range(_MAX_SUBMENUS):
        line = _default_line(menu, place)
        if line is None or isinstance(line, Item):
            return line
        place = line
    return None


def start_place(menu: Menu) -> Place:
    """The page that shows first: that of the label that UI and DEFAULT name, of MENU START, or the top."""
    named = menu.labelled(menu.value("default"))
    if _has_ui(menu) and named:
        return named.menu
    start = menu.last("menu start")
    return start.menu if start else ()


def _has_ui(menu: Menu) -> bool:
    """Whether the menu's module is not named by DEFAULT, which is free to name a label."""
    return bool(menu.value("ui") or menu.last("gfxboot"))


def _default_line(menu: Menu, place: Place) -> Item | Place | None:
    marks: list[tuple[int, Item | Place]] = []
    page = menu.lines.get(place, ())
    for number, line in enumerate(page):
        if isinstance(line, Item):
            if line.label.is_default and not line.label.is_disabled:
                marks.append((number, line))
        elif any(scoped.menu == line and scoped.setting.name == "menu default" for scoped in menu.settings):
            marks.append((number, line))
    if marks:
        return marks[-1][1]
    return next((line for line in page if not (isinstance(line, Item) and line.label.is_disabled)), None)


def targets(menu: Menu, item: Item, hops: int = _MAX_HOPS) -> list[Item]:
    """What an item comes to, where it is a module that chooses a label by the machine; else the item itself."""
    label = item.label
    if label.module == "whichsys":
        words = dict(zip(label.words[::2], label.words[1::2], strict=False))
        names = [words["-iso-"]] if "-iso-" in words else list(words.values())
    elif label.module in ("ifcpu64", "ifcpu"):
        segments = " ".join(label.words).split(" -- ")
        names = [segment.split()[0] for segment in segments if segment.split()]
    else:
        return [item]
    found = [named for name in names if (named := menu.labelled(name)) is not None]
    return [target for named in found for target in (targets(menu, named, hops - 1) if hops else [])]


def shows_menu(menu: Menu) -> bool:
    """Whether a module shows the labels as a menu, by UI or DEFAULT, or by the label that DEFAULT names.

    gfxboot does as well: what it starts, and when, is what the same lines say without it.
    """
    command = menu.value("ui") or menu.value("default")
    if is_menu_module(command) or module_name(command) == "gfxboot" or menu.last("gfxboot"):
        return True
    named = None if menu.value("ui") else menu.labelled(command)
    return named is not None and named.label.shows_menu and not [word for word in named.label.words if word != "~"]


def _facts(path: str, text: str) -> SyslinuxFacts:
    """The facts of one file; an error names it, which is not always the file that was started."""
    try:
        return syslinux.facts(text)
    except ConfigError as error:
        error.path = path
        raise


def _absolute(name: str, folder: str) -> str:
    return re.sub("/+", "/", name if name.startswith("/") else f"{folder}/{name}")


def _by_line(found: SyslinuxFacts) -> Iterator[Label | Setting]:
    own = [setting for setting in found.settings if setting.name not in ("include", "menu include")]
    everything: list[Label | Setting] = [*own, *found.includes, *found.labels]
    yield from sorted(everything, key=lambda what: what.line)
