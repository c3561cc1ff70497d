"""Boot loader entries, one file each, and the GRUB environment that they may refer to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders import efi
from imgkit.bootloaders.bls import config as bls
from imgkit.bootloaders.grub2 import kernelopts
from imgkit.bootloaders.uki import loader as uki
from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind, KernelLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits


def enable(edits: TreeEdits, path: str, console: SerialConsole, options: EnableOptions) -> None:
    """Put the entry's kernel on the console: in GRUB's `kernelopts` where that has the arguments, else in the entry."""
    kernelopts.enable(edits, console, options)
    entry = partial(bls.enable, console=console, recovery=options.recovery, installer=options.installer)
    edits.edit(path, partial(entry, remove=options.removed, variables=_variables(edits)))


def edit_arguments(edits: TreeEdits, path: str, edit: Callable[[Arguments], Arguments], *, recovery: bool) -> None:
    """Edit the arguments of the entry; it is not told whether it is one for recovery."""
    del recovery
    edits.edit(path, partial(bls.edit_arguments, edit=edit))


def kernels(edits: TreeEdits, path: str) -> Iterator[KernelLine]:
    """The entry's command line, if it boots Linux; once for each GRUB that gives it `kernelopts` of its own."""
    entry = bls.facts(edits.text(path) or "")
    if not entry.is_linux:
        return
    sources = list(kernelopts.find(edits)) if kernelopts.NAME in entry.references else []
    for source in sources or [kernelopts.KernelOptions(path, entry.line, {})]:
        referred = [word for name in entry.references for word in source.variables.get(name, "").split()]
        arguments = kernelargs.new((*entry.arguments, *referred))
        yield KernelLine(source.file, source.line, entry.title, arguments, entry.is_recovery)


def checks(edits: TreeEdits, path: str, _console: SerialConsole) -> Iterator[Check]:
    """An entry has no menu of its own; one that starts a unified kernel image is named."""
    entry = bls.facts(edits.text(path) or "")
    if not entry.uki:
        return
    title = entry.title or "an entry"
    program = edits.spelled(path.rpartition("/loader/entries/")[0] + entry.uki)
    if program is None:
        told, hint = f"{title} starts {entry.uki}, which was not found", "Restore the image, or remove the entry."
    elif efi.identify(edits.head(program, efi.HEAD)) is efi.EfiProgram.KERNEL and entry.is_linux:
        return  # its EFI stub takes the options of the entry
    elif uki.brings_console(edits, program):
        return  # told of the image itself
    else:
        told = f"{title} starts {entry.uki}, a unified kernel image: its command line is sealed inside"
        hint = uki.SEALED_HINT
    yield Check(CheckKind.KERNEL, False, path, 0, told, hint, entry=entry.title)


def _variables(edits: TreeEdits) -> dict[str, str]:
    return next((source.variables for source in kernelopts.find(edits)), {})
