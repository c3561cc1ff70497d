"""What boot images carry about their own place: the boot information table, and the address that GRUB embeds.

A boot loader in a boot image finds the rest of itself by them, and ISOLINUX checks the sum, so that both have to follow
when the image moves or changes. They are recognised by being right: a table that does not describe its file is data.

Boot information table: mkisofs(8). GRUB: `--grub2-boot-info` of xorrisofs(1), which writes the 64-bit number of the
image's sixth block of 512 bytes to byte 2548. A GRUB or ISOLINUX boot sector for USB disks holds the number of the
image's first or fifth such block at byte 432 (`--grub2-mbr`, `-isohybrid-mbr`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.iso import layout

if TYPE_CHECKING:
    from imgkit.storage.device import BlockDevice

_BLOCKS = layout.SECTOR // 512
_GRUB_OFFSET, _GRUB_SKIPPED = 2548, 5
HEAD = _GRUB_OFFSET + 8
"""Bytes of a boot image that may hold something about its place."""

_MBR_OFFSET, _MBR_SKIPPED = 432, (0, 4)
_PVD_BLOCK = layout.FIRST_DESCRIPTOR // layout.SECTOR


def has_table(image: bytes, block: int) -> bool:
    """Whether the contents of a file that begins at a block hold its boot information table."""
    if len(image) < layout.BOOT_INFO_END:
        return False
    table = layout.BOOT_INFO.parse(image[layout.BOOT_INFO_OFFSET :])
    return bool((table.pvd_block, table.file_block) == (_PVD_BLOCK, block))


def follow(before: bytes, after: bytes, *, old_block: int, new_block: int) -> bytes:
    """New contents of a file with what the old ones carried brought up to date for the block where they will begin.

    Of the old ones, the first `HEAD` bytes are enough.
    """
    image = bytearray(after)
    grub = slice(_GRUB_OFFSET, HEAD)
    if before[grub] == _grub_address(old_block) and len(image) >= grub.stop:
        image[grub] = _grub_address(new_block)
    if has_table(before, old_block) and len(image) >= layout.BOOT_INFO_END:
        values = {
            "pvd_block": _PVD_BLOCK,
            "file_block": new_block,
            "file_length": len(image),
            "checksum": checksum(image),
        }
        # What is left of the 56 bytes is reserved, and zero (mkisofs(8)).
        place = slice(layout.BOOT_INFO_OFFSET, layout.BOOT_INFO_END)
        image[place] = layout.BOOT_INFO.build(values).ljust(place.stop - place.start, b"\0")
    return bytes(image)


def checksum(image: bytes | bytearray) -> int:
    """Sum of the 32-bit little-endian words behind the table, the last one filled up with zeros."""
    data = bytes(image[layout.BOOT_INFO_END :])
    data += bytes(-len(data) % 4)
    return sum(memoryview(data).cast("I")) & 0xFFFFFFFF


def follow_in_boot_sector(device: BlockDevice, *, old_block: int, new_block: int) -> None:
    """Have the boot code of the first sector find a boot image that has moved."""
    held = int.from_bytes(device.read_at(_MBR_OFFSET, 8), "little")
    for skipped in _MBR_SKIPPED:
        if held == old_block * _BLOCKS + skipped:
            device.write_at(_MBR_OFFSET, (new_block * _BLOCKS + skipped).to_bytes(8, "little"))


def _grub_address(block: int) -> bytes:
    return (block * _BLOCKS + _GRUB_SKIPPED).to_bytes(8, "little")
