"""The partition tables of an ISO that boots from USB disks as well: MBR, GPT and Apple partition map side by side.

They describe the same bytes in three ways: the volume as a partition, boot images inside it as others, and partitions
that were appended to it. isohybrid, xorriso and grub-mkrescue each make them in their own form; what they have in
common is enough here: all ranges pass through one function, and everything else stays as it was.

Layouts and parsers of MBR and GPT are those of `imgkit.partition`; for the Apple partition map see `layout`.
"""

from __future__ import annotations

import re
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from imgkit.errors import FormatError
from imgkit.iso import layout
from imgkit.units import ByteRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.partition.gpt import GptHeader
    from imgkit.partition.mbr import BootRecord, MbrEntry
    from imgkit.storage.device import BlockDevice, BlockReader

_SECTOR = 512
_MOST_APPLE_PARTITIONS = 64
_GPT_FIRST_LBA_OFFSET = 32
_FILLER = re.compile(r"Gap\d+")
_UNUSED_GUID = bytes(16)
# What reaches past the end of the image already is not made right, nor worse.
_LARGEST, _LARGEST_LBA = 0xFFFFFFFF, (1 << 64) - 1
_BEYOND_CHS = b"\xfe\xff\xff"


class Scheme(StrEnum):
    """The kind of table."""

    MBR = "MBR"
    GPT = "GPT"
    APM = "APM"


@dataclass(frozen=True, slots=True)
class Slot:
    """One partition as one table has it. `type` is the type as that table writes it; `where` is in bytes."""

    scheme: Scheme
    number: int
    where: ByteRange
    type: str
    name: str = ""

    @property
    def is_filler(self) -> bool:
        """Whether xorriso made it to leave no part of the image without a partition; it means nothing."""
        return _FILLER.fullmatch(self.name) is not None


@dataclass(frozen=True, slots=True)
class Gpt:
    """A GPT whose primary copy is valid. `backup` is the header of the other copy, None where that is not valid."""

    header: GptHeader
    array: bytes
    backup: GptHeader | None


@dataclass(frozen=True, slots=True)
class Tables:
    """What partition tables there are, and all their partitions."""

    mbr: BootRecord | None
    gpt: Gpt | None
    apple_block_size: int
    slots: tuple[Slot, ...]

    def has_backup_from(self, position: int) -> bool:
        """Whether the backup GPT, or the place where one belongs, lies behind a byte position."""
        return self.gpt is not None and self.gpt.header.alternate_lba * _SECTOR >= position

    def backup_ranges(self) -> Iterator[tuple[str, ByteRange]]:
        """Where the backup GPT lies, in bytes."""
        if self.gpt is not None and self.gpt.backup is not None:
            yield from _copy_ranges(self.gpt.backup)

    def ranges(self) -> Iterator[tuple[str, ByteRange]]:
        """Where the tables themselves lie, in bytes, beyond the first sector."""
        if self.gpt is not None:
            yield from _copy_ranges(self.gpt.header)
            yield from self.backup_ranges()
        count = sum(slot.scheme is Scheme.APM for slot in self.slots)
        if count:
            yield "the Apple partition map", ByteRange(0, (count + 1) * self.apple_block_size)


def _copy_ranges(header: GptHeader) -> Iterator[tuple[str, ByteRange]]:
    start = header.partition_entry_lba * _SECTOR
    yield "the GPT entries", ByteRange(start, start + header.array_size)
    yield "the GPT header", ByteRange(header.my_lba * _SECTOR, (header.my_lba + 1) * _SECTOR)


def read_tables(device: BlockReader) -> Tables:
    """The tables of an image. A copy of a GPT that is not valid counts as absent, as for a kernel."""
    from imgkit.partition.mbr import parse_boot_record  # noqa: PLC0415  construct takes 25 ms to import

    record = parse_boot_record(device.read_at(0, _SECTOR)) if device.size >= _SECTOR else None
    gpt = _read_gpt(device)
    block_size = _apple_block_size(device)
    slots = [*_mbr_slots(record), *(() if gpt is None else _gpt_slots(gpt)), *_apple_slots(device, block_size)]
    return Tables(record, gpt, block_size, tuple(slots))


def rewrite(
    device: BlockDevice, tables: Tables, change: Callable[[ByteRange], ByteRange], *, backup_shift: int = 0
) -> None:
    """Pass the range of every partition through `change`, and bring all tables up to date.

    `backup_shift` are the bytes by which the backup GPT has been moved. The image has its new size already.
    """
    if tables.mbr is not None:
        _rewrite_mbr(device, tables.mbr, change)
    if tables.gpt is not None:
        _rewrite_gpt(device, tables.gpt, change, backup_shift // _SECTOR)
    if tables.apple_block_size:
        _rewrite_apple(device, tables, change)


def _mbr_slots(record: BootRecord | None) -> Iterator[Slot]:
    for number, entry in enumerate(record.entries if record else (), 1):
        if entry.is_used:
            yield Slot(Scheme.MBR, number, _mbr_range(entry), f"0x{entry.os_type:02x}")


def _mbr_range(entry: MbrEntry) -> ByteRange:
    return ByteRange(entry.starting_lba * _SECTOR, (entry.starting_lba + entry.size_in_lba) * _SECTOR)


def _rewrite_mbr(device: BlockDevice, record: BootRecord, change: Callable[[ByteRange], ByteRange]) -> None:
    from imgkit.partition.mbr import build_boot_record  # noqa: PLC0415

    entries = tuple(
        _changed_entry(entry, change(_mbr_range(entry))) if entry.is_used else entry for entry in record.entries
    )
    if entries != record.entries:
        device.write_at(0, build_boot_record(replace(record, entries=entries)))


def _changed_entry(entry: MbrEntry, where: ByteRange) -> MbrEntry:
    if where == _mbr_range(entry):
        return entry
    first, count = where.start // _SECTOR, min(where.size // _SECTOR, _LARGEST)
    geometry = _geometry(entry)
    return replace(
        entry,
        starting_lba=first,
        size_in_lba=count,
        starting_chs=_chs(first, geometry, entry.starting_chs if first == entry.starting_lba else None),
        ending_chs=_chs(first + count - 1, geometry, None),
    )


def _geometry(entry: MbrEntry) -> tuple[int, int] | None:
    """Heads and sectors of the geometry that an entry was written for; None where no usual one explains it.

    isohybrid has 64 or 255 heads and 32 or 63 sectors (`isohybrid -h -s`), all else 255 and 63.
    """
    from imgkit.partition.mbr import chs_address  # noqa: PLC0415

    last = entry.starting_lba + entry.size_in_lba - 1
    for heads, sectors in ((64, 32), (255, 63), (255, 32), (64, 63), (128, 32), (128, 63)):
        if chs_address(last, heads=heads, sectors=sectors) == entry.ending_chs != _BEYOND_CHS:
            return heads, sectors
    return None


def _chs(lba: int, geometry: tuple[int, int] | None, unchanged: bytes | None) -> bytes:
    from imgkit.partition.mbr import chs_address  # noqa: PLC0415

    if unchanged is not None:
        return unchanged
    return _BEYOND_CHS if geometry is None else chs_address(lba, heads=geometry[0], sectors=geometry[1])


def _read_gpt(device: BlockReader) -> Gpt | None:
    from imgkit.partition.gpt import GptError, has_gpt_signature, parse_header  # noqa: PLC0415

    if not has_gpt_signature(device, _SECTOR):
        return None
    last_lba = device.size // _SECTOR - 1

    def header_at(lba: int) -> GptHeader | None:
        if not 0 < lba <= last_lba:
            return None
        with suppress(GptError):
            return parse_header(device.read_at(lba * _SECTOR, _SECTOR), lba=lba, last_lba=last_lba)
        return None

    header = header_at(1)
    array = None if header is None else _read_array(device, header)
    if header is None or array is None:
        return None
    backup = header_at(header.alternate_lba)
    return Gpt(header, array, backup if backup and _read_array(device, backup) is not None else None)


def _read_array(device: BlockReader, header: GptHeader) -> bytes | None:
    """The entries of one copy; None where they are not what their checksum says."""
    from imgkit.partition.gpt import MAX_ARRAY_SIZE  # noqa: PLC0415

    start = header.partition_entry_lba * _SECTOR
    entry_size = header.size_of_partition_entry
    if not 0 < header.array_size <= MAX_ARRAY_SIZE or entry_size % 128 or start + header.array_size > device.size:
        return None
    array = device.read_at(start, header.array_size)
    return array if zlib.crc32(array) == header.partition_entry_array_crc32 else None


def _gpt_slots(gpt: Gpt) -> Iterator[Slot]:
    from imgkit.partition.gpt import parse_array  # noqa: PLC0415

    for partition in parse_array(gpt.array, entry_size=gpt.header.size_of_partition_entry, sector_size=_SECTOR):
        yield Slot(Scheme.GPT, partition.number, partition.where, partition.type_id, partition.name)


def _rewrite_gpt(device: BlockDevice, gpt: Gpt, change: Callable[[ByteRange], ByteRange], shift: int) -> None:
    """Both copies. The backup follows the primary; where there was no valid one, none is made."""
    from imgkit.partition.gpt import build_header  # noqa: PLC0415

    array = _changed_array(gpt, change)
    header = replace(
        gpt.header,
        alternate_lba=gpt.header.alternate_lba + shift,
        last_usable_lba=gpt.header.last_usable_lba + shift,
        partition_entry_array_crc32=zlib.crc32(array),
    )
    copies = [header]
    if gpt.backup is not None:
        place, entries = gpt.backup.my_lba + shift, gpt.backup.partition_entry_lba + shift
        copies.append(replace(header, my_lba=place, alternate_lba=1, partition_entry_lba=entries))
    for copy in copies:
        device.write_at(copy.partition_entry_lba * _SECTOR, array)
        device.write_at(copy.my_lba * _SECTOR, build_header(copy))


def _changed_array(gpt: Gpt, change: Callable[[ByteRange], ByteRange]) -> bytes:
    array = bytearray(gpt.array)
    for offset in range(0, len(array), gpt.header.size_of_partition_entry):
        place = slice(offset + _GPT_FIRST_LBA_OFFSET, offset + _GPT_FIRST_LBA_OFFSET + 16)
        first, last = (int.from_bytes(array[place][at : at + 8], "little") for at in (0, 8))
        if array[offset : offset + 16] != _UNUSED_GUID and first <= last:
            where = change(ByteRange(first * _SECTOR, (last + 1) * _SECTOR))
            bounds = (where.start // _SECTOR, where.stop // _SECTOR - 1)
            array[place] = b"".join(min(bound, _LARGEST_LBA).to_bytes(8, "little") for bound in bounds)
    return bytes(array)


def _apple_block_size(device: BlockReader) -> int:
    """Bytes of a block of the Apple partition map; 0 where there is none."""
    if device.size < layout.SECTOR or device.read_at(0, 2) != b"ER":
        return 0
    size = int(layout.DRIVER_DESCRIPTOR.parse(device.read_at(0, 8)).block_size)
    if size not in (512, 1024, 2048) or device.read_at(size, 2) != b"PM":
        return 0
    return size


def _apple_slots(device: BlockReader, block_size: int) -> Iterator[Slot]:
    if not block_size:
        return
    count = layout.APPLE_PARTITION.parse(device.read_at(block_size, layout.SECTOR)).map_entries
    if count > _MOST_APPLE_PARTITIONS:
        raise _apple_damage(f"has {count:,} entries", block_size, "map_entries")
    for number in range(1, count + 1):
        raw = device.read_at(number * block_size, layout.SECTOR)
        if not raw.startswith(b"PM"):
            raise _apple_damage(f"ends before entry {number} of {count}", number * block_size, "signature")
        parsed = layout.APPLE_PARTITION.parse(raw)
        where = ByteRange(parsed.start * block_size, (parsed.start + parsed.count) * block_size)
        kind, name = (text.split(b"\0")[0].decode("ascii", "replace") for text in (parsed.type, parsed.name))
        yield Slot(Scheme.APM, number, where, kind, name)


def _apple_damage(what: str, position: int, field: str) -> FormatError:
    return FormatError(
        f"the Apple partition map {what}",
        structure="Apple partition map",
        offset=position,
        field=field,
        hint="The image is damaged; download it again.",
    )


def _rewrite_apple(device: BlockDevice, tables: Tables, change: Callable[[ByteRange], ByteRange]) -> None:
    block_size = tables.apple_block_size
    head = layout.DRIVER_DESCRIPTOR.parse(device.read_at(0, 8))
    whole = change(ByteRange(0, head.block_count * block_size))
    if whole.stop != head.block_count * block_size:
        device.write_at(
            0, layout.DRIVER_DESCRIPTOR.build({**head, "block_count": min(whole.stop // block_size, _LARGEST)})
        )
    for slot in tables.slots:
        where = change(slot.where) if slot.scheme is Scheme.APM else slot.where
        if where != slot.where:
            bounds = (where.start // block_size, where.size // block_size)
            data = b"".join(min(bound, _LARGEST).to_bytes(4, "big") for bound in bounds)
            device.write_at(slot.number * block_size + 8, data)
