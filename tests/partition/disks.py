"""Disks put together with the project's own build functions; the reference tools check them in `test_build`."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from hypothesis import strategies as st

from imgkit.partition.gpt import GptHeader, build_header
from imgkit.partition.layout import GPT_ENTRY, GPT_ENTRY_SIZE, build
from imgkit.partition.mbr import BootRecord, MbrEntry, build_boot_record, chs_address
from imgkit.partition.model import Partition
from imgkit.partition.types import gpt_type_name
from imgkit.units import ByteRange, sectors_to_range

DISK_GUID = "0A1B2C3D-4E5F-4061-8273-8495A6B7C8D9"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


def entry(os_type: int, start: int, size: int, *, active: bool = False) -> MbrEntry:
    """An MBR entry with the addresses that tools write."""
    chs = chs_address(start), chs_address(start + size - 1)
    return MbrEntry(0x80 if active else 0, chs[0], os_type, chs[1], start, size)


def boot_record(*entries: MbrEntry, disk_signature: int = 0) -> bytes:
    return build_boot_record(
        BootRecord(disk_signature=disk_signature, entries=(*entries, *[MbrEntry()] * (4 - len(entries))))
    )


def gpt_partition(number: int, first: int, last: int, *, sector_size: int = 512, name: str = "") -> Partition:
    return Partition(
        number,
        sectors_to_range(first, last, sector_size),
        LINUX,
        gpt_type_name(LINUX),
        name=name,
        partuuid=str(UUID(int=number)),
    )


def gpt_headers(sectors: int, array: bytes, count: int, sector_size: int = 512) -> tuple[GptHeader, GptHeader]:
    """Primary and backup header for a disk of that many sectors, entries beside each."""
    array_sectors = -(-len(array) // sector_size)
    primary = GptHeader(
        revision=0x10000,
        header_size=92,
        my_lba=1,
        alternate_lba=sectors - 1,
        first_usable_lba=2 + array_sectors,
        last_usable_lba=sectors - 2 - array_sectors,
        disk_guid=DISK_GUID,
        partition_entry_lba=2,
        number_of_partition_entries=count,
        size_of_partition_entry=len(array) // count,
        partition_entry_array_crc32=zlib.crc32(array),
    )
    backup = replace(primary, my_lba=sectors - 1, alternate_lba=1, partition_entry_lba=sectors - 1 - array_sectors)
    return primary, backup


def put(disk: bytearray, offset: int, data: bytes) -> None:
    disk[offset : offset + len(data)] = data


def gpt_disk(
    partitions: list[Partition],
    *,
    sectors: int = 4096,
    sector_size: int = 512,
    count: int = 128,
    entry_size: int = GPT_ENTRY_SIZE,
) -> bytearray:
    """A whole disk: protective MBR, both headers, both arrays."""
    array = build_array(partitions, sector_size=sector_size, count=count, entry_size=entry_size)
    disk = bytearray(sectors * sector_size)
    put(disk, 0, boot_record(entry(0xEE, 1, sectors - 1)))
    for header in gpt_headers(sectors, array, count, sector_size):
        put(disk, header.my_lba * sector_size, build_header(header))
        put(disk, header.partition_entry_lba * sector_size, array)
    return disk


def mbr_disk(logical: int = 3, *, sectors: int = 4096, sector_size: int = 512) -> bytearray:
    """A primary partition, and an extended one with that many logical partitions of 8 sectors, in a chain."""
    disk = bytearray(sectors * sector_size)
    extended = entry(0x05, 256, sectors - 256)
    put(disk, 0, boot_record(entry(0x83, 64, 64, active=True), extended, disk_signature=0xC0FFEE01))
    for index in range(logical):
        link = entry(0x05, 16 * (index + 1), 16) if index < logical - 1 else MbrEntry()
        put(disk, (256 + 16 * index) * sector_size, boot_record(entry(0x83, 4, 8), link))
    return disk


guids = st.uuids().map(lambda uuid: str(uuid).upper())
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=18)


@st.composite
def gpt_partitions(draw: st.DrawFn, count: int, sector_size: int) -> list[Partition]:
    """Any partitions that a GPT of `count` entries can hold; they may overlap."""
    numbers = draw(st.lists(st.integers(1, count), unique=True, max_size=8))
    made = []
    for number in sorted(numbers):
        first = draw(st.integers(0, 2**63))
        size = draw(st.integers(1, 2**40))
        type_id = draw(guids.filter(lambda guid: guid.strip("0-")))
        attributes = draw(st.integers(0, 2**64 - 1))
        made.append(
            Partition(
                number,
                ByteRange(first * sector_size, (first + size) * sector_size),
                type_id,
                gpt_type_name(type_id),
                name=draw(names),
                partuuid=draw(guids).lower(),
                active=bool(attributes & 4),
                attributes=attributes,
            )
        )
    return made


mbr_entries = st.builds(
    MbrEntry,
    st.integers(0, 255),
    st.binary(min_size=3, max_size=3),
    st.integers(0, 255),
    st.binary(min_size=3, max_size=3),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
)


def build_array(partitions: Iterable[Partition], *, sector_size: int, count: int = 128, entry_size: int = 128) -> bytes:
    """The partition entry array; its checksum (`zlib.crc32`) goes into both headers.

    ValueError for a number above `count`, an empty or unaligned range, or a name of more than 36 UTF-16 units.
    """
    array = bytearray(count * entry_size)
    for partition in partitions:
        where = partition.where
        if not 1 <= partition.number <= count or not where.size or (where.start | where.stop) % sector_size:
            raise ValueError(f"no GPT of {count} entries and {sector_size}-byte sectors can hold {partition}")
        offset = (partition.number - 1) * entry_size
        array[offset : offset + GPT_ENTRY_SIZE] = build(
            GPT_ENTRY,
            {
                "partition_type_guid": partition.type_id,
                "unique_partition_guid": partition.partuuid,
                "starting_lba": where.start // sector_size,
                "ending_lba": where.stop // sector_size - 1,
                "attributes": partition.attributes,
                "partition_name": partition.name,
            },
        )
    return bytes(array)
