"""On-disk structures of LVM2: declarations only. All numbers are little-endian, offsets and sizes in bytes.

Specification: lib/format_text/layout.h and lib/label/label.h of https://sourceware.org/git/lvm2.git , and in prose
https://github.com/libyal/libvslvm/blob/main/documentation/Logical%20Volume%20Manager%20%28LVM%29%20format.asciidoc
"""

from __future__ import annotations

from struct import Struct as Format

from construct import Array, Bytes, Const, Int32ul, Int64ul, Struct

SECTOR = 512
LABEL_SECTORS = 4
"""The label lies in one of these sectors, usually the second."""

LABEL_ID = b"LABELONE"
LABEL = Struct(
    "id" / Const(LABEL_ID),
    "sector" / Int64ul,
    "crc" / Int32ul,  # of the rest of the sector
    "offset" / Int32ul,  # of the physical volume's header, from the start of the label
    "type" / Bytes(8),
)
LABEL_TYPE = b"LVM2 001"
LABEL_CRC_START = 20

PV_HEADER = Struct("uuid" / Bytes(32), "device_size" / Int64ul)
LOCATION = Format("<QQ")
"""Offset and size. Behind the header comes a list of data areas and one of metadata areas, each ended by zeros."""

METADATA_MAGIC = b" LVM2 x[5A%r0N*>"
METADATA_HEADER_SIZE = 512
METADATA_VERSION = 1
RAW_LOCATION = Struct("offset" / Int64ul, "size" / Int64ul, "checksum" / Int32ul, "flags" / Int32ul)
METADATA_HEADER = Struct(
    "checksum" / Int32ul,  # of the rest of the 512 bytes
    "magic" / Bytes(16),
    "version" / Int32ul,
    "start" / Int64ul,
    "size" / Int64ul,
    "locations" / Array(4, RAW_LOCATION),  # the first one is the committed text, the second one a text in preparation
)
LOCATION_IGNORED = 1
"""The administrator asked LVM not to use this area, which may be out of date."""

CRC_SEED = 0xF597A6CF
"""LVM's CRC is the usual CRC-32, started from this number and not inverted."""
