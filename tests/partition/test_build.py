"""What is built parses back to the same, and the reference tools find no fault with it."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgkit.partition.gpt import GptHeader, build_header, parse_array, parse_header
from imgkit.partition.mbr import BootRecord, build_boot_record, chs_address, parse_boot_record
from imgkit.partition.table import read_table
from tests.partition import disks, listing
from tests.support import oracle
from tests.support.memorydevice import MemoryDevice

if TYPE_CHECKING:
    from pathlib import Path


@given(
    st.builds(
        BootRecord,
        st.binary(min_size=440, max_size=440),
        st.integers(0, 2**32 - 1),
        st.binary(min_size=2, max_size=2),
        st.tuples(*[disks.mbr_entries] * 4),
    )
)
def test_boot_record_round_trip(record: BootRecord) -> None:
    assert parse_boot_record(build_boot_record(record)) == record


@given(st.binary(min_size=510, max_size=510))
def test_boot_record_keeps_every_byte(body: bytes) -> None:
    sector = body + b"\x55\xaa"
    record = parse_boot_record(sector)
    assert record is not None
    assert build_boot_record(record) == sector


@given(st.data(), st.sampled_from([512, 1024, 2048, 4096]))
def test_header_round_trip(data: st.DataObject, sector_size: int) -> None:
    first = data.draw(st.integers(0, 2**64 - 2))
    header = GptHeader(
        revision=data.draw(st.integers(0, 2**32 - 1)),
        header_size=data.draw(st.integers(92, sector_size)),
        my_lba=1,
        alternate_lba=data.draw(st.integers(0, 2**64 - 1)),
        first_usable_lba=max(first, 1),
        last_usable_lba=data.draw(st.integers(max(first, 1), 2**64 - 1)),
        disk_guid=data.draw(disks.guids),
        partition_entry_lba=data.draw(st.integers(0, 2**64 - 1)),
        number_of_partition_entries=data.draw(st.integers(0, 2**32 - 1)),
        size_of_partition_entry=data.draw(st.integers(0, 2**32 - 1)),
        partition_entry_array_crc32=data.draw(st.integers(0, 2**32 - 1)),
    )
    built = build_header(header)
    assert len(built) == header.header_size
    assert parse_header(built.ljust(sector_size, b"\0"), lba=1, last_lba=2**64 - 1) == header


@given(st.data(), st.sampled_from([512, 4096]), st.sampled_from([128, 256, 4096]), st.sampled_from([4, 128, 200]))
def test_array_round_trip(data: st.DataObject, sector_size: int, entry_size: int, count: int) -> None:
    partitions = data.draw(disks.gpt_partitions(count, sector_size))
    array = disks.build_array(partitions, sector_size=sector_size, count=count, entry_size=entry_size)
    assert len(array) == count * entry_size
    assert list(parse_array(array, entry_size=entry_size, sector_size=sector_size)) == partitions


def test_what_an_entry_cannot_hold_is_refused() -> None:
    good = disks.gpt_partition(1, 100, 200)
    disks.build_array([good], sector_size=512)
    for bad in (
        replace(good, number=0),
        replace(good, number=129),
        replace(good, where=disks.ByteRange(51200, 51200)),
        replace(good, where=disks.ByteRange(51201, 61440)),
        replace(good, name="n" * 37),
        replace(good, name="a\0b"),
        replace(good, partuuid="no GUID"),
        replace(good, where=disks.sectors_to_range(1, 2**65, 512)),
        replace(good, name="\U0001f427" * 19),
    ):
        with pytest.raises(ValueError):
            disks.build_array([bad], sector_size=512)
    assert disks.build_array([replace(good, name="\U0001f427" * 18)], sector_size=512)


def test_what_a_field_cannot_hold_is_refused() -> None:
    header, _ = disks.gpt_headers(2048, bytes(16384), 128)
    for wrong in ({"my_lba": 2**64}, {"revision": -1}, {"disk_guid": "no GUID"}):
        with pytest.raises(ValueError):
            build_header(replace(header, **wrong))
    for record in (BootRecord(boot_code=b"short"), BootRecord(entries=()), BootRecord(disk_signature=2**32)):
        with pytest.raises(ValueError):
            build_boot_record(record)


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_built_gpt_pleases_the_reference_tools(tmp_path: Path, sector_size: int) -> None:
    partitions = [
        disks.gpt_partition(1, 600, 999, sector_size=sector_size, name="Zweite äußere ☃"),
        disks.gpt_partition(7, 100, 599, sector_size=sector_size, name="root"),
    ]
    data = bytes(disks.gpt_disk(partitions, sectors=2048, sector_size=sector_size))
    image = tmp_path / "image"
    image.write_bytes(data)
    table = read_table(MemoryDevice(data), sector_size=sector_size)
    assert list(table.partitions) == partitions
    assert table.notices == ()
    assert listing.rows(table) == listing.partx(image, sector_size)
    if sector_size == 512:  # sgdisk and sfdisk know no other for a file
        assert "No problems found" in oracle.run("sgdisk", "--verify", image).stdout
        assert listing.rows(table) == listing.sfdisk_rows(listing.sfdisk(image))


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_built_mbr_pleases_the_reference_tools(tmp_path: Path, sector_size: int) -> None:
    data = bytes(disks.mbr_disk(5, sector_size=sector_size))
    image = tmp_path / "image"
    image.write_bytes(data)
    table = read_table(MemoryDevice(data), sector_size=sector_size)
    assert [partition.number for partition in table.partitions] == [1, 2, 5, 6, 7, 8, 9]
    assert table.notices == ()
    assert listing.rows(table) == listing.partx(image, sector_size)
    if sector_size == 512:
        assert listing.rows(table) == listing.sfdisk_rows(listing.sfdisk(image))
        assert "No errors detected" in oracle.run("sfdisk", "--verify", image).stdout


def test_chs_addresses() -> None:
    """The values that sfdisk writes are checked in `test_live`; these are the ends of the scale."""
    assert chs_address(0) == bytes((0, 1, 0))
    assert chs_address(1) == bytes((0, 2, 0))
    assert chs_address(63) == bytes((1, 1, 0))
    assert chs_address(1024 * 255 * 63 - 1) == bytes((254, 0xFF, 0xFF))
    assert chs_address(1024 * 255 * 63) == bytes((254, 0xFF, 0xFF))
    assert chs_address(64 * 32, heads=64, sectors=32) == bytes((0, 1, 1))


@settings(max_examples=25)
@given(st.data(), st.sampled_from([(128, 512), (256, 512), (512, 4096)]))
def test_whole_disk_round_trip(data: st.DataObject, shape: tuple[int, int]) -> None:
    entry_size, sector_size = shape
    partitions = data.draw(disks.gpt_partitions(64, sector_size))
    table = read_table(
        MemoryDevice(disks.gpt_disk(partitions, sectors=256, sector_size=sector_size, count=64, entry_size=entry_size))
    )
    assert list(table.partitions) == partitions
    assert table.disk_id == disks.DISK_GUID.lower()
    assert table.sector_size == sector_size
    assert table.usable == disks.sectors_to_range(
        2 + 64 * entry_size // sector_size, 254 - 64 * entry_size // sector_size, sector_size
    )


def test_header_checksum_is_the_specified_one() -> None:
    """CRC-32 over the header's bytes with its own field at zero."""
    header, _ = disks.gpt_headers(2048, bytes(16384), 128)
    built = bytearray(build_header(header))
    stored = int.from_bytes(built[16:20], "little")
    built[16:20] = bytes(4)
    assert stored == zlib.crc32(built)
