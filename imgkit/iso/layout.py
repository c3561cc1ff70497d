"""Binary layouts of ISO 9660 volumes and what accompanies them; field names follow the specifications.

It knows bytes only: what is valid is decided by the modules that read them.

- Volume descriptors and directory records: ECMA-119, 4th edition,
  https://ecma-international.org/publications-and-standards/standards/ecma-119/
- Joliet: https://pismotec.com/cfs/jolspec.html
- System use entries: SUSP 1.12 and RRIP 1.12, https://web.archive.org/web/2017/http://www.ymi.com/ymi/sites/default/files/pdf/
- Boot catalogue: El Torito 1.0, https://pdos.csail.mit.edu/6.828/2018/readings/boot-cdrom.pdf
- Boot information table: mkisofs(8), "EL TORITO BOOT INFORMATION TABLE"
- Apple partition map: Inside Macintosh: Devices, chapter 3
"""

from __future__ import annotations

from struct import Struct as Packing

from construct import Bytes, Const, Int8ul, Int16ub, Int16ul, Int32ub, Int32ul, Padding, Struct

from imgkit.iso.detection import STANDARD_IDENTIFIER

SECTOR = 2048
"""Bytes of a logical sector. Descriptors begin on one, and no directory record crosses from one into the next."""

FIRST_DESCRIPTOR = 16 * SECTOR
EL_TORITO = b"EL TORITO SPECIFICATION"

# Numbers are recorded twice, little-endian first. The first is what Linux and boot loaders go by.
VOLUME_DESCRIPTOR = Struct(
    "type" / Int8ul,
    "identifier" / Const(STANDARD_IDENTIFIER),
    "version" / Int8ul,
    "flags" / Int8ul,
    "system_identifier" / Bytes(32),
    "volume_identifier" / Bytes(32),
    Padding(8),
    "space_size" / Int32ul,
    "space_size_be" / Int32ub,
    "escape_sequences" / Bytes(32),
    Padding(8),
    "logical_block_size" / Int16ul,
    "logical_block_size_be" / Int16ub,
    "path_table_size" / Int32ul,
    "path_table_size_be" / Int32ub,
    "l_path_table" / Int32ul,
    "optional_l_path_table" / Int32ul,
    "m_path_table" / Int32ub,
    "optional_m_path_table" / Int32ub,
    "root_directory_record" / Bytes(34),
)
SPACE_SIZE_OFFSET = 80
SPACE_SIZE = Struct("little" / Int32ul, "big" / Int32ub)
APPLICATION_USE_OFFSET, APPLICATION_USE_SIZE = 883, 512

BOOT_RECORD_DESCRIPTOR = Struct(
    "type" / Const(b"\0"),
    "identifier" / Const(STANDARD_IDENTIFIER),
    "version" / Int8ul,
    "boot_system_identifier" / Bytes(32),
    "boot_identifier" / Bytes(32),
    "catalog_block" / Int32ul,
)

# Read 100,000 times for an image of 50,000 files, for which construct takes seconds: length, extended attribute blocks,
# extent, data length, time, flags, unit size, gap size, length of the identifier.
DIRECTORY_RECORD = Packing("<BBI4xI4x7sBBB4xB")
DIRECTORY_RECORD_SIZE = DIRECTORY_RECORD.size
FLAG_DIRECTORY, FLAG_ASSOCIATED, FLAG_MULTI_EXTENT = 0x02, 0x04, 0x80

# Of system use entries: signature, length, version.
SYSTEM_USE_ENTRY = Packing("<2sBB")
CONTINUATION = Packing("<I4xI4xI4x")
POSIX_ATTRIBUTES = Packing("<I4xI4xI4xI4x")

CATALOG_ENTRY_SIZE = 32
SECTION_HEADER = Struct("indicator" / Int8ul, "platform_id" / Int8ul, "entries" / Int16ul, "id_string" / Bytes(28))
SECTION_ENTRY = Struct(
    "boot_indicator" / Int8ul,
    "media_type" / Int8ul,
    "load_segment" / Int16ul,
    "system_type" / Int8ul,
    Padding(1),
    "sector_count" / Int16ul,
    "load_rba" / Int32ul,
    "selection" / Bytes(20),
)

BOOT_INFO_OFFSET, BOOT_INFO_END = 8, 64
BOOT_INFO = Struct("pvd_block" / Int32ul, "file_block" / Int32ul, "file_length" / Int32ul, "checksum" / Int32ul)

DRIVER_DESCRIPTOR = Struct("signature" / Const(b"ER"), "block_size" / Int16ub, "block_count" / Int32ub)
APPLE_PARTITION = Struct(
    "signature" / Const(b"PM"),
    Padding(2),
    "map_entries" / Int32ub,
    "start" / Int32ub,
    "count" / Int32ub,
    "name" / Bytes(32),
    "type" / Bytes(32),
    "data_start" / Int32ub,
    "data_count" / Int32ub,
)
