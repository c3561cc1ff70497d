"""Real tables with flipped, replaced and missing bytes: a table or a FormatError comes out, soon, in little memory."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgkit.errors import FormatError
from imgkit.partition.model import PartitionTable, Scheme
from imgkit.partition.table import read_table
from tests.partition import disks, listing
from tests.support import oracle
from tests.support.memorydevice import MemoryDevice

if TYPE_CHECKING:
    from pathlib import Path

SECTORS = 8192
EBRS = (4096, 4608, 5120, 5632)
NESTED = ("0x63", "0x81", "0x82", "0xa5", "0xa6", "0xa9")  # libblkid/src/partitions/dos.c, dos_nested
MUTATION = settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    image = tmp_path_factory.mktemp("gpt") / "image"
    image.write_bytes(bytes(SECTORS * 512))
    oracle.run("sgdisk", "--set-alignment=1", "--new=14:64:127", "--new=15:128:1023", "--new=1:1024:8000", image)
    return image.read_bytes()


@pytest.fixture(scope="module")
def mbr(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    image = tmp_path_factory.mktemp("mbr") / "image"
    image.write_bytes(bytes(SECTORS * 512))
    lines = ["label: dos", "start=64, size=960, bootable", "start=1024, size=1024, type=82", "start=4096, type=5"]
    lines += [f"start={ebr + 64}, size=256" for ebr in EBRS]
    oracle.run("sfdisk", "--quiet", image, text_in="\n".join(lines) + "\n")
    data = image.read_bytes()
    assert all(data[ebr * 512 + 510 : ebr * 512 + 512] == b"\x55\xaa" for ebr in (*EBRS[:1], 0))
    return data


def read(data: bytes, sector_size: int | None = None) -> PartitionTable | None:
    """The table, after a look at what must hold for any; None where it is refused with all that an error should say."""
    try:
        table = read_table(MemoryDevice(data), sector_size=sector_size)
    except FormatError as error:
        says_all = bool(error.structure and error.field and error.hint and error.offset >= 0)
        return None if says_all else pytest.fail(f"{error!r} lacks something")
    numbers = [partition.number for partition in table.partitions]
    assert numbers == sorted(set(numbers))
    assert all(number >= 1 for number in numbers)
    assert table.partitions == () or table.scheme is not Scheme.NONE
    assert all(notice.endswith(".") and notice.isascii() for notice in table.notices)
    assert read_table(MemoryDevice(data), sector_size=sector_size) == table
    return table


def mutate(data: st.DataObject, disk: bytes, regions: list[range]) -> bytearray:
    """A few bytes of the regions changed, often to a value that means something."""
    mutated = bytearray(disk)
    values = st.one_of(st.sampled_from([0x00, 0x01, 0x05, 0x55, 0x80, 0xAA, 0xEE, 0xFF]), st.integers(0, 255))
    positions = st.one_of([st.integers(region.start, region.stop - 1) for region in regions])
    for position, value in data.draw(st.dictionaries(positions, values, min_size=1, max_size=6)).items():
        mutated[position] = value
    return mutated


def correct_checksums(disk: bytearray) -> None:
    """Make header and array checksums right again, as far as the mutated fields still say where they are."""
    for at in (512, (SECTORS - 1) * 512):
        offset = int.from_bytes(disk[at + 72 : at + 80], "little") * 512
        size = int.from_bytes(disk[at + 80 : at + 84], "little") * int.from_bytes(disk[at + 84 : at + 88], "little")
        header_size = int.from_bytes(disk[at + 12 : at + 16], "little")
        if size < len(disk):
            disk[at + 88 : at + 92] = zlib.crc32(disk[offset : offset + size]).to_bytes(4, "little")
        disk[at + 16 : at + 20] = bytes(4)
        disk[at + 16 : at + 20] = zlib.crc32(disk[at : at + min(header_size, 512)]).to_bytes(4, "little")


@MUTATION
@given(st.data(), st.booleans())
def test_mutated_gpt(gpt: bytes, data: st.DataObject, consistent: bool) -> None:
    entries = range(1024 + 13 * 128, 1024 + 15 * 128)
    end = (SECTORS - 1) * 512
    mutated = mutate(data, gpt, [range(446, 512), range(512, 604), range(1024, 1152), entries, range(end, end + 92)])
    if consistent:
        correct_checksums(mutated)
    read(mutated)
    read(mutated, 512)


@MUTATION
@given(st.data())
def test_mutated_mbr(mbr: bytes, data: st.DataObject) -> None:
    regions = [range(ebr * 512 + 446, ebr * 512 + 512) for ebr in (0, *EBRS)]
    read(mutate(data, mbr, regions))


@settings(MUTATION, max_examples=60, deadline=None)
@given(st.data())
def test_mutated_mbr_as_libblkid_reads_it(tmp_path: Path, mbr: bytes, data: st.DataObject) -> None:
    mutated = mutate(data, mbr, [range(ebr * 512 + 446, ebr * 512 + 510) for ebr in (0, *EBRS)])
    table = read(mutated)
    if table is None:
        return
    # libblkid drops a logical partition that begins where another does, the kernel does not; its sums overflow; and it
    # gives up altogether where a partition whose type has tables of its own lies past the end of the disk.
    starts = [partition.where.start for partition in table.partitions]
    nested = [partition.where for partition in table.partitions if partition.type_id.lower() in NESTED]
    if (
        len(set(starts)) == len(starts)
        and all(start < 2**41 for start in starts)
        and all(where.stop <= len(mutated) for where in nested)
    ):
        (tmp_path / "image").write_bytes(mutated)
        assert listing.rows(table) == listing.partx(tmp_path / "image")


@MUTATION
@given(st.data())
def test_truncated(gpt: bytes, mbr: bytes, data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([gpt, mbr]))
    length = data.draw(st.one_of(st.integers(0, 1200), st.integers(0, len(whole))))
    table = read(whole[:length])
    if whole is gpt and 512 <= length < (SECTORS - 33) * 512:
        assert table is None, "a GPT disk cut before its last usable sector must be refused"


@MUTATION
@given(st.binary(min_size=0, max_size=2048), st.booleans())
def test_anything(body: bytes, signed: bool) -> None:
    data = bytearray(body.ljust(512, b"\0"))
    if signed:
        data[510:512] = b"\x55\xaa"
    read(bytes(data))
    read(bytes(data), 4096)


def test_memory_stays_small(gpt: bytes, mbr: bytes) -> None:
    """300 seeded mutations with right checksums; the most that may be held is an array of the maximum size."""
    seeded = random.Random(2)
    tracemalloc.start()
    for _ in range(300):
        whole = seeded.choice([gpt, mbr])
        mutated = bytearray(whole)
        for _ in range(seeded.randint(1, 8)):
            mutated[seeded.choice([seeded.randrange(446, 700), seeded.randrange(1024, 3072)])] = seeded.randrange(256)
        correct_checksums(mutated)
        device = MemoryDevice(mutated)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        with suppress(FormatError):
            read_table(device)
        _, peak = tracemalloc.get_traced_memory()
        assert peak - before < 16 << 20
    tracemalloc.stop()


def test_the_unmutated_tables_are_read(gpt: bytes, mbr: bytes) -> None:
    table = read(gpt)
    assert table is not None
    assert [partition.number for partition in table.partitions] == [1, 14, 15]
    table = read(mbr)
    assert table is not None
    assert [partition.number for partition in table.partitions] == [1, 2, 3, 5, 6, 7, 8]
    assert disks.MbrEntry().is_used is False
