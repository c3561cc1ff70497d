"""GUID partition tables: header and entries, the primary copy and the backup, their checksums.

It does not decide whether a disk has a GPT (`table` looks for the protective MBR), and it repairs nothing. UEFI
Specification 2.10, section 5.3. Which copy counts when is kept in docs/decisions/011-damaged-gpt.md.
"""

from __future__ import annotations

import itertools
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from imgkit.errors import FormatError
from imgkit.partition.layout import GPT_ENTRY, GPT_ENTRY_SIZE, GPT_HEADER, GPT_HEADER_SIZE, GPT_SIGNATURE, build
from imgkit.partition.model import Partition, PartitionTable, Scheme
from imgkit.partition.types import gpt_type_name
from imgkit.units import MIB, ByteRange, sectors_to_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.storage.device import BlockReader

SECTOR_SIZES = (512, 4096)
"""Logical sector sizes that disks have, in bytes; a GPT is looked for with each."""

MAX_ARRAY_SIZE = 4 * MIB
"""Entries in bytes that are read at most, 32,768 entries of 128: the kernel's own limit on x86 (KMALLOC_MAX_SIZE)."""

_PRIMARY_LBA = 1
_MOST = 256  # the kernel numbers no more on a disk (DISK_MAX_PARTS)
_UNUSED = bytes(16)
_CRC_OFFSET = 16
_LEGACY_BIOS_BOOTABLE = 1 << 2
_HEADER = "GPT header"
_HINT = "Download the image again, or let gdisk rebuild the table (recovery menu, r)."


class GptError(FormatError):
    """A copy of the table is not valid; what a damaged image format below raises is a `FormatError`, but not this."""


@dataclass(frozen=True, slots=True)
class GptHeader:
    """A GPT header as stored, in sectors, less its own checksum, which `build_header` computes."""

    revision: int
    header_size: int
    my_lba: int
    alternate_lba: int
    first_usable_lba: int
    last_usable_lba: int
    disk_guid: str
    partition_entry_lba: int
    number_of_partition_entries: int
    size_of_partition_entry: int
    partition_entry_array_crc32: int

    @property
    def array_size(self) -> int:
        """Bytes of the partition entry array; its checksum covers all of them, used or not."""
        return self.number_of_partition_entries * self.size_of_partition_entry


_HEADER_FIELDS = tuple(field.name for field in fields(GptHeader))


@dataclass(frozen=True, slots=True)
class _Copy:
    """One valid copy of the table: header and array agree with their checksums."""

    header: GptHeader
    array: bytes


def parse_header(sector: bytes, *, lba: int, last_lba: int) -> GptHeader:
    """The header in a whole sector that was read at `lba` of a disk whose last sector is `last_lba`.

    Raises `GptError` with the first field that is wrong.
    """
    header_size = int.from_bytes(sector[12:16], "little")
    if sector[:8] != GPT_SIGNATURE:
        raise _header_error(sector, lba, "signature", f"there is no GPT header at LBA {lba:,}")
    if not GPT_HEADER_SIZE <= header_size <= len(sector):
        raise _header_error(sector, lba, "header_size", f"the GPT header claims to be {header_size:,} bytes long")
    parsed = GPT_HEADER.parse(sector)
    if _header_crc(sector[:header_size]) != parsed.header_crc32:
        raise _header_error(sector, lba, "header_crc32", "the GPT header's checksum is wrong")
    header = GptHeader(*(parsed[name] for name in _HEADER_FIELDS))
    if header.my_lba != lba:
        raise _header_error(
            sector, lba, "my_lba", f"the GPT header at LBA {lba:,} says that it is at {header.my_lba:,}"
        )
    if not header.first_usable_lba <= header.last_usable_lba:
        raise _header_error(sector, lba, "first_usable_lba", "the GPT has no usable sectors")
    if header.last_usable_lba > last_lba:
        raise _header_error(
            sector,
            lba,
            "last_usable_lba",
            f"the GPT uses sectors up to LBA {header.last_usable_lba:,}, the image ends at LBA {last_lba:,}",
            hint="The image is truncated; download it again.",
        )
    if header.first_usable_lba < lba < header.last_usable_lba:
        raise _header_error(sector, lba, "my_lba", "the GPT header lies inside the range for partitions")
    return header


def _header_crc(header: bytes) -> int:
    return zlib.crc32(header[:_CRC_OFFSET] + bytes(4) + header[_CRC_OFFSET + 4 :])


def _header_error(sector: bytes, lba: int, field: str, message: str, *, hint: str = _HINT) -> GptError:
    return GptError(message, structure=_HEADER, offset=lba * len(sector), field=field, hint=hint)


def build_header(header: GptHeader) -> bytes:
    """The bytes of a header (`header_size` of them) with its checksum. ValueError where a field does not fit."""
    values = asdict(header) | {"header_crc32": 0, "reserved": 0}
    built = build(GPT_HEADER, values).ljust(header.header_size, b"\0")
    crc = _header_crc(built).to_bytes(4, "little")
    return built[:_CRC_OFFSET] + crc + built[_CRC_OFFSET + 4 :]


def parse_array(array: bytes, *, entry_size: int, sector_size: int) -> Iterator[Partition]:
    """The used entries of a partition entry array."""
    for offset in range(0, len(array), entry_size):
        if array[offset : offset + 16] != _UNUSED:
            yield _partition(offset // entry_size + 1, array[offset : offset + GPT_ENTRY_SIZE], sector_size)


def _partition(number: int, raw: bytes, sector_size: int) -> Partition:
    entry = GPT_ENTRY.parse(raw)
    first, last = entry.starting_lba, entry.ending_lba
    backwards = last < first
    return Partition(
        number,
        ByteRange(first * sector_size, first * sector_size)
        if backwards
        else sectors_to_range(first, last, sector_size),
        type_id=entry.partition_type_guid,
        type_name=gpt_type_name(entry.partition_type_guid),
        name=entry.partition_name,
        partuuid=entry.unique_partition_guid.lower(),
        active=bool(entry.attributes & _LEGACY_BIOS_BOOTABLE),
        attributes=entry.attributes,
    )


def has_gpt_signature(device: BlockReader, sector_size: int) -> bool:
    """Whether something that calls itself a GPT header is where the primary one belongs."""
    size = len(GPT_SIGNATURE)
    return device.size >= sector_size + size and device.read_at(sector_size, size) == GPT_SIGNATURE


def read_gpt(device: BlockReader, sector_sizes: Sequence[int]) -> PartitionTable:
    """The GPT of a disk, for the first of the sector sizes that has a valid copy: a primary one, else a backup.

    Raises `GptError` where there is no valid copy, with what is wrong with the first header found.
    """
    damage: list[GptError] = []
    for sector_size in sector_sizes:
        primary = _try_copy(device, _PRIMARY_LBA, sector_size, damage)
        if primary is not None:
            return _table(primary, sector_size, _backup_notices(device, primary, sector_size))
    for sector_size in sector_sizes:
        for lba in _backup_places(device, sector_size):
            backup = _try_copy(device, lba, sector_size, damage)
            if backup is not None:
                notice = f"The primary GPT is damaged ({_telling(damage).message}); the backup at LBA {lba:,} was read."
                return _table(backup, sector_size, [notice], recovered=True)
    raise _no_valid_copy(device, sector_sizes, damage)


def _no_valid_copy(device: BlockReader, sector_sizes: Sequence[int], damage: list[GptError]) -> GptError:
    first = _telling(damage)
    message, hint = f"{first.message}, and there is no valid backup", first.hint
    if first.field == "signature":
        message = "the protective MBR announces a GPT, but no header is at the start of the disk or at its end"
        other = next((size for size in SECTOR_SIZES if has_gpt_signature(device, size)), None)
        if other is not None and other not in sector_sizes:
            hint = f"There is a GPT header for sectors of {other} bytes; read the table with that sector size."
    return GptError(message, structure=first.structure, offset=first.offset, field=first.field, hint=hint)


def _telling(damage: list[GptError]) -> GptError:
    """The first error about a header that is there, or else the first."""
    return next((error for error in damage if error.field != "signature"), damage[0])


def _table(copy: _Copy, sector_size: int, notices: list[str], *, recovered: bool = False) -> PartitionTable:
    header = copy.header
    if header.size_of_partition_entry != GPT_ENTRY_SIZE:
        size = header.size_of_partition_entry
        notices.append(f"The GPT's entries are {size} bytes long; the Linux kernel reads only those of 128 bytes.")
    found = parse_array(copy.array, entry_size=header.size_of_partition_entry, sector_size=sector_size)
    partitions = tuple(itertools.islice(found, _MOST))
    if next(found, None) is not None:
        notices.append(f"Only the first {_MOST} partitions of the GPT were read.")
    return PartitionTable(
        Scheme.GPT,
        sector_size,
        header.disk_guid.lower(),
        partitions,
        recovered_from_backup=recovered,
        notices=tuple(notices),
        usable=sectors_to_range(header.first_usable_lba, header.last_usable_lba, sector_size),
    )


def _read_header(device: BlockReader, lba: int, sector_size: int) -> GptHeader:
    last_lba = device.size // sector_size - 1
    sector = device.read_at(lba * sector_size, sector_size) if lba <= last_lba else bytes(sector_size)
    return parse_header(sector, lba=lba, last_lba=last_lba)


def _read_copy(device: BlockReader, lba: int, sector_size: int) -> _Copy:
    header = _read_header(device, lba, sector_size)
    offset = header.partition_entry_lba * sector_size
    if header.size_of_partition_entry == 0 or header.size_of_partition_entry % GPT_ENTRY_SIZE:
        raise _array_error(offset, "size_of_partition_entry", f"entries of {header.size_of_partition_entry:,} bytes")
    if not 0 < header.array_size <= MAX_ARRAY_SIZE:
        count = header.number_of_partition_entries
        raise _array_error(offset, "number_of_partition_entries", f"{count:,} entries")
    if offset + header.array_size > device.size:
        raise _array_error(offset, "partition_entry_lba", "entries past the end of the image")
    array = device.read_at(offset, header.array_size)
    if zlib.crc32(array) != header.partition_entry_array_crc32:
        raise _array_error(offset, "partition_entry_array_crc32", "entries that do not match their checksum")
    return _Copy(header, array)


def _array_error(offset: int, field: str, what: str) -> GptError:
    return GptError(f"the GPT has {what}", structure="GPT partition entries", offset=offset, field=field, hint=_HINT)


def _try_copy(device: BlockReader, lba: int, sector_size: int, damage: list[GptError]) -> _Copy | None:
    try:
        return _read_copy(device, lba, sector_size)
    except GptError as error:
        damage.append(error)
        return None


def _backup_places(device: BlockReader, sector_size: int) -> list[int]:
    """Where a backup may be: in the last sector, and where a primary header with a valid checksum says.

    The second is for a disk that was grown after its primary entries were damaged.
    """
    places = [device.size // sector_size - 1]
    with suppress(GptError):
        places.append(_read_header(device, _PRIMARY_LBA, sector_size).alternate_lba)
    return [lba for lba in dict.fromkeys(places) if lba > _PRIMARY_LBA]


def _backup_notices(device: BlockReader, primary: _Copy, sector_size: int) -> list[str]:
    last_lba = device.size // sector_size - 1
    lba = primary.header.alternate_lba
    damage: list[GptError] = []
    backup = _try_copy(device, lba, sector_size, damage)
    if backup is None:
        return [f"The backup GPT is damaged or missing: {_telling(damage).message}."]
    notices = []
    if lba != last_lba:
        notices.append(f"The backup GPT is at LBA {lba:,}, not at the end of the disk; the disk has grown.")
    if backup.array != primary.array or backup.header.disk_guid != primary.header.disk_guid:
        notices.append("Primary and backup GPT are both valid and differ; the primary was read.")
    return notices
