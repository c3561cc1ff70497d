"""GRUB 2: grub.cfg."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders import menu_message
from imgkit.bootloaders.grub2 import config as grubcfg
from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind, KernelLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits


def enable(edits: TreeEdits, path: str, console: SerialConsole, options: EnableOptions) -> None:
    """Put menu and kernels on the console. A file that only looks for the real one has neither and stays."""
    if _has_menu(grubcfg.facts(edits.text(path) or "")):
        menu = partial(grubcfg.enable, console=console, recovery=options.recovery, installer=options.installer)
        edits.edit(path, partial(menu, remove=options.removed, timeout=options.timeout))


def enable_kernels(edits: TreeEdits, path: str, console: SerialConsole, options: EnableOptions) -> None:
    """Put the kernels of a script on the console, which only shows when another menu has led to it."""

    def edit(arguments: Arguments, _kernel: object) -> Arguments:
        arguments = kernelargs.remove(arguments, options.removed)
        return kernelargs.set_console(arguments, console, installer=options.installer)

    edits.edit(path, partial(grubcfg.edit_arguments, edit=edit, recovery=options.recovery))


def kernels(edits: TreeEdits, path: str) -> Iterator[KernelLine]:
    """The command lines of all entries, those of submenus too."""
    found = grubcfg.facts(edits.text(path) or "")
    titles = dict(_titles(found.entries))
    for kernel in found.kernels:
        title = titles.get(kernel.line, kernel.path)
        arguments = kernelargs.new(kernel.arguments)
        yield KernelLine(path, kernel.line, title, arguments, kernel.is_recovery, kernel.hypervisor)


def checks(edits: TreeEdits, path: str, console: SerialConsole) -> Iterator[Check]:
    """Where the menu is."""
    found = grubcfg.facts(edits.text(path) or "")
    if _has_menu(found):
        shown = found.shows_menu_on(console)
        line = max((setting.line for setting in found.terminals), default=0)
        yield Check(CheckKind.LOADER, shown, path, line, menu_message(console, shown=shown))


def _has_menu(found: grubcfg.GrubFacts) -> bool:
    """Whether a grub.cfg is the real one. The one on an ESP mostly only looks for that."""
    return bool(found.kernels or found.entries) or any(include.name == "blscfg" for include in found.includes)


def _titles(entries: Iterable[grubcfg.MenuEntry]) -> Iterator[tuple[int, str]]:
    for entry in entries:
        yield from ((kernel.line, entry.title) for kernel in entry.kernels)
        yield from _titles(entry.entries)
