"""systemd: its getty generator suffices, unless it is switched off or the unit is masked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind
from imgkit.inits.systemd import config as systemd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_UNIT_FOLDERS = ("/lib/systemd/system", "/usr/lib/systemd/system")
_MASK = "/dev/null"


def enable(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> None:
    """Take masks away; link the unit where the generator is switched off."""
    for path in systemd.masks(console):
        if edits.link_target(path) == _MASK:
            edits.remove(path)
    if any(systemd.generator_is_off(kernel.arguments) for kernel in kernels):
        edits.link(*systemd.wants_link(console, _unit_folder(edits)))


def checks(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> Iterator[Check]:
    """Whether systemd will start the unit, and why."""
    unit, (wants, _) = systemd.getty_unit(console), systemd.wants_link(console)
    masked = [path for path in systemd.masks(console) if edits.link_target(path) == _MASK]
    off = [kernel for kernel in kernels if systemd.generator_is_off(kernel.arguments)]
    used = any(found.port == console.port for kernel in kernels for found in kernelargs.consoles(kernel.arguments))
    if masked:
        yield Check(CheckKind.GETTY, False, masked[0], 0, f"{unit} is masked")
    elif edits.is_there(wants):
        yield Check(CheckKind.GETTY, True, wants, 0, f"systemd starts {unit}")
    elif off:
        told = f"systemd.getty_auto switches off what would start {unit}"
        yield Check(CheckKind.GETTY, False, off[0].file, off[0].line, told)
    elif used:
        yield Check(CheckKind.GETTY, True, "", 0, f"systemd starts {unit}, because the kernel uses {console.port}")
    else:
        yield Check(CheckKind.GETTY, False, "", 0, f"systemd starts {unit} only where the kernel uses {console.port}")


def _unit_folder(edits: TreeEdits) -> str:
    """Where the guest's own units lie."""
    there = (folder for folder in _UNIT_FOLDERS if edits.is_there(f"{folder}/{systemd.TEMPLATE}"))
    return next(there, _UNIT_FOLDERS[0])
