"""SYSLINUX, ISOLINUX and EXTLINUX: menus, includes, and the generators of extlinux.conf."""

from itertools import product
from typing import TYPE_CHECKING

from imgkit.bootloaders.files import ARCHES, Places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.checks import Check
    from imgkit.treeedits import TreeEdits

_FOLDERS = (
    *("/boot/isolinux", "/isolinux", "/boot/syslinux", "/syslinux", "", "/arch/boot/syslinux", "/EFI/BOOT"),
    *("/EFI/syslinux", "/boot/extlinux", *(f"/boot/{arch}/loader" for arch in ARCHES)),
)


def _on_medium(edits: "TreeEdits", path: str) -> "Iterator[Check]":
    from imgkit.bootloaders.syslinux import gfxboot  # noqa: PLC0415 - media have it, installed systems do not

    return gfxboot.checks(edits, path)


PLACES = Places(
    installed=(
        *("/boot/extlinux/extlinux.conf", "/boot/extlinux.conf", "/boot/syslinux/syslinux.cfg"),
        *("/extlinux/extlinux.conf", "/extlinux.conf"),
    ),
    media=tuple(
        f"{folder}/{name}" for folder, name in product(_FOLDERS, ("isolinux.cfg", "syslinux.cfg", "extlinux.conf"))
    ),
    generated=(
        *("/etc/default/u-boot", "/etc/default/extlinux", "/etc/update-extlinux.conf"),
        "/usr/sbin/u-boot-update",
    ),
    has_menu=True,
    on_medium=_on_medium,
    bios_programs=(
        *("/isolinux/isolinux.bin", "/boot/isolinux/isolinux.bin", "/isolinux.bin", "/boot/syslinux/isolinux.bin"),
    ),
    uefi_folder="/efi/",
)
