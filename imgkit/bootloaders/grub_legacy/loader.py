"""GRUB legacy: menu.lst, grub.conf."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders import menu_message
from imgkit.bootloaders.grub_legacy import config as grublegacy
from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind, KernelLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits


def enable(edits: TreeEdits, path: str, console: SerialConsole, options: EnableOptions) -> None:
    """Put menu and kernels on the console."""
    menu = partial(grublegacy.enable, console=console, recovery=options.recovery, installer=options.installer)
    edits.edit(path, partial(menu, remove=options.removed, timeout=options.timeout))


def kernels(edits: TreeEdits, path: str) -> Iterator[KernelLine]:
    """The command lines of all entries."""
    for kernel in grublegacy.facts(edits.text(path) or "").kernels:
        yield KernelLine(path, kernel.line, kernel.title, kernelargs.new(kernel.arguments), kernel.is_recovery)


def checks(edits: TreeEdits, path: str, console: SerialConsole) -> Iterator[Check]:
    """Where the menu is."""
    found = grublegacy.facts(edits.text(path) or "")
    shown = found.shows_menu_on(console)
    line = max((setting.line for setting in found.settings if setting.name in ("serial", "terminal")), default=0)
    yield Check(CheckKind.LOADER, shown, path, line, menu_message(console, shown=shown))
