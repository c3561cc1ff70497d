"""Boot loader entries, one file each, and the GRUB environment that they may refer to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootconfig import bls, grubenv, kernelargs
from imgkit.console.draft import named
from imgkit.console.model import KernelLine, Link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.console.draft import Draft
    from imgkit.console.model import SerialConsole, Wishes

_ENVIRONMENTS = ("/boot/grub2/grubenv", "/boot/grub/grubenv", "/boot/efi/EFI/fedora/grubenv")


def enable(draft: Draft, path: str, console: SerialConsole, wishes: Wishes) -> None:
    """Put the entry's kernel on the console: in GRUB's environment where that has the arguments, else in the entry."""
    for block in _ENVIRONMENTS:
        draft.edit_bytes(block, partial(grubenv.enable, console=console, remove=wishes.removed))
    entry = partial(bls.enable, console=console, recovery=wishes.recovery, installer=wishes.installer)
    draft.edit(path, partial(entry, remove=wishes.removed, variables=_variables(draft)))


def kernels(draft: Draft, path: str) -> Iterator[KernelLine]:
    """The entry's command line, if it boots Linux."""
    entry = bls.facts(draft.text(path) or "")
    if entry.linux and kernelargs.is_linux(entry.linux):
        variables = _variables(draft)
        referred = [word for name in entry.references for word in variables.get(name, "").split()]
        arguments = kernelargs.new((*entry.arguments, *referred))
        yield KernelLine(path, entry.line, entry.title, arguments, entry.is_recovery)


def links(_draft: Draft, _path: str, _console: SerialConsole) -> Iterator[Link]:
    """Nothing: an entry has no menu of its own."""
    return iter(())


def _variables(draft: Draft) -> dict[str, str]:
    for path in _ENVIRONMENTS:
        block = draft.read(path)
        if block is not None:
            with named(path):
                return grubenv.facts(block)
    return {}
