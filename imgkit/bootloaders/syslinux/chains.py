"""Menus that one configuration of SYSLINUX leads to: labels and CONFIG lines that put another one in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.bootloaders.syslinux import includes as syslinuxmenu

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgkit.treeedits import TreeEdits

_MAX_CHAINED = 50


def menus_of(edits: TreeEdits, path: str) -> Iterator[syslinuxmenu.Menu]:
    """The menu at `path`, then those that replace it when they are chosen. What is missing is passed over."""
    seen = {path}
    pending = [syslinuxmenu.Chain(path, path.rpartition("/")[0])]
    while pending and len(seen) < _MAX_CHAINED:
        chain = pending.pop(0)
        menu = syslinuxmenu.read(chain.file, edits.text, edits.spelled, folder=chain.folder)
        if menu.files:
            yield menu
        for item in menu.items:
            for chained in _resolved(edits, syslinuxmenu.chains(menu, item)):
                if chained.file not in seen and chained.file not in menu.files:
                    seen.add(chained.file)
                    pending.append(chained)


def first_menus(edits: TreeEdits, menus: list[syslinuxmenu.Menu]) -> list[syslinuxmenu.Menu]:
    """The menu that shows first; where that only goes on to others, by itself or by architecture, those."""
    by_file = {menu.files[0]: menu for menu in menus}
    found: dict[str, syslinuxmenu.Menu] = {}
    pending = menus[:1]
    while pending:
        menu = pending.pop(0)
        item = syslinuxmenu.default_item(menu)
        reached = syslinuxmenu.targets(menu, item) if item else []
        on = [chain for target in reached for chain in _resolved(edits, syslinuxmenu.chains(menu, target))]
        after = [by_file[chain.file] for chain in on if chain.file in by_file]
        if not after:
            found[menu.files[0]] = menu
        pending += [other for other in after if other.files[0] not in found and other is not menu][:_MAX_CHAINED]
        by_file = {file: other for file, other in by_file.items() if other not in after}
    return list(found.values())


def menu_at(edits: TreeEdits, start: str, file: str) -> syslinuxmenu.Menu:
    """The menu that begins with `file`, among those that `start` leads to."""
    return next(menu for menu in menus_of(edits, start) if menu.files[0] == file)


def _resolved(edits: TreeEdits, chains: Iterable[syslinuxmenu.Chain]) -> list[syslinuxmenu.Chain]:
    return [syslinuxmenu.Chain(edits.spelled(chain.file) or chain.file, chain.folder) for chain in chains]
