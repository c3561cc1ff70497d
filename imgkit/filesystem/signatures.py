"""Superblocks of everything that a partition may hold, as far as telling what it is and what it is called.

Declarations only; `probe` says where they lie. Specifications, by name:
XFS https://docs.kernel.org/filesystems/xfs/xfs-self-describing-metadata.html , btrfs
https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html , LVM2 lib/format_text/layout.h, LUKS
https://gitlab.com/cryptsetup/cryptsetup , md https://raid.wiki.kernel.org/index.php/RAID_superblock_formats , swap
include/linux/swap.h, ISO 9660 ECMA-119, squashfs https://docs.kernel.org/filesystems/squashfs.html , NTFS, exFAT
https://learn.microsoft.com/en-us/windows/win32/fileio/exfat-specification , F2FS include/linux/f2fs_fs.h.
"""

from __future__ import annotations

from construct import Bytes, Const, Int8ul, Int16ub, Int16ul, Int32ub, Int32ul, Int64ul, Padding, Struct

XFS = Struct(Const(b"XFSB"), Padding(28), "uuid" / Bytes(16), Padding(60), "label" / Bytes(12))

BTRFS_OFFSET = 64 << 10
BTRFS = Struct(Padding(32), "uuid" / Bytes(16), Padding(16), Const(b"_BHRfS_M"), Padding(227), "label" / Bytes(256))

LVM_LABEL_SECTORS = 4
LVM_LABEL = Struct(Const(b"LABELONE"), Padding(12), "header_offset" / Int32ul, Const(b"LVM2 001"))
LVM_UUID_SIZE = 32

LUKS = Struct(
    Const(b"LUKS\xba\xbe"),
    "version" / Int16ub,
    Padding(16),
    "label" / Bytes(48),
    Padding(96),
    "uuid" / Bytes(40),
)

RAID_MAGIC = 0xA92B4EFC
RAID_1 = Struct(
    Const(RAID_MAGIC, Int32ul),
    Const(1, Int32ul),
    Padding(8),
    "set_uuid" / Bytes(16),
    "set_name" / Bytes(32),
    Padding(80),
    "super_offset" / Int64ul,
)
RAID_0 = Struct(
    Const(RAID_MAGIC, Int32ul),
    Const(0, Int32ul),
    Padding(12),
    "uuid_0" / Bytes(4),
    Padding(28),
    "uuid_1_to_3" / Bytes(12),
)

SWAP_MAGICS = (b"SWAPSPACE2", b"SWAP-SPACE")
SWAP_HEADER_OFFSET = 1024
SWAP_HEADER = Struct("version" / Int32ul, Padding(8), "uuid" / Bytes(16), "label" / Bytes(16))

ISO_FIRST_DESCRIPTOR = 32 << 10
ISO_DESCRIPTOR_SIZE = 2048
ISO_MAX_DESCRIPTORS = 16
ISO_DESCRIPTOR = Struct(
    "type" / Int8ul,
    Const(b"CD001"),
    Padding(34),
    "volume_id" / Bytes(32),
    Padding(16),
    "escape_sequences" / Bytes(32),
    Padding(693),
    "created" / Bytes(17),
    "modified" / Bytes(17),
)

SQUASHFS = Struct(Const(b"hsqs"), Padding(24), "major" / Int16ul)

NTFS = Struct(
    Padding(3), Const(b"NTFS    "), "sector_size" / Int16ul, "per_cluster" / Int8ul, Padding(58), "serial" / Int64ul
)

EXFAT = Struct(Padding(3), Const(b"EXFAT   "), Padding(89), "serial" / Int32ul)

F2FS_OFFSET = 1024
F2FS = Struct(Const(0xF2F52010, Int32ul), Padding(104), "uuid" / Bytes(16), "label" / Bytes(1024))

ZFS_UBERBLOCKS_OFFSET = 128 << 10
ZFS_UBERBLOCK_SIZE = 1024
ZFS_UBERBLOCKS = 128
ZFS_MAGICS = (b"\x0c\xb1\xba\x00\x00\x00\x00\x00", b"\x00\x00\x00\x00\x00\xba\xb1\x0c")

JOURNAL = Struct(Const(0xC03B3998, Int32ub))
