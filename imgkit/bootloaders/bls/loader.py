"""Boot loader entries, one file each, and the GRUB environment that they may refer to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders.bls import config as bls
from imgkit.bootloaders.grub2 import environment as grubenv
from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, KernelLine
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_ENVIRONMENTS = ("/boot/grub2/grubenv", "/boot/grub/grubenv", "/boot/efi/EFI/fedora/grubenv")


def enable(edits: TreeEdits, path: str, console: SerialConsole, options: EnableOptions) -> None:
    """Put the entry's kernel on the console: in GRUB's environment where that has the arguments, else in the entry."""
    for block in _ENVIRONMENTS:
        edits.edit_bytes(block, partial(grubenv.enable, console=console, remove=options.removed))
    entry = partial(bls.enable, console=console, recovery=options.recovery, installer=options.installer)
    edits.edit(path, partial(entry, remove=options.removed, variables=_variables(edits)))


def kernels(edits: TreeEdits, path: str) -> Iterator[KernelLine]:
    """The entry's command line, if it boots Linux."""
    entry = bls.facts(edits.text(path) or "")
    if entry.linux and kernelargs.is_linux(entry.linux):
        variables = _variables(edits)
        referred = [word for name in entry.references for word in variables.get(name, "").split()]
        arguments = kernelargs.new((*entry.arguments, *referred))
        yield KernelLine(path, entry.line, entry.title, arguments, entry.is_recovery)


def checks(_edits: TreeEdits, _path: str, _console: SerialConsole) -> Iterator[Check]:
    """Nothing: an entry has no menu of its own."""
    return iter(())


def _variables(edits: TreeEdits) -> dict[str, str]:
    for path in _ENVIRONMENTS:
        block = edits.read(path)
        if block is not None:
            with named(path):
                return grubenv.facts(block)
    return {}
