"""GRUB legacy: menu.lst, grub.conf."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootconfig import grublegacy, kernelargs
from imgkit.console.loaders import menu_message
from imgkit.console.model import KernelLine, Link, LinkKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.console.draft import Draft
    from imgkit.console.model import SerialConsole, Wishes


def enable(draft: Draft, path: str, console: SerialConsole, wishes: Wishes) -> None:
    """Put menu and kernels on the console."""
    menu = partial(grublegacy.enable, console=console, recovery=wishes.recovery, installer=wishes.installer)
    draft.edit(path, partial(menu, remove=wishes.removed, timeout=wishes.timeout))


def kernels(draft: Draft, path: str) -> Iterator[KernelLine]:
    """The command lines of all entries."""
    for kernel in grublegacy.facts(draft.text(path) or "").kernels:
        yield KernelLine(path, kernel.line, kernel.title, kernelargs.new(kernel.arguments), kernel.is_recovery)


def links(draft: Draft, path: str, console: SerialConsole) -> Iterator[Link]:
    """Where the menu is."""
    found = grublegacy.facts(draft.text(path) or "")
    shown = found.shows_menu_on(console)
    line = max((setting.line for setting in found.settings if setting.name in ("serial", "terminal")), default=0)
    yield Link(LinkKind.LOADER, shown, path, line, menu_message(console, shown=shown))
