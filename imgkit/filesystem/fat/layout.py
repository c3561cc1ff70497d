"""On-disk structures of FAT12, FAT16 and FAT32 with VFAT names: declarations only.

Specification: Microsoft, "FAT: General Overview of On-Disk Format", version 1.03,
https://academy.cba.mit.edu/classes/networking_communications/SD/FAT.pdf . All numbers are little-endian.
"""

from __future__ import annotations

from enum import IntFlag
from struct import Struct

from construct import Bytes, Int8ul, Int16ul, Int32ul, Padding
from construct import Struct as Record

BOOT_SECTOR_SIZE = 512

BOOT_SECTOR = Record(
    "BS_jmpBoot" / Bytes(3),
    "BS_OEMName" / Bytes(8),
    "BPB_BytsPerSec" / Int16ul,
    "BPB_SecPerClus" / Int8ul,
    "BPB_RsvdSecCnt" / Int16ul,
    "BPB_NumFATs" / Int8ul,
    "BPB_RootEntCnt" / Int16ul,
    "BPB_TotSec16" / Int16ul,
    "BPB_Media" / Int8ul,
    "BPB_FATSz16" / Int16ul,
    Padding(8),  # geometry, hidden sectors
    "BPB_TotSec32" / Int32ul,
    "rest" / Bytes(474),
    "signature" / Bytes(2),
)

EXTENDED_16 = Record(
    "BS_DrvNum" / Int8ul,
    "BS_Reserved1" / Int8ul,
    "BS_BootSig" / Int8ul,
    "BS_VolID" / Int32ul,
    "BS_VolLab" / Bytes(11),
    "BS_FilSysType" / Bytes(8),
)
"""What follows the common part for FAT12 and FAT16."""

EXTENDED_32 = Record(
    "BPB_FATSz32" / Int32ul,
    "BPB_ExtFlags" / Int16ul,
    "BPB_FSVer" / Int16ul,
    "BPB_RootClus" / Int32ul,
    "BPB_FSInfo" / Int16ul,
    "BPB_BkBootSec" / Int16ul,
    Padding(12),
    "BS_DrvNum" / Int8ul,
    "BS_Reserved1" / Int8ul,
    "BS_BootSig" / Int8ul,
    "BS_VolID" / Int32ul,
    "BS_VolLab" / Bytes(11),
    "BS_FilSysType" / Bytes(8),
)

FSINFO = Record(
    "FSI_LeadSig" / Int32ul,
    Padding(480),
    "FSI_StrucSig" / Int32ul,
    "FSI_Free_Count" / Int32ul,
    "FSI_Nxt_Free" / Int32ul,
    Padding(12),
    "FSI_TrailSig" / Int32ul,
)
FSINFO_SIGNATURES = (0x41615252, 0x61417272, 0xAA550000)
FSINFO_UNKNOWN = 0xFFFFFFFF

BOOT_SIGNATURE = b"\x55\xaa"
EXTENDED_BOOT_SIGNATURES = (0x28, 0x29)
DIRTY_STATE = 0x03
"""Bits of BS_Reserved1 that Windows and Linux set while the volume is mounted, or needs a surface scan."""

DIRECTORY_ENTRY = Struct("<11sBBBHHHHHHHI")
"""name, attributes, case of a short name, tenths of a second and time and date of creation, date of last access, high
half of the first cluster, time and date of last write, low half of the first cluster, size."""

ENTRY_SIZE = 32
ATTRIBUTE_OFFSET = 11
CREATION_OFFSET = 13
ACCESS_OFFSET = 18
WRITE_OFFSET = 22

LONG_NAME_ENTRY = Struct("<B10sBBB12sH4s")
"""ordinal, 5 characters, attributes, type, checksum of the short name, 6 characters, 0, 2 characters."""

LAST_LONG_ENTRY = 0x40
FREE, END = 0xE5, 0x00
KANJI_E5 = 0x05
"""Stands for a first byte of 0xE5, which would mean a free entry."""

LOWER_BASE, LOWER_EXTENSION = 0x08, 0x10


class Attribute(IntFlag):
    """`DIR_Attr`."""

    READ_ONLY = 0x01
    HIDDEN = 0x02
    SYSTEM = 0x04
    VOLUME_ID = 0x08
    DIRECTORY = 0x10
    ARCHIVE = 0x20
    LONG_NAME = 0x0F
