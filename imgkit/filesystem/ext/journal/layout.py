"""On-disk structures of a jbd2 journal: declarations only. Numbers are big-endian, positions are blocks of the journal.

Specification: https://docs.kernel.org/filesystems/ext4/journal.html ; names are those of include/linux/jbd2.h.
"""

from __future__ import annotations

from enum import IntFlag
from struct import Struct

from construct import Bytes, Int8ub, Int32sb, Int32ub, Padding
from construct import Struct as Record

MAGIC = 0xC03B3998
MAGIC_BYTES = MAGIC.to_bytes(4, "big")

DESCRIPTOR_BLOCK = 1
COMMIT_BLOCK = 2
SUPERBLOCK_V1 = 3
SUPERBLOCK_V2 = 4
REVOKE_BLOCK = 5

HEADER = Struct(">III")
"""magic, block type, sequence number of the transaction."""

SUPERBLOCK_SIZE = 1024
SUPERBLOCK = Record(
    "h_magic" / Int32ub,
    "h_blocktype" / Int32ub,
    Padding(4),
    "s_blocksize" / Int32ub,
    "s_maxlen" / Int32ub,
    "s_first" / Int32ub,
    "s_sequence" / Int32ub,
    "s_start" / Int32ub,
    "s_errno" / Int32sb,
    # From here on only in version 2.
    "s_feature_compat" / Int32ub,
    "s_feature_incompat" / Int32ub,
    "s_feature_ro_compat" / Int32ub,
    "s_uuid" / Bytes(16),
    "s_nr_users" / Int32ub,
    Padding(12),  # copy of the superblock, limits
    "s_checksum_type" / Int8ub,
    Padding(3),
    "s_num_fc_blks" / Int32ub,
    Padding(0xFC - 0x58),
    "s_checksum" / Int32ub,
    Padding(768),
)
SEQUENCE_OFFSET = 0x18
START_OFFSET = 0x1C
CHECKSUM_OFFSET = 0xFC
CHECKSUM_CRC32C = 4


class Compat(IntFlag):
    """`s_feature_compat`."""

    CHECKSUM = 1


class Incompat(IntFlag):
    """`s_feature_incompat`."""

    REVOKE = 0x01
    BIT64 = 0x02
    ASYNC_COMMIT = 0x04
    CSUM_V2 = 0x08
    CSUM_V3 = 0x10
    FAST_COMMIT = 0x20


TAG = Struct(">IHH")
"""Block (low), checksum, flags. With 64bit the high half of the block follows, then two bytes with checksums v2."""

TAG_V3 = Struct(">IIII")
"""Block (low), flags, block (high), checksum: with checksums of version 3, whether 64bit or not."""

TAG_ESCAPED = 1
"""The block began with the magic number, which was replaced by zeros."""

TAG_SAME_UUID = 2
"""No UUID follows the tag."""

TAG_LAST = 8
UUID_SIZE = 16

TAIL_SIZE = 4
"""The checksum at the end of descriptor and revoke blocks, with checksums of version 2 and 3."""

REVOKE_COUNT = Struct(">I")
"""Bytes in use of a revoke block, the header and this number included; behind the header."""

COMMIT_CHECKSUM_OFFSET = 16
COMMIT_TIME = Struct(">QI")
COMMIT_TIME_OFFSET = 48
"""Seconds and nanoseconds."""
