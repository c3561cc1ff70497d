"""The menu of a grub.cfg: what boots by itself, and how that is changed.

An entry is named by its id, else by its title, else by its number: conditions and files that are sourced may shift
numbers. A default that a variable decides is taken as the first entry: on a medium that nothing writes to, GRUB's
environment holds no other.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders.bootmenu import BootMenu, Choice, number
from imgkit.bootloaders.grub2 import config as grubcfg

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.bootloaders.grub2.config import MenuEntry
    from imgkit.configtext.text import Setting
    from imgkit.treeedits import TreeEdits


def read(edits: TreeEdits, path: str) -> Iterator[BootMenu]:
    """The menu, if the file has entries of its own."""
    found = grubcfg.facts(edits.text(path) or "")
    entries = [entry for entry in found.entries if not entry.is_hidden]
    if not entries:
        return
    # Versions of GRUB differ on whether hidden entries count.
    numbered = len(entries) == len(found.entries)
    names = _names(entries, numbered=numbered)
    choices = tuple(_choice(path, entry, name) for entry, name in zip(entries, names, strict=True))
    timers = [setting for setting in found.timeouts if setting.name == "timeout"]
    yield BootMenu(
        file=path,
        choices=choices,
        default=_default(entries, choices, found.defaults),
        seconds=number(timers[-1].value) if timers else None,
        timer=(path, timers[-1].line if timers else 0),
    )


def set_default(edits: TreeEdits, menu: BootMenu, choice: Choice) -> None:
    """Have another entry boot by itself."""
    edits.edit(menu.file, partial(grubcfg.set_default, entry=choice.name))


def set_timeout(edits: TreeEdits, menu: BootMenu, seconds: int) -> None:
    """Have the menu wait for `seconds`."""
    edits.edit(menu.file, partial(grubcfg.set_timeout, seconds=seconds))


def _choice(path: str, entry: MenuEntry, name: str) -> Choice:
    kernel = entry.kernels[0] if entry.kernels else None
    return Choice(
        file=path,
        line=kernel.line if kernel else entry.line,
        title=entry.title,
        name=name,
        kernel=kernel.path if kernel else "",
        arguments=kernel.arguments if kernel else (),
        initrds=entry.initrds,
        is_recovery=kernel is not None and kernel.is_recovery,
    )


def _names(entries: Sequence[MenuEntry], *, numbered: bool) -> Iterator[str]:
    """For each entry a name that means it alone, whatever conditions decide; "" where there is none."""
    uses = Counter(name for entry in entries for name in {entry.id, entry.title})
    for place, entry in enumerate(entries):
        numbered = numbered and entry.is_certain
        plain = (name for name in (entry.id, entry.title) if uses[name] == 1 and _is_plain(name))
        yield next(plain, str(place) if numbered else "")


def _is_plain(name: str) -> bool:
    """Whether GRUB takes it for a name: no number, no way into a submenu, no variable."""
    return bool(name) and not name.isdecimal() and not {"$", ">"} & set(name)


def _default(entries: Sequence[MenuEntry], choices: Sequence[Choice], settings: Sequence[Setting]) -> Choice:
    """What boots by itself; where conditions decide among several, one that should not."""
    values = [setting.value for setting in settings if "$" not in setting.value] or ["0"]
    found = [_named(value, entries, choices) for value in values]
    return next((choice for choice in found if choice.unfitness()), found[-1])


def _named(value: str, entries: Sequence[MenuEntry], choices: Sequence[Choice]) -> Choice:
    """The entry of this number, title or id; GRUB takes the first where there is none (Fedora CoreOS: 1 of 1)."""
    name = value.partition(">")[0]
    place = number(name)
    if place is not None:
        return choices[place] if place < len(choices) else choices[0]
    return next((c for e, c in zip(entries, choices, strict=True) if name in (e.id, e.title)), choices[0])
