"""GRUB 2: grub.cfg."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootconfig import grubcfg, kernelargs
from imgkit.console.loaders import menu_message
from imgkit.console.model import KernelLine, Link, LinkKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgkit.bootconfig.kernelargs import Arguments
    from imgkit.console.draft import Draft
    from imgkit.console.model import SerialConsole, Wishes


def enable(draft: Draft, path: str, console: SerialConsole, wishes: Wishes) -> None:
    """Put menu and kernels on the console. A file that only looks for the real one has neither and stays."""
    if _has_menu(grubcfg.facts(draft.text(path) or "")):
        menu = partial(grubcfg.enable, console=console, recovery=wishes.recovery, installer=wishes.installer)
        draft.edit(path, partial(menu, remove=wishes.removed, timeout=wishes.timeout))


def enable_kernels(draft: Draft, path: str, console: SerialConsole, wishes: Wishes) -> None:
    """Put the kernels of a script on the console, which only shows when another menu has led to it."""

    def edit(arguments: Arguments, _kernel: object) -> Arguments:
        arguments = kernelargs.remove(arguments, wishes.removed)
        return kernelargs.set_console(arguments, console, installer=wishes.installer)

    draft.edit(path, partial(grubcfg.edit_arguments, edit=edit, recovery=wishes.recovery))


def kernels(draft: Draft, path: str) -> Iterator[KernelLine]:
    """The command lines of all entries, those of submenus too."""
    found = grubcfg.facts(draft.text(path) or "")
    titles = dict(_titles(found.entries))
    for kernel in found.kernels:
        title = titles.get(kernel.line, kernel.path)
        yield KernelLine(path, kernel.line, title, kernelargs.new(kernel.arguments), kernel.is_recovery)


def links(draft: Draft, path: str, console: SerialConsole) -> Iterator[Link]:
    """Where the menu is."""
    found = grubcfg.facts(draft.text(path) or "")
    if _has_menu(found):
        shown = found.shows_menu_on(console)
        line = max((setting.line for setting in found.terminals), default=0)
        yield Link(LinkKind.LOADER, shown, path, line, menu_message(console, shown=shown))


def _has_menu(found: grubcfg.GrubFacts) -> bool:
    """Whether a grub.cfg is the real one. The one on an ESP mostly only looks for that."""
    return bool(found.kernels or found.entries) or any(include.name == "blscfg" for include in found.includes)


def _titles(entries: Iterable[grubcfg.Entry]) -> Iterator[tuple[int, str]]:
    for entry in entries:
        yield from ((kernel.line, entry.title) for kernel in entry.kernels)
        yield from _titles(entry.entries)
