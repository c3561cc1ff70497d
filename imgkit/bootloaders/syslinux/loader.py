"""SYSLINUX and its kin, U-Boot's reading of extlinux.conf among them; files that are included belong to it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders import menu_message
from imgkit.bootloaders.syslinux import config as syslinux
from imgkit.bootloaders.syslinux import includes as syslinuxmenu
from imgkit.bootloaders.syslinux.chains import first_menus, menus_of
from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind, KernelLine

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits


def enable(edits: TreeEdits, path: str, console: SerialConsole, options: EnableOptions) -> None:
    """Put menu and kernels on the console, in the file and in all that it includes.

    Menus that replace it when they are chosen keep their time, unless they are what starts by itself.
    """
    if options.installer:
        from imgkit.bootloaders.syslinux import gfxboot  # noqa: PLC0415 - media have it, installed systems do not

        gfxboot.drop(edits, path)
    menus = list(menus_of(edits, path))
    labels = frozenset(item.label.name for menu in menus for item in menu.items)
    edit = partial(
        syslinux.enable,
        console=console,
        recovery=options.recovery,
        remove=options.removed,
        installer=options.installer,
        labels=labels,
    )
    for file in dict.fromkeys(file for menu in menus for file in menu.files):
        edits.edit(file, partial(edit, included=file != path))
    if options.timeout is not None:
        for menu in first_menus(edits, menus):
            set_timeout(edits, menu, options.timeout)


def edit_arguments(edits: TreeEdits, path: str, edit: Callable[[Arguments], Arguments], *, recovery: bool) -> None:
    """Edit the arguments of each label that boots Linux, in the file and in all that it includes."""
    each = partial(syslinux.edit_arguments, edit=lambda arguments, _label: edit(arguments), recovery=recovery)
    for file in dict.fromkeys(file for menu in menus_of(edits, path) for file in menu.files):
        edits.edit(file, each)


def set_timeout(edits: TreeEdits, menu: syslinuxmenu.Menu, seconds: int) -> None:
    """Have a menu wait, wherever one of its files says how long."""
    is_new = menu.last("timeout") is None
    for file in menu.files:
        edits.edit(file, partial(syslinux.set_timeout, seconds=seconds, add=is_new and file == menu.files[0]))


def kernels(edits: TreeEdits, path: str) -> Iterator[KernelLine]:
    """The command lines of all labels that boot Linux, and those that DEFAULT and ONTIMEOUT hold themselves."""
    menus = list(menus_of(edits, path))
    names = {item.label.name for menu in menus for item in menu.items}
    for file in dict.fromkeys(file for menu in menus for file in menu.files):
        found = syslinux.facts(edits.text(file) or "")
        commands = (command for command in found.commands if not _names_label(found, command.line, names))
        for label in (*found.labels, *commands):
            if label.is_linux:
                line, arguments = label.append_line or label.line, kernelargs.new(label.arguments)
                title = label.title or label.name
                yield KernelLine(file, line, title, arguments, label.is_recovery, label.hypervisor)


def checks(edits: TreeEdits, path: str, console: SerialConsole) -> Iterator[Check]:
    """Where the menu is, whether what it leads to stays there, and whether what starts by itself is there at all."""
    menus = list(menus_of(edits, path))
    own = syslinux.facts(edits.text(path) or "")
    for file in dict.fromkeys(file for menu in menus for file in menu.files):
        found = own if file == path else syslinux.facts(edits.text(file) or "")
        serial = found.last("serial")
        if file != path and serial is None:
            continue
        shown = found.shows_menu_on(console)
        yield Check(CheckKind.LOADER, shown, file, serial.line if serial else 0, menu_message(console, shown=shown))
    for menu in menus:
        item = syslinuxmenu.default_item(menu)
        missing = [
            chain.file for chain in (syslinuxmenu.chains(menu, item) if item else []) if not _is_file(edits, chain)
        ]
        if item is not None and missing:
            message = f"{item.label.title or item.label.name!r} leads to {missing[0]}, which does not exist"
            hint = "Put the file where CONFIG looks for it, or correct its name and directory."
            yield Check(CheckKind.LOADER, False, item.file, item.label.line, message, hint=hint, entry=item.label.name)


def menu_console(edits: TreeEdits, path: str) -> SerialConsole | None:
    """The serial console that SYSLINUX talks on; None where it talks on none."""
    return syslinux.facts(edits.text(path) or "").console()


def _names_label(found: syslinux.SyslinuxFacts, line: int, names: Collection[str]) -> bool:
    setting = next(setting for setting in found.settings if setting.line == line)
    return setting.value.split()[0] in names


def _is_file(edits: TreeEdits, chain: syslinuxmenu.Chain) -> bool:
    found = edits.spelled(chain.file)
    return found is not None and edits.size(found) is not None
