"""SYSLINUX and its kin, U-Boot's reading of extlinux.conf among them; files that are included belong to it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders import menu_message
from imgkit.bootloaders.syslinux import config as syslinux
from imgkit.bootloaders.syslinux import includes as syslinuxmenu
from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind, KernelLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_MAX_CHAINED = 50


def enable(edits: TreeEdits, path: str, console: SerialConsole, options: EnableOptions) -> None:
    """Put menu and kernels on the console, in the file and in all that it includes.

    Menus that replace it when they are chosen keep their time, unless all kernels are there: then it is only a choice
    between them, by architecture as a rule.
    """
    menus = list(menus_of(edits, path))
    edit = partial(
        syslinux.enable,
        console=console,
        recovery=options.recovery,
        remove=options.removed,
        installer=options.installer,
    )
    for file in dict.fromkeys(file for menu in menus for file in menu.files):
        edits.edit(file, partial(edit, included=file != path))
    if options.timeout is not None:
        for menu in first_menus(menus):
            set_timeout(edits, menu, options.timeout)


def set_timeout(edits: TreeEdits, menu: syslinuxmenu.Menu, seconds: int) -> None:
    """Have a menu wait, wherever one of its files says how long."""
    is_new = menu.last("timeout") is None
    for file in menu.files:
        edits.edit(file, partial(syslinux.set_timeout, seconds=seconds, add=is_new and file == menu.files[0]))


def kernels(edits: TreeEdits, path: str) -> Iterator[KernelLine]:
    """The command lines of all labels that boot Linux."""
    for file in dict.fromkeys(file for menu in menus_of(edits, path) for file in menu.files):
        for label in syslinux.facts(edits.text(file) or "").labels:
            if label.is_linux:
                line, arguments = label.append_line or label.line, kernelargs.new(label.arguments)
                yield KernelLine(file, line, label.title or label.name, arguments, label.is_recovery)


def checks(edits: TreeEdits, path: str, console: SerialConsole) -> Iterator[Check]:
    """Where the menu is."""
    found = syslinux.facts(edits.text(path) or "")
    shown, serial = found.shows_menu_on(console), found.last("serial")
    yield Check(CheckKind.LOADER, shown, path, serial.line if serial else 0, menu_message(console, shown=shown))


def menus_of(edits: TreeEdits, path: str) -> Iterator[syslinuxmenu.Menu]:
    """The menu at `path`, then those that replace it when they are chosen. What is missing is passed over."""
    seen, pending = {path}, [path]
    while pending and len(seen) < _MAX_CHAINED:
        menu = syslinuxmenu.read(pending.pop(0), edits.text, edits.spelled)
        if menu.files:
            yield menu
        pending += [file for file in menu.chained if file not in seen]
        seen.update(menu.chained)


def first_menus(menus: list[syslinuxmenu.Menu]) -> list[syslinuxmenu.Menu]:
    """The menu that shows first; where that only chooses between others, by architecture as a rule, those."""
    linux = [menu for menu in menus if any(item.label.is_linux for item in menu.items)]
    return menus[:1] if linux[:1] == menus[:1] else linux
