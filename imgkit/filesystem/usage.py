"""How many bytes of a file system are taken, as far as its superblock tells: it is believed, not checked.

Layouts: https://docs.kernel.org/filesystems/ext4/super.html ,
https://docs.kernel.org/filesystems/xfs/xfs-self-describing-metadata.html ,
https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html ; FAT's table is counted where it is short.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from imgkit.errors import ImgkitError

if TYPE_CHECKING:
    from imgkit.storage.device import BlockDevice, BlockReader

_EXT_64BIT = 0x80
_EXT_LARGEST_LOG = 6  # of the block size over 1 KiB
_FAT_MOST_CLUSTERS = 1 << 18


def used_bytes(device: BlockDevice, kind: str) -> int | None:
    """Bytes taken in a file system of that kind (as blkid says it); None where it does not tell cheaply or well."""
    count = {"ext2": _ext, "ext3": _ext, "ext4": _ext, "xfs": _xfs, "btrfs": _btrfs, "vfat": _fat}.get(kind)
    if count is None:
        return None
    try:
        used = count(device)
    except (ImgkitError, struct.error):
        return None
    return used if used is not None and 0 <= used <= device.size else None


def _ext(device: BlockReader) -> int | None:
    raw = device.read_at(1024, 1024)
    blocks, _, free, _, _, log_size = struct.unpack_from("<6I", raw, 4)
    (incompat,) = struct.unpack_from("<I", raw, 0x60)
    if incompat & _EXT_64BIT:
        blocks_high, _, free_high = struct.unpack_from("<3I", raw, 0x150)
        blocks, free = blocks | blocks_high << 32, free | free_high << 32
    return (blocks - free) * (1024 << log_size) if log_size <= _EXT_LARGEST_LOG else None


def _xfs(device: BlockReader) -> int:
    raw = device.read_at(0, 512)
    (block_size, blocks), (free,) = struct.unpack_from(">IQ", raw, 4), struct.unpack_from(">Q", raw, 144)
    return int((blocks - free) * block_size)


def _btrfs(device: BlockReader) -> int:
    (used,) = struct.unpack("<Q", device.read_at((64 << 10) + 120, 8))
    return int(used)


def _fat(device: BlockDevice) -> int | None:
    from imgkit.filesystem.fat.volume import open_volume, read_boot_sector  # noqa: PLC0415  construct takes 25 ms

    boot = read_boot_sector(device)
    if boot.cluster_count > _FAT_MOST_CLUSTERS:
        return None
    return (boot.cluster_count - open_volume(device).free_clusters()) * boot.cluster_size
