"""systemd-boot: loader.conf. It talks on the firmware's console; its kernels are in entries."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders.bls import config as bls
from imgkit.configtext.checks import Check, CheckKind, KernelLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits


def enable(edits: TreeEdits, path: str, _console: SerialConsole, options: EnableOptions) -> None:
    """Show the menu as long as is wished."""
    if options.timeout is not None:
        edits.edit(path, partial(bls.set_loader_timeout, seconds=options.timeout))


def kernels(_edits: TreeEdits, _path: str) -> Iterator[KernelLine]:
    """None here."""
    return iter(())


def edit_arguments(_edits: TreeEdits, _path: str, _edit: Callable[[Arguments], Arguments], *, recovery: bool) -> None:
    """None here."""


def checks(_edits: TreeEdits, path: str, _console: SerialConsole) -> Iterator[Check]:
    """The firmware decides where the menu is."""
    yield Check(CheckKind.LOADER, True, path, 0, "systemd-boot uses the firmware's console")
