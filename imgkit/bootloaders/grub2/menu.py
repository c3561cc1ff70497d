"""The menus of GRUB that nobody has to choose: what boots by itself, and how that is changed.

An entry is named by its id, else by its title, else by its number: conditions and files that are sourced may shift
numbers. Names of nested entries are joined by ">". A default that a variable decides is taken as the first entry: on
a medium that nothing writes to, GRUB's environment holds no other.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from imgkit.bootloaders.bootmenu import BootMenu, Choice, number
from imgkit.bootloaders.grub2 import config
from imgkit.bootloaders.grub2.follow import follow
from imgkit.bootloaders.grub2.variables import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.bootloaders.grub2.menus import Entry, Journey, Menu
    from imgkit.treeedits import TreeEdits

_MAX_LINKS = 10
_NESTED = re.compile(r"(?<!>)>(?!>)")  # ">>" stands for the character itself


def read(edits: TreeEdits, path: str) -> Iterator[BootMenu]:
    """The menus that the file at `path` shows by itself."""
    journey = follow(edits, path)
    for menu in shown_menus(journey):
        if any(not entry.is_hidden for entry in menu.entries):
            yield _boot_menu(journey, menu)


def set_default(edits: TreeEdits, menu: BootMenu, choice: Choice) -> None:
    """Have another entry boot by itself."""
    config.set_variables(edits, menu.file, {"default": choice.name})


def set_timeout(edits: TreeEdits, menu: BootMenu, seconds: int) -> None:
    """Have the menu wait for `seconds`."""
    config.set_variables(edits, menu.file, {"timeout": str(seconds), "timeout_style": "menu"})


def shown_menus(journey: Journey) -> list[Menu]:
    """The menus that nobody has to choose, with those that their default entries open."""
    found = {menu.file: menu for menu in journey.menus if menu.shows and menu.by_itself}
    for menu in list(found.values()):
        for _ in range(_MAX_LINKS):
            opened = {entry.leads_to for path in _defaults(menu) for entry in path[-1:]}
            behind = next((other for other in journey.menus if other.file in opened - {*found}), None)
            if behind is None or not behind.shows:
                break
            menu = found[behind.file] = behind  # noqa: PLW2901 - the next link of the chain
    return list(found.values())


def _boot_menu(journey: Journey, menu: Menu) -> BootMenu:
    timers = [setting for setting in menu.settings if setting.name == "timeout"]
    choices = tuple(_choices(journey, menu.entries, (), ""))
    defaults = [_choice(journey, path[-1], "", path[:-1]) for path in _defaults(menu)]
    # Where conditions decide among several, one that should not.
    default = next((choice for choice in defaults if choice.unfitness()), defaults[-1])
    return BootMenu(
        file=menu.file,
        choices=choices,
        default=default,
        seconds=number(timers[-1].value) if timers else None,
        timer=(timers[-1].source.file, timers[-1].line) if timers else (menu.file, 0),
        others=tuple(choice for choice in defaults if choice != default),
    )


def _choices(journey: Journey, entries: Sequence[Entry], outer: tuple[Entry, ...], prefix: str) -> Iterator[Choice]:
    """The entries of a page, then those of its submenus."""
    named = list(zip(_visible(entries), _names(entries), strict=True))
    for entry, name in named:
        is_named = bool(name) and (bool(prefix) or not outer)
        yield _choice(journey, entry, prefix + name if is_named else "", outer)
    for entry, name in named:
        yield from _choices(journey, entry.entries, (*outer, entry), f"{prefix}{name}>" if name else "")


def _choice(journey: Journey, entry: Entry, name: str, outer: tuple[Entry, ...]) -> Choice:
    boots = _booted(journey, entry)
    kernel = boots.kernels[0] if boots.kernels else None
    return Choice(
        file=kernel.file if kernel and boots is entry else entry.file,
        line=kernel.line if kernel and boots is entry else entry.line,
        title=entry.title,
        name=name,
        kernel=kernel.path if kernel else "",
        arguments=kernel.arguments if kernel else (),
        initrds=boots.initrds,
        is_recovery=kernel is not None and kernel.is_recovery,
        submenus=tuple(submenu.title for submenu in outer),
    )


def _booted(journey: Journey, entry: Entry) -> Entry:
    """What an entry boots in the end, if it opens another menu and nobody does anything there."""
    for _ in range(_MAX_LINKS):
        behind = next((menu for menu in journey.menus if menu.file == entry.leads_to), None)
        if behind is None or entry.kernels or not _visible(behind.entries):
            break
        entry = _defaults(behind)[-1][-1]
    return entry


def _visible(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if not entry.is_hidden]


def _names(entries: Sequence[Entry]) -> Iterator[str]:
    """For each entry a name that means it alone, whatever conditions decide; "" where there is none."""
    visible = _visible(entries)
    # Versions of GRUB differ on whether hidden entries count.
    numbered = len(visible) == len(entries)
    uses = Counter(name for entry in visible for name in {entry.id, entry.title})
    for place, entry in enumerate(visible):
        numbered = numbered and entry.is_certain
        plain = (name for name in (entry.id, entry.title) if uses[name] == 1 and _is_plain(name))
        yield next(plain, str(place) if numbered else "")


def _is_plain(name: str) -> bool:
    """Whether GRUB takes it for a name: no number, no way into a submenu, no variable."""
    return bool(name) and not name.isdecimal() and not {"$", ">"} & set(name)


def _defaults(menu: Menu) -> list[tuple[Entry, ...]]:
    """What boots by itself, each of the entries that conditions may choose: it, behind all that it is nested in."""
    values = sorted(value for value in menu.defaults if UNKNOWN not in value) or ["0"]
    return list(dict.fromkeys(_named(value, menu.entries) for value in values))


def _named(value: str, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entry of this number, title or id, or path of those; GRUB takes the first where there is none."""
    found: list[Entry] = []
    steps = [step.replace(">>", ">") for step in _NESTED.split(value)]
    while visible := _visible(entries):
        step = steps.pop(0) if steps else ""
        place = number(step)
        if place is None:
            entry = next((entry for entry in visible if step and step in (entry.id, entry.title)), None)
        else:
            entry = visible[place] if place < len(visible) else None
        found.append(entry or visible[0])
        entries = found[-1].entries if not found[-1].kernels else ()
    return tuple(found)
