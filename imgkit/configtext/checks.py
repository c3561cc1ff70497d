"""What a status is made of: kernel command lines, and the checks of the chain that ends in a login prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs, xen
from imgkit.configtext.serial import SerialConsole
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from imgkit.configtext.kernelargs import Arguments

_OPTIONS = re.compile(r"([0-9]{1,9})([noe])?([78])?")
BARE_RATE = 9600
"""What `console=ttyS0` without options means, in bits per second."""


@dataclass(frozen=True, slots=True)
class KernelLine:
    """One kernel command line: its file and line (0: the file has none), the entry's title, the arguments.

    Where the line refers to GRUB's `kernelopts`, what that stands for is among the arguments. `hypervisor` holds the
    arguments of the Xen that starts this kernel, None where it starts by itself. `hint` says what to do where the line
    lacks a console and cannot be edited, "" where it can.
    """

    file: str
    line: int
    title: str
    arguments: Arguments
    is_recovery: bool
    hypervisor: tuple[str, ...] | None = None
    hint: str = ""

    def has_console(self, console: SerialConsole, *, installer: bool = False) -> bool:
        """Whether the kernel uses `console` as asked, by way of Xen where Xen has the port."""
        wanted = xen.dom0_console(self.hypervisor, console)
        has_it = kernelargs.has_console(self.arguments, wanted, installer=installer)
        if self.hint and not has_it:  # what cannot be edited serves with the screen, or without it
            other = replace(wanted, keep_vga=not wanted.keep_vga)
            has_it = kernelargs.has_console(self.arguments, other, installer=installer)
        return has_it and xen.uses_console(self.hypervisor, console)

    def wanted(self, console: SerialConsole) -> tuple[str, ...]:
        """The `console=` arguments that it needs."""
        return xen.dom0_console(self.hypervisor, console).kernel_arguments()


class CheckKind(StrEnum):
    """The links of the chain."""

    LOADER = "boot loader"
    DEFAULT = "default entry"
    TIMEOUT = "timeout"
    KERNEL = "kernel"
    GETTY = "login prompt"
    ROOT = "root login"
    KEPT = "persistence"


@dataclass(frozen=True, slots=True)
class Check:
    """One link of the chain: whether it holds, the file that decides and its line (0: the file as a whole), and why.

    `hint` says what to do where it does not hold, "" where enabling the console mends it or nothing is known. `entry`
    is the title of the menu's entry that it is about, "" for all or none. `firmware` is `BIOS` or `UEFI` where the file
    is read under one of them only, else "".
    """

    kind: CheckKind
    ok: bool
    file: str
    line: int
    message: str
    hint: str = ""
    entry: str = ""
    firmware: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """The whole chain for one serial console."""

    console: SerialConsole
    links: tuple[Check, ...]

    @property
    def enabled(self) -> bool:
        """Whether every link holds."""
        return all(link.ok for link in self.links)


def serving(links: Callable[[SerialConsole], Iterable[Check]], console: SerialConsole) -> Iterator[Check]:
    """Links of a boot loader's menu, which serves where it is on the line, on the screen too or not.

    Debian's installer, run over a serial line, leaves a menu on that line alone.
    """
    if not console.keep_vga:
        yield from links(console)
        return
    for beside, alone in zip(links(console), links(replace(console, keep_vga=False)), strict=True):
        yield alone if alone.ok else beside


def console_in_use(kernels: Sequence[KernelLine], *, bare: int = BARE_RATE) -> SerialConsole | None:
    """The serial console that the first of the kernels that has one uses; None where none has.

    `bare` is the speed to take where an argument names none, and could be edited.
    """
    for kernel in kernels:
        consoles = kernelargs.consoles(kernel.arguments)
        serial = [console for console in consoles if not console.is_vga]
        behind_xen = xen.serial_console(kernel.hypervisor)
        if behind_xen is not None and serial and serial[-1].port == "hvc0":
            return replace(behind_xen, keep_vga=any(console.is_vga for console in consoles))
        match = _OPTIONS.fullmatch(serial[-1].options or str(BARE_RATE if kernel.hint else bare)) if serial else None
        if match is None:
            continue
        try:
            return SerialConsole(
                port=serial[-1].port,
                baud=int(match[1]),
                parity=match[2] or "n",
                data_bits=int(match[3] or 8),
                keep_vga=any(console.is_vga for console in consoles),
            )
        except UsageError:  # a port or a speed that is none
            continue
    return None
