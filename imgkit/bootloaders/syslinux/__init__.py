"""SYSLINUX, ISOLINUX and EXTLINUX: menus, includes, and the generators of extlinux.conf."""

from itertools import product

from imgkit.bootloaders.files import ARCHES, Places

_FOLDERS = (
    *("/boot/isolinux", "/isolinux", "/boot/syslinux", "/syslinux", "", "/arch/boot/syslinux", "/EFI/BOOT"),
    *("/EFI/syslinux", "/boot/extlinux", *(f"/boot/{arch}/loader" for arch in ARCHES)),
)

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
)
