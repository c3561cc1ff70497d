"""Binary layouts of partition tables, for reading and for writing; field names follow the specification.

It knows bytes only: what is valid is decided in `mbr`, `gpt` and `bootsector`.

- MBR and GPT: UEFI Specification 2.10, chapter 5,
  https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html
- Extended boot records have the MBR's layout and no formal specification. What counts is what Linux does with them:
  https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/block/partitions/msdos.c
- BIOS parameter block: Microsoft FAT specification 1.03, https://academy.cba.mit.edu/classes/networking_communications/SD/FAT.pdf
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from construct import Bytes, Const, Construct, ConstructError, ExprAdapter, Int8ul, Int16ul, Int32ul, Int64ul, Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

BOOT_SIGNATURE = b"\x55\xaa"
GPT_SIGNATURE = b"EFI PART"
GPT_HEADER_SIZE = 92
GPT_ENTRY_SIZE = 128


def _decode_name(raw: bytes) -> str:
    # Unpaired surrogates occur in damaged names; they become U+FFFD, because a str that holds them cannot be printed.
    return raw.decode("utf-16-le", "replace").split("\0", 1)[0]


def _encode_name(name: str) -> bytes:
    raw = name.encode("utf-16-le")
    if len(raw) > 72 or "\0" in name:  # noqa: PLR2004
        raise ValueError(f"not a GPT partition name (36 UTF-16 units, none of them 0): {name!r}")
    return raw.ljust(72, b"\0")


# The first three fields of a GUID are little-endian (UEFI 2.10, appendix A); in text it is upper case here.
GUID = ExprAdapter(
    Bytes(16),
    lambda raw, _: str(UUID(bytes_le=raw)).upper(),
    lambda text, _: UUID(text).bytes_le,
)

MBR_ENTRY = Struct(
    "boot_indicator" / Int8ul,
    "starting_chs" / Bytes(3),
    "os_type" / Int8ul,
    "ending_chs" / Bytes(3),
    "starting_lba" / Int32ul,
    "size_in_lba" / Int32ul,
)

BOOT_RECORD = Struct(
    "boot_code" / Bytes(440),
    "disk_signature" / Int32ul,
    "unknown" / Bytes(2),
    "entries" / MBR_ENTRY[4],
    "signature" / Const(BOOT_SIGNATURE),
)

GPT_HEADER = Struct(
    "signature" / Const(GPT_SIGNATURE),
    "revision" / Int32ul,
    "header_size" / Int32ul,
    "header_crc32" / Int32ul,
    "reserved" / Int32ul,
    "my_lba" / Int64ul,
    "alternate_lba" / Int64ul,
    "first_usable_lba" / Int64ul,
    "last_usable_lba" / Int64ul,
    "disk_guid" / GUID,
    "partition_entry_lba" / Int64ul,
    "number_of_partition_entries" / Int32ul,
    "size_of_partition_entry" / Int32ul,
    "partition_entry_array_crc32" / Int32ul,
)

GPT_ENTRY = Struct(
    "partition_type_guid" / GUID,
    "unique_partition_guid" / GUID,
    "starting_lba" / Int64ul,
    "ending_lba" / Int64ul,
    "attributes" / Int64ul,
    "partition_name" / ExprAdapter(Bytes(72), lambda raw, _: _decode_name(raw), lambda name, _: _encode_name(name)),
)

BIOS_PARAMETER_BLOCK = Struct(
    "jump" / Bytes(3),
    "oem_name" / Bytes(8),
    "bytes_per_sector" / Int16ul,
    "sectors_per_cluster" / Int8ul,
    "reserved_sectors" / Int16ul,
    "number_of_fats" / Int8ul,
    "root_entries" / Int16ul,
    "total_sectors_16" / Int16ul,
    "media" / Int8ul,
    "fat_size_16" / Int16ul,
    "sectors_per_track" / Int16ul,
    "heads" / Int16ul,
    "hidden_sectors" / Int32ul,
    "total_sectors_32" / Int32ul,
    "fat_size_32" / Int32ul,
)


def build(layout: Construct, values: Mapping[str, Any]) -> bytes:
    """The bytes of one structure. ValueError where a value does not fit its field."""
    try:
        built: bytes = layout.build(values)
    except ConstructError as error:
        raise ValueError(f"a value does not fit its field: {error}") from error
    return built
