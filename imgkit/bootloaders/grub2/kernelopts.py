"""`kernelopts`: the arguments that loader entries of EL 8 and Fedora 30 to 33 refer to, and who gives them.

GRUB reads them from the environment block beside its grub.cfg. Where it cannot, or the block has none, the script's own
`set kernelopts=` counts: so on hybrid images, whose block under /boot is a link to the ESP, which GRUB under BIOS does
not follow from one file system into another.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders.grub2 import environment
from imgkit.configtext import kernelargs
from imgkit.configtext.text import line_number, splice
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

NAME = "kernelopts"

_FOLDERS = ("/boot/grub2", "/boot/grub")
_ESP_FOLDERS = ("/boot/efi/EFI", "/efi/EFI", "/boot/EFI")
_SET = re.compile(r"""^[ \t]*set[ \t]+(?:default_)?kernelopts=(["'])(.*?)\1[ \t]*$""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class KernelOptions:
    """What `kernelopts` is for one grub.cfg: the file and line that say so (0: the file as a whole), the variables."""

    file: str
    line: int
    variables: dict[str, str]


def find(edits: TreeEdits) -> Iterator[KernelOptions]:
    """What `kernelopts` is, for each GRUB of the guest."""
    for folder in _folders(edits):
        target = edits.link_target(f"{folder}/grubenv")
        block = posixpath.normpath(posixpath.join(folder, target or "grubenv"))
        variables = _variables(edits, block)
        if NAME in variables:
            yield KernelOptions(block, 0, variables)
        if NAME not in variables or target:
            script = edits.text(f"{folder}/grub.cfg") or ""
            for match in _SET.finditer(script):
                line = line_number(script, match.start(2))
                yield KernelOptions(f"{folder}/grub.cfg", line, {**variables, NAME: match[2]})


def enable(edits: TreeEdits, console: SerialConsole, options: EnableOptions) -> None:
    """Put the console wherever `kernelopts` is given, also into scripts for when their blocks cannot be read."""
    for folder in _folders(edits):
        if not edits.link_target(f"{folder}/grubenv"):
            edits.edit_bytes(f"{folder}/grubenv", partial(environment.enable, console=console, remove=options.removed))
        edits.edit(f"{folder}/grub.cfg", partial(_enable_script, console=console, options=options))


def _enable_script(text: str, console: SerialConsole, options: EnableOptions) -> str:
    changes = []
    for match in _SET.finditer(text):
        before = kernelargs.split(text, match.start(2), match.end(2))
        after = kernelargs.set_console(kernelargs.remove(before, options.removed), console)
        changes += kernelargs.splices(before, after, match.start(2), follows=False)
    return splice(text, changes)


def _variables(edits: TreeEdits, block: str) -> dict[str, str]:
    data = edits.read(block)
    if data is None:
        return {}
    with named(block):
        return environment.facts(data)


def _folders(edits: TreeEdits) -> list[str]:
    """Where a GRUB may have its script and its environment block."""
    vendors = [f"{folder}/{name}" for folder in _ESP_FOLDERS for name in edits.names(folder)]
    return [f for f in (*_FOLDERS, *vendors) if edits.is_there(f"{f}/grubenv") or edits.is_there(f"{f}/grub.cfg")]
