"""The menus of ISOLINUX and SYSLINUX: what boots by itself, and how that is changed.

ONTIMEOUT boots something else than Enter does: Debian starts speech synthesis so.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from imgkit.bootloaders.bootmenu import BootMenu, Choice, number
from imgkit.bootloaders.syslinux import chains
from imgkit.bootloaders.syslinux import config as syslinux
from imgkit.bootloaders.syslinux import includes as syslinuxmenu
from imgkit.bootloaders.syslinux import loader as extlinux
from imgkit.bootloaders.syslinux.labels import is_menu_module, kernel_is_linux, looks_like_linux

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.bootloaders.syslinux.includes import Item, Menu, Place
    from imgkit.treeedits import TreeEdits


def read(edits: TreeEdits, path: str) -> Iterator[BootMenu]:
    """The menu that starts at `path`, or those that it leads to, where it only chooses between them."""
    found = chains.first_menus(edits, list(chains.menus_of(edits, path)))
    return (_boot_menu(menu, path) for menu in found)


def set_default(edits: TreeEdits, menu: BootMenu, choice: Choice) -> None:
    """Have another label boot by itself. Enter follows, unless it boots something else that stays."""
    found = chains.menu_at(edits, menu.start, menu.file)
    new = next(item for item in found.items if (item.file, item.label.name) == (choice.file, choice.name))
    old = syslinuxmenu.default_item(found)
    takes_enter = menu.on_enter is None or old == new or menu.text_twin(menu.on_enter) == choice
    is_elsewhere = syslinuxmenu.shows_menu(found) and new.menu != syslinuxmenu.start_place(found)
    if found.last("ontimeout") is not None or is_elsewhere:
        stays = is_elsewhere or not takes_enter
        _set_on_timeout(edits, found, choice.name if stays else "")
    if not takes_enter or is_elsewhere or old == new:
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
    extlinux.set_timeout(edits, chains.menu_at(edits, menu.start, menu.file), seconds)


def _boot_menu(menu: Menu, start: str) -> BootMenu:
    uses = Counter(item.label.name for item in menu.items)
    listed = (item for item in sorted(menu.items, key=lambda item: len(item.menu)) if not item.label.is_hidden)
    item, on_timeout = syslinuxmenu.default_item(menu), _on_timeout(menu)
    reached = syslinuxmenu.targets(menu, item) if item else []
    on_enter = _with_words(_first_to_care_for(reached), _words_behind(menu, item)) or _command(menu, "default")
    timeout = menu.last("timeout", _page(menu))
    return BootMenu(
        file=menu.files[0],
        choices=tuple(_choice(item, is_named=uses[item.label.name] == 1) for item in listed),
        default=on_timeout or on_enter,
        seconds=_seconds(menu),
        timer=(timeout.file, timeout.setting.line) if timeout else (menu.files[0], 0),
        on_enter=on_enter if on_timeout and on_timeout != on_enter else None,
        start=start,
        is_chosen_by_machine=on_timeout is None and reached != [item],
    )


def _first_to_care_for(reached: Sequence[Item]) -> Choice | None:
    """What boots; where the machine's processor decides, one that must not be mistaken for an installer that asks."""
    choices = [_choice(item) for item in reached]
    return next((choice for choice in choices if not choice.asks()), next(iter(choices), None))


def _words_behind(menu: Menu, item: Item | None) -> list[str]:
    """The arguments that DEFAULT adds to those of the label that it names."""
    found = menu.last("default")
    name, *words = (found.setting.value.split() if found else []) or [""]
    return words if item is not None and item.label.name == name else []


def _with_words(choice: Choice | None, words: list[str]) -> Choice | None:
    return replace(choice, arguments=(*choice.arguments, *words)) if choice and words else choice


def _page(menu: Menu) -> Place | None:
    """The page whose times and ONTIMEOUT count; without a module's menu all are the boot loader's own."""
    return syslinuxmenu.start_place(menu) if syslinuxmenu.shows_menu(menu) else None


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
        submenus=item.titles,
    )


def _on_timeout(menu: Menu) -> Choice | None:
    """What ONTIMEOUT boots, a label or a command line; None where it is not set."""
    found = menu.last("ontimeout", _page(menu))
    if found is None:
        return None
    name, *arguments = found.setting.value.split() or [""]
    named = menu.labelled(name)
    if named is not None:
        return _with_words(_first_to_care_for(syslinuxmenu.targets(menu, named)), arguments)
    return _command(menu, "ontimeout")


def _command(menu: Menu, keyword: str) -> Choice | None:
    """What a directive boots that holds a command line instead of a label's name; None where it does not."""
    found = menu.last(keyword)
    name, *arguments = (found.setting.value.split() if found else []) or [""]
    if found is None or (keyword == "default" and not looks_like_linux(name)) or is_menu_module(name):
        return None
    shared = menu.value_of("append") if keyword == "default" else ""
    arguments = [*shared.split(), *arguments]
    kernel = name if kernel_is_linux(name) else ""
    initrds = tuple(word.partition("=")[2] for word in arguments if word.startswith("initrd="))
    alike = (
        item for item in menu.items if item.label.path == name and sorted(item.label.arguments) == sorted(arguments)
    )
    title = next((_choice(item).title for item in alike), keyword.upper())
    return Choice(found.file, found.setting.line, title, "", kernel, tuple(arguments), initrds)


def _seconds(menu: Menu) -> float | None:
    """How long it waits: TIMEOUT is in tenths of a second, 0 is for ever, and without a prompt there is no waiting."""
    if not syslinuxmenu.shows_menu(menu) and menu.value("prompt") in ("", "0"):
        return 0
    tenths = number(menu.value("timeout", _page(menu))) or number(menu.value("totaltimeout"))
    return tenths / 10 if tenths else None


def _set_on_timeout(edits: TreeEdits, menu: Menu, name: str) -> None:
    """Have a label boot when time is up, or, with "", the same as for Enter; what announces something else goes."""
    files = {scoped.file for scoped in menu.settings if scoped.setting.name == "ontimeout"}
    for file in files:
        edits.edit(
            file, partial(syslinux.without, keywords=("menu autoboot",) if name else ("ontimeout", "menu autoboot"))
        )
        if name:
            edits.edit(file, partial(syslinux.set_on_timeout, new=name))
    if name and not files:
        edits.edit(menu.files[0], partial(syslinux.set_on_timeout, new=name, add=True))


def _mark(edits: TreeEdits, menu: Menu, new: Item) -> None:
    """Move MENU DEFAULT to one label of its page."""
    page = [item for item in menu.items if item.menu == new.menu]
    for file in dict.fromkeys(item.file for item in page):
        lose = {item.label.line for item in page if item.file == file and item != new}
        gain = {new.label.line} if file == new.file else set()
        edits.edit(file, partial(syslinux.move_menu_default, gain=gain, lose=lose))
