"""Damaged and hostile tables: what is recovered, what is refused, and within which bounds."""

from __future__ import annotations

import time
import tracemalloc
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from imgkit.errors import FormatError, UsageError
from imgkit.partition.gpt import MAX_ARRAY_SIZE, build_header
from imgkit.partition.mbr import MbrEntry
from imgkit.partition.table import read_table
from imgkit.storage.device import check_bounds
from tests.partition import disks, listing
from tests.support.memorydevice import MemoryDevice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgkit.partition.gpt import GptHeader

SECTORS = 4096
PARTITIONS = [disks.gpt_partition(1, 100, 199), disks.gpt_partition(2, 300, 399)]


class SparseDevice:
    """A huge disk with little on it: pieces of data by offset, zeros between."""

    def __init__(self, size: int, pieces: dict[int, bytes]) -> None:
        self.size = size
        self.pieces = pieces
        self.most = 0

    def read_at(self, offset: int, length: int, /) -> bytes:
        check_bounds(self, offset, length)
        self.most = max(self.most, length)
        data = bytearray(length)
        for start, piece in self.pieces.items():
            overlap = range(max(start, offset), min(start + len(piece), offset + length))
            if overlap:
                data[overlap.start - offset : overlap.stop - offset] = piece[
                    overlap.start - start : overlap.stop - start
                ]
        return bytes(data)


def with_headers(change: Callable[[GptHeader], GptHeader], *, backup: bool = False) -> bytearray:
    """A good disk whose primary header, and backup too if asked, is replaced by a changed one with a right checksum."""
    disk = disks.gpt_disk(PARTITIONS, sectors=SECTORS)
    array = bytes(disk[1024 : 1024 + 16384])
    for header in disks.gpt_headers(SECTORS, array, 128)[: 1 + backup]:
        disks.put(disk, header.my_lba * 512, build_header(change(header)).ljust(512, b"\0"))
    return disk


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("my_lba", 2),
        ("header_size", 512 + 1),
        ("first_usable_lba", SECTORS),
        ("last_usable_lba", SECTORS),
        ("last_usable_lba", 2**64 - 1),
        ("partition_entry_lba", 2**64 - 1),
        ("partition_entry_lba", SECTORS - 1),
        ("number_of_partition_entries", 0),
        ("number_of_partition_entries", 2**32 - 1),
        ("number_of_partition_entries", MAX_ARRAY_SIZE // 128 + 1),
        ("size_of_partition_entry", 0),
        ("size_of_partition_entry", 64),
        ("size_of_partition_entry", 129),
        ("size_of_partition_entry", 2**32 - 128),
        ("partition_entry_array_crc32", 0),
    ],
)
def test_a_wrong_field_in_one_header_means_the_backup(field: str, value: int, tmp_path: Path) -> None:
    disk = with_headers(lambda header: replace(header, **{field: value}))
    table = read_table(MemoryDevice(disk))
    assert table.recovered_from_backup
    assert list(table.partitions) == PARTITIONS
    (tmp_path / "image").write_bytes(disk)
    assert listing.rows(table) == listing.partx(tmp_path / "image")
    assert listing.rows(table) == listing.sfdisk_rows(listing.sfdisk(tmp_path / "image"))


def test_a_header_inside_its_usable_range_means_the_backup() -> None:
    assert read_table(
        MemoryDevice(with_headers(lambda header: replace(header, first_usable_lba=0)))
    ).recovered_from_backup


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("last_usable_lba", SECTORS),
        ("number_of_partition_entries", 2**32 - 1),
        ("size_of_partition_entry", 0),
        ("partition_entry_lba", 2**60),
        ("partition_entry_array_crc32", 0),
    ],
)
def test_a_wrong_field_in_both_headers_is_refused(field: str, value: int) -> None:
    disk = with_headers(lambda header: replace(header, **{field: value}), backup=True)
    with pytest.raises(FormatError, match="no valid backup") as caught:
        read_table(MemoryDevice(disk))
    assert caught.value.field == field
    assert caught.value.hint


def test_a_truncated_image_is_refused_with_the_reason() -> None:
    disk = disks.gpt_disk(PARTITIONS, sectors=SECTORS)
    for sectors in (SECTORS - 40, 500, 35):
        with pytest.raises(FormatError, match="the image ends at LBA") as caught:
            read_table(MemoryDevice(disk[: sectors * 512]))
        assert "truncated" in str(caught.value.hint)
    # The backup alone is gone: nothing that counts is missing.
    table = read_table(MemoryDevice(disk[: (SECTORS - 1) * 512]))
    assert list(table.partitions) == PARTITIONS
    assert "backup GPT is damaged or missing" in table.notices[0]


def test_damage_below_is_not_mistaken_for_a_damaged_table() -> None:
    """A sector that the image format cannot deliver is the image's damage: no backup is taken in its place."""

    class Broken(SparseDevice):
        def read_at(self, offset: int, length: int, /) -> bytes:
            if offset == 512:
                raise FormatError("cluster is past the end", structure="qcow2 L2 table", offset=0, field="entry 0")
            return super().read_at(offset, length)

    whole = bytes(disks.gpt_disk(PARTITIONS, sectors=SECTORS))
    with pytest.raises(FormatError, match="qcow2 L2 table"):
        read_table(Broken(len(whole), {0: whole}))


def test_the_backup_of_a_grown_disk_is_found_through_the_primary_header() -> None:
    """The entries beside a good primary header are damaged, and the backup is no longer in the last sector."""
    disk = disks.gpt_disk(PARTITIONS, sectors=SECTORS)
    disk[1024 + 3] ^= 0xFF
    table = read_table(MemoryDevice(disk + bytes(1 << 20)))
    assert table.recovered_from_backup
    assert list(table.partitions) == PARTITIONS
    disk[512 + 60] ^= 0xFF  # now the header is damaged too, and nothing says where the backup is
    with pytest.raises(FormatError, match="no valid backup"):
        read_table(MemoryDevice(disk + bytes(1 << 20)))


def test_a_wrong_alternate_lba_is_a_notice() -> None:
    for wrong in (1, 77, 2**64 - 1):
        table = read_table(MemoryDevice(with_headers(lambda header, lba=wrong: replace(header, alternate_lba=lba))))
        assert list(table.partitions) == PARTITIONS
        assert not table.recovered_from_backup
        assert len(table.notices) == 1
        assert "backup GPT" in table.notices[0]


def test_copies_that_differ_are_a_notice() -> None:
    disk = disks.gpt_disk(PARTITIONS, sectors=SECTORS)
    other = disks.gpt_disk(PARTITIONS[:1], sectors=SECTORS)
    disk[-33 * 512 :] = other[-33 * 512 :]
    table = read_table(MemoryDevice(disk))
    assert list(table.partitions) == PARTITIONS
    assert table.notices == ("Primary and backup GPT are both valid and differ; the primary was read.",)


def test_both_sector_sizes_are_tried_for_the_backup() -> None:
    partitions = [disks.gpt_partition(1, 10, 19, sector_size=4096)]
    disk = disks.gpt_disk(partitions, sectors=256, sector_size=4096)
    disk[4096:4104] = bytes(8)
    table = read_table(MemoryDevice(disk))
    assert (table.sector_size, table.recovered_from_backup) == (4096, True)
    assert list(table.partitions) == partitions
    assert table.partitions[0].where.start == 10 * 4096


def test_odd_partitions_are_notices() -> None:
    partitions = [
        disks.gpt_partition(1, 100, 199),
        disks.gpt_partition(2, 150, 160),
        disks.gpt_partition(3, 2, 10),
        disks.gpt_partition(4, 4000, 2**64 - 2),
    ]
    table = read_table(MemoryDevice(disks.gpt_disk(partitions, sectors=SECTORS)))
    assert list(table.partitions) == partitions
    assert [notice.split(" past")[0] for notice in table.notices] == [
        "Partition 3 leaves the range that the GPT offers to partitions.",
        "Partition 4 reaches 8589934592.0 TiB",
        "Partitions 1 and 2 overlap.",
    ]


def test_unpaired_surrogates_in_a_label_can_be_printed() -> None:
    disk = disks.gpt_disk(PARTITIONS, sectors=SECTORS)
    array = bytearray(disk[1024 : 1024 + 16384])
    array[56:60] = b"\x3d\xd8a\0"
    header, _ = disks.gpt_headers(SECTORS, bytes(array), 128)
    disks.put(disk, 512, build_header(header))
    disks.put(disk, 1024, bytes(array))
    assert read_table(MemoryDevice(disk)).partitions[0].name.encode().decode() == "�a"


@pytest.mark.timeout(60)
def test_the_largest_array_takes_bounded_time_and_memory() -> None:
    """32,768 used entries, all overlapping, all of one GUID; Linux knows 256 of a disk."""
    one = disks.build_array([disks.gpt_partition(1, 20000, 20099)], sector_size=512, count=1)
    array = one * (MAX_ARRAY_SIZE // 128)
    count, sectors = MAX_ARRAY_SIZE // 128, 40000
    pieces = {0: disks.boot_record(disks.entry(0xEE, 1, sectors - 1))}
    for header in disks.gpt_headers(sectors, array, count):
        pieces |= {header.my_lba * 512: build_header(header), header.partition_entry_lba * 512: array}
    device = SparseDevice(sectors * 512, pieces)
    started = time.process_time()
    table = read_table(device)
    assert time.process_time() - started < 20
    assert len(table.partitions) == 256
    assert table.notices[0] == "Only the first 256 partitions of the GPT were read."
    assert len(table.notices) == 22
    assert table.notices[-1].endswith("more notices of this kind.")


def test_four_billion_entries_are_never_read() -> None:
    """On a disk large enough to hold them, with checksums that would have to be computed over 512 GiB."""
    sectors = 1 << 31
    primary, backup = disks.gpt_headers(sectors, bytes(128), 1)
    pieces = {0: disks.boot_record(disks.entry(0xEE, 1, 2**32 - 1))}
    for header in (primary, backup):
        hostile = replace(header, number_of_partition_entries=2**32 - 1, partition_entry_lba=2)
        pieces[header.my_lba * 512] = build_header(hostile)
    device = SparseDevice(sectors * 512, pieces)
    tracemalloc.start()
    with pytest.raises(FormatError, match="4,294,967,295 entries"):
        read_table(device)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    assert device.most <= 4096


def test_a_long_chain_of_logical_partitions_is_cut() -> None:
    """A million EBRs, no loop: as many are read as the kernel can number, and not a sector more."""
    sectors = 1 << 26
    pieces = {0: disks.boot_record(MbrEntry(os_type=5, starting_lba=256, size_in_lba=sectors - 256))}
    pieces |= {
        (256 + 16 * index) * 512: disks.boot_record(
            disks.entry(0x83, 4, 8), MbrEntry(os_type=5, starting_lba=16 * (index + 1), size_in_lba=16)
        )
        for index in range(1000)
    }
    table = read_table(SparseDevice(sectors * 512, pieces))
    assert len(table.partitions) == 1 + 256
    assert table.notices == ("Only the first 256 boot records of extended partition 1 were read.",)


def test_a_chain_may_lead_back_but_not_into_itself() -> None:
    disk = disks.mbr_disk(3)
    first, second, third = (256 * 512 + 16 * 512 * index for index in range(3))
    disks.put(disk, first, disks.boot_record(disks.entry(0x83, 4, 8), disks.entry(5, 32, 16)))
    disks.put(disk, third, disks.boot_record(disks.entry(0x83, 4, 8), disks.entry(5, 16, 16)))
    disks.put(disk, second, disks.boot_record(disks.entry(0x83, 4, 8)))
    starts = [partition.where.start // 512 for partition in read_table(MemoryDevice(disk)).partitions[2:]]
    assert starts == [260, 292, 276]
    disks.put(disk, second, disks.boot_record(disks.entry(0x83, 4, 8), disks.entry(5, 32, 16)))
    with pytest.raises(FormatError, match="extended partition 2 runs in a loop") as caught:
        read_table(MemoryDevice(disk))
    assert caught.value.offset == third


def test_an_ebr_as_libblkid_reads_it(tmp_path: Path) -> None:
    """Link before data, data in the third entry, garbage in the fourth, an empty link: all in one chain."""
    disk = disks.mbr_disk(1)
    base = 256 * 512
    garbage = MbrEntry(os_type=0x83, starting_lba=2**31, size_in_lba=2**30)
    data, more = disks.entry(0x83, 4, 4), disks.entry(0x82, 10, 3)
    disks.put(disk, base, disks.boot_record(disks.entry(0x05, 16, 32), data, more, garbage))
    disks.put(disk, base + 16 * 512, disks.boot_record(data, replace(data, os_type=0x0F, starting_lba=0)))
    (tmp_path / "image").write_bytes(disk)
    mine = listing.rows(read_table(MemoryDevice(disk)))
    assert mine == listing.partx(tmp_path / "image")
    assert [row[:3] for row in mine[2:]] == [(5, 260, 4), (6, 266, 3), (7, 276, 4)]


def test_without_a_disk_signature_there_is_no_partuuid(tmp_path: Path) -> None:
    disk = disks.mbr_disk(2)
    disk[440:444] = bytes(4)
    table = read_table(MemoryDevice(disk))
    (tmp_path / "image").write_bytes(disk)
    assert listing.rows(table) == listing.partx(tmp_path / "image")
    assert {partition.partuuid for partition in table.partitions} == {""}
    assert table.disk_id == ""


def test_sector_sizes_that_no_disk_has() -> None:
    for wrong in (0, 1, 513, 8192, -512):
        with pytest.raises(UsageError):
            read_table(MemoryDevice(bytes(65536)), sector_size=wrong)


def test_nothing_but_the_table_is_read() -> None:
    """The first and last sectors only: a table on a slow or huge image costs no more than on a small one."""
    array = disks.build_array(PARTITIONS, sector_size=512)
    sectors = 1 << 40
    pieces = {0: disks.boot_record(disks.entry(0xEE, 1, 2**32 - 1))}
    for header in disks.gpt_headers(sectors, array, 128):
        pieces |= {header.my_lba * 512: build_header(header), header.partition_entry_lba * 512: array}
    device = SparseDevice(sectors * 512, pieces)
    assert list(read_table(device).partitions) == PARTITIONS
    assert device.most == 16384
    assert zlib.crc32(array) == disks.gpt_headers(sectors, array, 128)[0].partition_entry_array_crc32
