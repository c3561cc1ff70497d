"""Byte layouts of qcow2. All integers are big-endian.

Specification: docs/interop/qcow2.txt in QEMU's source.
"""

from __future__ import annotations

from construct import Const, Int16ub, Int32ub, Int64ub, Struct

MAGIC = b"QFI\xfb"

HEADER = Struct(
    "magic" / Const(MAGIC),
    "version" / Int32ub,
    "backing_file_offset" / Int64ub,
    "backing_file_size" / Int32ub,
    "cluster_bits" / Int32ub,
    "size" / Int64ub,
    "crypt_method" / Int32ub,
    "l1_size" / Int32ub,
    "l1_table_offset" / Int64ub,
    "refcount_table_offset" / Int64ub,
    "refcount_table_clusters" / Int32ub,
    "nb_snapshots" / Int32ub,
    "snapshots_offset" / Int64ub,
)

HEADER_V3 = Struct(
    "incompatible_features" / Int64ub,
    "compatible_features" / Int64ub,
    "autoclear_features" / Int64ub,
    "refcount_order" / Int32ub,
    "header_length" / Int32ub,
)

# Where the fields lie that a write may have to change.
REFCOUNT_TABLE_OFFSET = 48
REFCOUNT_TABLE = Struct("offset" / Int64ub, "clusters" / Int32ub)
AUTOCLEAR_OFFSET = 88
COMPRESSION_TYPE_OFFSET = 104

EXTENSION = Struct("type" / Int32ub, "length" / Int32ub)
EXTENSION_END = 0
EXTENSION_BACKING_FORMAT = 0xE2792ACA
EXTENSION_FEATURE_NAMES = 0x6803F857
EXTENSION_DATA_FILE = 0x44415441
EXTENSION_BITMAPS = 0x23852875

# Feature name table: entries of 48 bytes, padded with zeros. Type 0 is incompatible.
FEATURE_NAME_SIZE = 48

SNAPSHOT = Struct(
    "l1_table_offset" / Int64ub,
    "l1_size" / Int32ub,
    "id_size" / Int16ub,
    "name_size" / Int16ub,
    "seconds" / Int32ub,
    "nanoseconds" / Int32ub,
    "vm_clock" / Int64ub,
    "vm_state_size" / Int32ub,
    "extra_data_size" / Int32ub,
)

INCOMPATIBLE_DIRTY = 1 << 0
INCOMPATIBLE_CORRUPT = 1 << 1
INCOMPATIBLE_DATA_FILE = 1 << 2
INCOMPATIBLE_COMPRESSION = 1 << 3
INCOMPATIBLE_EXTENDED_L2 = 1 << 4
INCOMPATIBLE_KNOWN = 0x1F

AUTOCLEAR_BITMAPS = 1 << 0
AUTOCLEAR_RAW_DATA_FILE = 1 << 1

# Entries of the L1 and L2 tables.
COPIED = 1 << 63
COMPRESSED = 1 << 62
OFFSET_MASK = 0x00FF_FFFF_FFFF_FE00
ZERO = 1 << 0
SUBCLUSTERS = 32
