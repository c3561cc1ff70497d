"""The menus of ISOLINUX and SYSLINUX: what boots by itself, and how that is changed.

ONTIMEOUT boots something else than Enter does: Debian starts speech synthesis so. The menu of gfxboot, which older
openSUSE and Ubuntu have, draws pictures only; without it the menu, or the prompt, of SYSLINUX itself shows.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from imgkit.bootloaders.bootmenu import BootMenu, Choice, number
from imgkit.bootloaders.syslinux import config as syslinux
from imgkit.bootloaders.syslinux import includes as syslinuxmenu
from imgkit.bootloaders.syslinux import loader as extlinux

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.bootloaders.syslinux.includes import Item, Menu
    from imgkit.configtext.text import Setting
    from imgkit.treeedits import TreeEdits

_GFXBOOT = re.compile(r"(?:\S*/)?gfxboot(?:\.c32|\.com)?(?!\S)", re.IGNORECASE)


def read(edits: TreeEdits, path: str) -> Iterator[BootMenu]:
    """The menu that starts at `path`, or those that it leads to, where it only chooses between them."""
    return map(_boot_menu, extlinux.first_menus(list(extlinux.menus_of(edits, path))))


def set_default(edits: TreeEdits, menu: BootMenu, choice: Choice) -> None:
    """Have another label boot by itself. Enter follows, unless it boots something else that stays."""
    found = syslinuxmenu.read(menu.file, edits.text, edits.spelled)
    new = next(item for item in found.items if (item.file, item.label.name) == (choice.file, choice.name))
    old = syslinuxmenu.default_item(found)
    takes_enter = menu.on_enter is None or old == new or menu.text_twin(menu.on_enter) == choice
    if found.last("ontimeout") is not None:
        _set_on_timeout(edits, found, "" if takes_enter else choice.name)
    if not takes_enter or old == new:
        return
    if syslinuxmenu.shows_menu(found):
        _mark(edits, found, new)
    name, labels = found.value("default"), {item.label.name for item in found.items}
    if not name and not syslinuxmenu.shows_menu(found):
        edits.edit(menu.file, partial(syslinux.set_default, old="", new=new.label.name))
    wrong = {old.label.name} if old else set()
    if name and (name in labels or not syslinuxmenu.shows_menu(found)):
        wrong.add(name)
    for file, unfit in product(found.files, sorted(wrong)):
        edits.edit(file, partial(syslinux.set_default, old=unfit, new=new.label.name))


def set_timeout(edits: TreeEdits, menu: BootMenu, seconds: int) -> None:
    """Have the menu wait for `seconds`."""
    extlinux.set_timeout(edits, syslinuxmenu.read(menu.file, edits.text, edits.spelled), seconds)


def drop_gfxboot(edits: TreeEdits, path: str) -> None:
    """Take gfxboot out of the menus that start at `path`."""
    for file, setting in _gfxboot(edits, path):
        edits.edit(file, partial(_without, keywords=(setting.name,)))


def gfxboot_line(edits: TreeEdits, path: str) -> tuple[str, int] | None:
    """File and line that start gfxboot; None where nothing does."""
    return next(((file, setting.line) for file, setting in _gfxboot(edits, path)), None)


def _gfxboot(edits: TreeEdits, path: str) -> list[tuple[str, Setting]]:
    """The settings that start it: UI, or, in old patched versions, a keyword of its own."""
    return [
        (file, setting)
        for menu in extlinux.menus_of(edits, path)
        for file, setting in menu.settings
        if setting.name == "gfxboot" or (setting.name == "ui" and _GFXBOOT.match(setting.value))
    ]


def _boot_menu(menu: Menu) -> BootMenu:
    is_menu = syslinuxmenu.shows_menu(menu)
    uses = Counter(item.label.name for item in menu.items)
    listed = (item for item in menu.items if not (is_menu and item.menu))
    item, on_timeout = syslinuxmenu.default_item(menu), _on_timeout(menu)
    on_enter = _choice(item) if item else None
    timeout = menu.last("timeout")
    return BootMenu(
        file=menu.files[0],
        choices=tuple(_choice(item, is_named=uses[item.label.name] == 1) for item in listed),
        default=on_timeout or on_enter,
        seconds=_seconds(menu, is_menu=is_menu),
        timer=(timeout[0], timeout[1].line) if timeout else (menu.files[0], 0),
        on_enter=on_enter if on_timeout and on_timeout != on_enter else None,
    )


def _choice(item: Item, *, is_named: bool = True) -> Choice:
    label = item.label
    return Choice(
        file=item.file,
        line=label.append_line or label.line,
        title=label.title or label.name,
        name=label.name if is_named and len(label.name.split()) == 1 else "",
        kernel=label.path if label.is_linux else "",
        arguments=label.arguments,
        initrds=label.initrds,
        is_recovery=label.is_recovery,
    )


def _on_timeout(menu: Menu) -> Choice | None:
    """What ONTIMEOUT boots, a label or a command line; None where it is not set."""
    found = menu.last("ontimeout")
    if found is None:
        return None
    file, setting = found
    name, *arguments = setting.value.split() or [""]
    named = [item for item in menu.items if item.label.name == name]
    if named:
        return _choice(named[-1])
    kernel = name if syslinux.kernel_is_linux(name) else ""
    return Choice(file, setting.line, "ONTIMEOUT", "", kernel, tuple(arguments))


def _seconds(menu: Menu, *, is_menu: bool) -> float | None:
    """How long it waits: TIMEOUT is in tenths of a second, 0 is for ever, and without a prompt there is no waiting."""
    if not is_menu and menu.value("prompt") in ("", "0"):
        return 0
    tenths = number(menu.value("timeout"))
    return tenths / 10 if tenths else None


def _set_on_timeout(edits: TreeEdits, menu: Menu, name: str) -> None:
    """Have a label boot when time is up, or, with "", the same as for Enter; what announces something else goes."""
    for file in {file for file, setting in menu.settings if setting.name == "ontimeout"}:
        edits.edit(file, partial(_without, keywords=("menu autoboot",) if name else ("ontimeout", "menu autoboot")))
        if name:
            edits.edit(file, partial(syslinux.set_on_timeout, new=name))


def _without(text: str, keywords: tuple[str, ...]) -> str:
    return syslinux.remove_directives(text, *keywords)


def _mark(edits: TreeEdits, menu: Menu, new: Item) -> None:
    """Move MENU DEFAULT to one label of the first page."""
    top = [item for item in menu.items if not item.menu]
    for file in dict.fromkeys(item.file for item in top):
        lose = {item.label.line for item in top if item.file == file and item != new}
        gain = {new.label.line} if file == new.file else set()
        edits.edit(file, partial(syslinux.move_menu_default, gain=gain, lose=lose))
