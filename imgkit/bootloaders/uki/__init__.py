"""Unified kernel images, whose command line is sealed."""

from typing import TYPE_CHECKING

from imgkit.bootloaders.files import Places

if TYPE_CHECKING:
    from imgkit.treeedits import TreeEdits


def _accepts(edits: "TreeEdits", path: str) -> bool:
    """What lies where systemd-boot looks; else what firmware starts by itself, if it is Linux and no boot loader."""
    from imgkit.bootloaders import efi  # noqa: PLC0415 - where there is such a file

    if path.lower().split("/")[-2] == "linux":
        return True
    return efi.is_started_by_firmware(path) and efi.identify(edits.head(path, efi.HEAD)) is not efi.EfiProgram.OTHER


PLACES = Places(
    installed=("/efi/EFI/Linux/*.efi", "/boot/efi/EFI/Linux/*.efi", "/boot/EFI/Linux/*.efi"),
    media=("/EFI/*/*.efi",),
    accepts=_accepts,
    has_entries=False,
    is_sealed=True,
)
