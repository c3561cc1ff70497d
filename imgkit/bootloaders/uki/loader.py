"""Unified kernel images: the command line is sealed inside, mostly signed; it is read here, and never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.bootloaders import efi
from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind, KernelLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_OTHER = "Use an image of the same release that boots by GRUB or ISOLINUX."
# systemd-stub(7): from version 254 on, unless the machine is a confidential one.
_SMBIOS = "QEMU can add to it: -smbios type=11,value=io.systemd.stub.kernel-cmdline-extra=console=ttyS0,115200n8."


SEALED_HINT = (
    "In the guest, add the console to /etc/kernel/cmdline and have the image built anew: kernel-install add-all."
)
# Where kernel-install puts them, for systemd-boot to list.
_FOLDER = "/EFI/Linux/"
_GRUB_MENUS = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg")


def enable(_edits: TreeEdits, _path: str, _console: SerialConsole, _wishes: EnableOptions) -> None:
    """Leave it as it is; the recipe refuses a system that has nothing else."""


def kernels(edits: TreeEdits, path: str) -> Iterator[KernelLine]:
    """The command lines that have a serial console, sealed as they are; `checks` tells of those that have none."""
    if _is_beside_grub(edits, path):
        return
    for line in map(kernelargs.new, map(str.split, efi.command_lines(edits, path))):
        if _has_serial(line):
            hint = f"{SEALED_HINT} {_SMBIOS}"
            yield KernelLine(path, 0, "unified kernel image", line, kernelargs.is_recovery(line), hint=hint)


def edit_arguments(_edits: TreeEdits, _path: str, _edit: Callable[[Arguments], Arguments], *, recovery: bool) -> None:
    """None here."""


def checks(edits: TreeEdits, path: str, _console: SerialConsole) -> Iterator[Check]:
    """One that cannot be vouched for, unless what boots is GRUB, which does not list what lies in EFI/Linux."""
    if _is_beside_grub(edits, path):
        told = "a unified kernel image: its command line is sealed inside; GRUB boots this system and does not start it"
        yield Check(CheckKind.KERNEL, True, path, 0, told, firmware="UEFI")
        return
    if brings_console(edits, path):
        return  # the kernels' own checks
    message, hint = sealed(edits, path)
    yield Check(CheckKind.KERNEL, False, path, 0, message, hint=hint, firmware="UEFI")


def brings_console(edits: TreeEdits, path: str) -> bool:
    """Whether the kernel has a serial console by its sealed command line, in each of the image's profiles."""
    lines = efi.command_lines(edits, path)
    return bool(lines) and all(_has_serial(kernelargs.new(line.split())) for line in lines)


def _has_serial(arguments: Arguments) -> bool:
    return any(not console.is_vga for console in kernelargs.consoles(arguments))


def sealed(edits: TreeEdits, path: str) -> tuple[str, str]:
    """Why the command line of a program that firmware starts cannot be changed, and what to do."""
    if efi.identify(edits.head(path, efi.HEAD)) is efi.EfiProgram.KERNEL:
        return ("a Linux kernel that the firmware starts itself: it has no command line that could be changed", _OTHER)
    if _FOLDER in path:
        return ("a unified kernel image: its command line is sealed inside", f"{SEALED_HINT} {_SMBIOS}")
    return ("a unified kernel image: its command line is sealed inside", f"{_SMBIOS} Or u{_OTHER[1:]}")


def _is_beside_grub(edits: TreeEdits, path: str) -> bool:
    esp, folder, _ = path.rpartition(_FOLDER)
    listed = any(edits.is_there(f"{esp}/{name}") for name in ("loader/loader.conf", "EFI/systemd"))
    return bool(folder) and not listed and any(edits.is_there(menu) for menu in _GRUB_MENUS)
