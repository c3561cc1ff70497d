"""GRUB 2: its scripts, its environment block, and what grub-mkconfig reads."""

from itertools import product
from typing import TYPE_CHECKING

from imgkit.bootloaders.files import ARCHES, Places

if TYPE_CHECKING:
    from imgkit.treeedits import TreeEdits


def _accepts(edits: "TreeEdits", path: str) -> bool:
    """Fedora has a copy of grub.cfg under the name that GRUB legacy had: BOOTX64.conf."""
    if not path.lower().endswith(".conf"):
        return True
    from imgkit.bootloaders import grub_legacy  # noqa: PLC0415 - where there is such a file

    return grub_legacy.is_copy_of_grub2(edits, path)


PLACES = Places(
    installed=(
        *("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"),
        *("/efi/EFI/*/grub.cfg", "/boot/efi/EFI/*/grub.cfg", "/boot/EFI/*/grub.cfg"),
    ),
    media=(
        *("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/grub/loopback.cfg", "/grub/grub.cfg", "/grub.cfg"),
        *(f"/boot/{arch}/grub2{kind}/grub.cfg" for arch, kind in product(ARCHES, ("", "-efi", "-ieee1275"))),
        *("/EFI/*/grub.cfg", "/EFI/*/boot*.conf"),
    ),
    generated=("/etc/default/grub",),
    has_menu=True,
    accepts=_accepts,
    leads_on=True,
)
