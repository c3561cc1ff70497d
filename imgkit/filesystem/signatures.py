"""Superblocks of everything that a partition may hold, as far as telling what it is and what it is called.

Declarations only; `probe` says where they lie. Specifications, by name:
XFS https://docs.kernel.org/filesystems/xfs/xfs-self-describing-metadata.html , btrfs
https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html , LVM2 lib/format_text/layout.h, LUKS
https://gitlab.com/cryptsetup/cryptsetup , md https://raid.wiki.kernel.org/index.php/RAID_superblock_formats , swap
include/linux/swap.h, ISO 9660 ECMA-119, squashfs https://docs.kernel.org/filesystems/squashfs.html , NTFS, exFAT
https://learn.microsoft.com/en-us/windows/win32/fileio/exfat-specification , F2FS include/linux/f2fs_fs.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from construct import Bytes, Const, Int8ul, Int16ub, Int16ul, Int32ul, Int64ul, Padding, Struct

if TYPE_CHECKING:
    from construct import Construct


class Signature(NamedTuple):
    """A structure that is told by the bytes `magic`, `at` so many bytes from its start.

    The magic number stands apart from the layout so that it is compared first: `construct` takes some 20 microseconds
    to find that a structure is not there, and there are a dozen to look for.
    """

    magic: bytes
    at: int
    layout: Construct


XFS = Signature(b"XFSB", 0, Struct(Padding(32), "uuid" / Bytes(16), Padding(60), "label" / Bytes(12)))

BTRFS_OFFSET = 64 << 10
BTRFS = Signature(b"_BHRfS_M", 64, Struct(Padding(32), "uuid" / Bytes(16), Padding(16 + 8 + 227), "label" / Bytes(256)))

LVM_LABEL_SECTORS = 4
LVM_LABEL = Signature(b"LABELONE", 0, Struct(Padding(20), "header_offset" / Int32ul, Const(b"LVM2 001")))
LVM_UUID_SIZE = 32

LUKS = Signature(
    b"LUKS\xba\xbe",
    0,
    Struct(Padding(6), "version" / Int16ub, Padding(16), "label" / Bytes(48), Padding(96), "uuid" / Bytes(40)),
)

_RAID_MAGIC = b"\xfc\x4e\x2b\xa9"
RAID_1 = Signature(
    _RAID_MAGIC + b"\1\0\0\0",
    0,
    Struct(Padding(16), "set_uuid" / Bytes(16), "set_name" / Bytes(32), Padding(80), "super_offset" / Int64ul),
)
RAID_0 = Signature(
    _RAID_MAGIC + b"\0\0\0\0",
    0,
    Struct(Padding(20), "uuid_0" / Bytes(4), Padding(28), "uuid_1_to_3" / Bytes(12)),
)

SWAP_MAGICS = (b"SWAPSPACE2", b"SWAP-SPACE")
SWAP_HEADER_OFFSET = 1024
SWAP_HEADER = Struct("version" / Int32ul, Padding(8), "uuid" / Bytes(16), "label" / Bytes(16))

ISO_FIRST_DESCRIPTOR = 32 << 10
ISO_DESCRIPTOR = Signature(
    b"CD001",
    1,
    Struct(Padding(40), "volume_id" / Bytes(32), Padding(741), "created" / Bytes(17), "modified" / Bytes(17)),
)

SQUASHFS = Signature(b"hsqs", 0, Struct(Padding(28), "major" / Int16ul))

NTFS = Signature(
    b"NTFS    ",
    3,
    Struct(Padding(11), "sector_size" / Int16ul, "per_cluster" / Int8ul, Padding(58), "serial" / Int64ul),
)

EXFAT = Signature(b"EXFAT   ", 3, Struct(Padding(100), "serial" / Int32ul))

F2FS_OFFSET = 1024
F2FS = Signature(b"\x10\x20\xf5\xf2", 0, Struct(Padding(108), "uuid" / Bytes(16), "label" / Bytes(1024)))

ZFS_UBERBLOCKS_OFFSET = 128 << 10
ZFS_UBERBLOCK_SIZE = 1024
ZFS_UBERBLOCKS = 128
ZFS_MAGICS = (b"\x0c\xb1\xba\x00\x00\x00\x00\x00", b"\x00\x00\x00\x00\x00\xba\xb1\x0c")
