"""Random tables written by sfdisk, sgdisk and fdisk, read by imgkit and by three reference tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from imgkit.partition.mbr import chs_address, parse_boot_record
from imgkit.partition.table import read_table
from tests.partition import listing
from tests.support import oracle
from tests.support.memorydevice import MemoryDevice

if TYPE_CHECKING:
    from pathlib import Path

SECTORS = 16384
LIVE = settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking would run the tools for minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
GPT_TYPES = (
    "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "21686148-6449-6E6F-744E-656564454649",
    "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "DEADBEEF-0123-4567-89AB-CDEF01234567",
)
MBR_TYPES = ("83", "82", "8e", "fd", "ef", "7", "b", "42")
LABELS = st.text(st.sampled_from("aZ09 _.-/()'$äßéñ中文☃𝄞"), max_size=12).map(str.strip)


class Piece(NamedTuple):
    """A run of sectors that becomes a partition."""

    start: int
    size: int


def pieces(most: int, *, first: int = 64, last: int = SECTORS - 64) -> st.SearchStrategy[list[Piece]]:
    """Runs with gaps between them, shuffled, so that numbers do not follow the order on the disk."""
    counts = st.integers(1, most)
    cuts = counts.flatmap(lambda n: st.lists(st.integers(first, last), unique=True, min_size=2 * n, max_size=2 * n))
    runs = cuts.map(sorted).map(lambda at: [Piece(a, b - a) for a, b in zip(at[::2], at[1::2], strict=True)])
    return runs.flatmap(st.permutations)


@settings(LIVE, max_examples=10)  # sgdisk takes a second to write
@given(st.data())
def test_gpt_by_sgdisk(tmp_path: Path, data: st.DataObject) -> None:
    image = tmp_path / "image"
    arguments = ["--clear", "--set-alignment=1"]  # clearing sets the alignment back
    runs = data.draw(pieces(6))
    numbers = data.draw(st.lists(st.integers(1, 128), unique=True, min_size=len(runs), max_size=len(runs)))
    for number, run in zip(numbers, runs, strict=True):
        guid, label = data.draw(st.uuids()), data.draw(LABELS)
        arguments += [
            f"--new={number}:{run.start}:{run.start + run.size - 1}",
            f"--typecode={number}:{data.draw(st.sampled_from(GPT_TYPES))}",
            f"--partition-guid={number}:{guid}",
        ]
        if label:
            arguments.append(f"--change-name={number}:{label}")
        if data.draw(st.booleans()):
            arguments.append(f"--attributes={number}:set:{data.draw(st.sampled_from([0, 2, 60, 63]))}")
    image.write_bytes(bytes(SECTORS * 512))
    oracle.run("sgdisk", *arguments, image)
    table = read_table(MemoryDevice(image.read_bytes()))
    mine = listing.rows(table)
    assert [row[:3] for row in mine] == sorted((n, run.start, run.size) for n, run in zip(numbers, runs, strict=True))
    assert mine == listing.sfdisk_rows(listing.sfdisk(image)) == listing.partx(image)
    printed = listing.sgdisk_rows(oracle.run("sgdisk", "--print", image).stdout)
    assert [(row.number, row.start, row.start + row.size - 1) for row in mine] == [row[:3] for row in printed]
    assert table.notices == ()


@LIVE
@given(st.data())
def test_gpt_by_sfdisk(tmp_path: Path, data: st.DataObject) -> None:
    image = tmp_path / "image"
    count = data.draw(st.sampled_from([4, 128, 192]))
    lines = ["label: gpt", f"table-length: {count}", f"first-lba: {2 + count // 4}"]
    runs = data.draw(pieces(4))
    numbers = data.draw(st.lists(st.integers(1, count), unique=True, min_size=len(runs), max_size=len(runs)))
    for number, run in sorted(zip(numbers, runs, strict=True)):
        kind, guid = data.draw(st.sampled_from(GPT_TYPES)), data.draw(st.uuids())
        name = json.dumps(data.draw(LABELS), ensure_ascii=False)
        attributes = data.draw(st.sampled_from(["", ', attrs="LegacyBIOSBootable"', ', attrs="GUID:63"']))
        where = f"start={run.start}, size={run.size}"
        lines.append(f"{image}{number} : {where}, type={kind}, uuid={guid}, name={name}{attributes}")
    image.write_bytes(bytes(SECTORS * 512))
    oracle.run("sfdisk", "--quiet", image, text_in="\n".join(lines) + "\n")
    mine = listing.rows(read_table(MemoryDevice(image.read_bytes())))
    assert len(mine) == len(runs)
    assert mine == listing.sfdisk_rows(listing.sfdisk(image)) == listing.partx(image)


@LIVE
@given(st.data())
def test_mbr_by_sfdisk(tmp_path: Path, data: st.DataObject) -> None:
    """Primary and logical partitions, out of disk order, the extended one in any slot."""
    image = tmp_path / "image"
    lines = ["label: dos", f"label-id: {data.draw(st.integers(0, 2**32 - 1)):#010x}"]
    middle = SECTORS // 2
    slots = data.draw(st.permutations([1, 2, 3, 4]))
    primaries = data.draw(pieces(3, last=middle - 64))[:3]
    # sfdisk puts an EBR in front of each logical partition: on a grid of 16 sectors, the first 8 leave it room.
    grid = data.draw(pieces(8, first=middle // 16, last=SECTORS // 16 - 1))
    logicals = [Piece(run.start * 16 + 8, run.size * 16 - 8) for run in grid]
    extended = data.draw(st.sampled_from(["5", "f", "85"]))
    listed = [(slots[0], Piece(middle, SECTORS - middle), extended)]
    kinds = st.sampled_from(MBR_TYPES)
    listed += [(slot, run, data.draw(kinds)) for slot, run in zip(slots[1:], primaries, strict=False)]
    listed += [(number, run, data.draw(kinds)) for number, run in enumerate(logicals, 5)]
    for number, run, kind in sorted(listed):
        active = ", bootable" if data.draw(st.booleans()) else ""
        lines.append(f"{image}{number} : start={run.start}, size={run.size}, type={kind}{active}")
    image.write_bytes(bytes(SECTORS * 512))
    oracle.run("sfdisk", "--quiet", image, text_in="\n".join(lines) + "\n")
    disk = image.read_bytes()
    table = read_table(MemoryDevice(disk))
    mine = listing.rows(table)
    assert [row[:3] for row in mine] == sorted((number, run.start, run.size) for number, run, _ in listed)
    assert mine == listing.sfdisk_rows(listing.sfdisk(image)) == listing.partx(image)
    assert [partition.number for partition in table.partitions if partition.extended] == [slots[0]]
    _check_chs(disk)


def _check_chs(disk: bytes) -> None:
    record = parse_boot_record(disk[:512])
    assert record is not None
    for entry in record.entries:
        if entry.is_used:
            assert entry.starting_chs == chs_address(entry.starting_lba)
            assert entry.ending_chs == chs_address(entry.starting_lba + entry.size_in_lba - 1)


@pytest.mark.parametrize("label", ["g", "o"])
@settings(LIVE, max_examples=10)
@given(sizes=st.lists(st.integers(1, 900), min_size=1, max_size=3))
def test_4096_byte_sectors_by_fdisk(tmp_path: Path, label: str, sizes: list[int]) -> None:
    """Two logical (MBR) or ordinary (GPT) partitions and more, in sectors of 4,096 bytes."""
    image = tmp_path / "image"
    image.write_bytes(bytes(SECTORS * 4096 // 2))
    new = ["n", "e", "1", "", ""] if label == "o" else []
    for number, size in enumerate(sizes, 5):
        new += ["n", "", f"+{size}"] if label == "o" else ["n", str(number * 3), "", f"+{size}"]
    # fdisk has no number to ask for a logical partition, only whether it is one.
    keys = "\n".join([label, *new, "w", ""])
    oracle.run("fdisk", "--sector-size", "4096", image, text_in=keys)
    table = read_table(MemoryDevice(image.read_bytes()), sector_size=4096 if label == "o" else None)
    mine = listing.rows(table)
    assert table.sector_size == 4096
    assert mine == listing.partx(image, 4096)
    assert len(mine) == len(sizes) + (label == "o")
    assert [row.size for row in mine][-len(sizes) :] == [size + 1 for size in sizes]


def test_hybrid_mbr_by_sgdisk(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(SECTORS * 512))
    oracle.run("sgdisk", "--new=1:2048:4095", "--new=2:4096:8191", image)
    assert not read_table(MemoryDevice(image.read_bytes())).hybrid
    oracle.run("sgdisk", "--hybrid=2", image)
    table = read_table(MemoryDevice(image.read_bytes()))
    assert table.hybrid
    assert listing.rows(table) == listing.sfdisk_rows(listing.sfdisk(image))


def test_damaged_copies_as_gdisk_sees_them(tmp_path: Path) -> None:
    """Header or entries of either copy zeroed: the same partitions, and the tool that made them says the same."""
    image = tmp_path / "image"
    image.write_bytes(bytes(SECTORS * 512))
    oracle.run("sgdisk", "--new=1:2048:4095", "--new=5:4096:8191", "--change-name=5:root", image)
    whole = image.read_bytes()
    good = read_table(MemoryDevice(whole))
    damages = {512: True, 1024: True, (SECTORS - 1) * 512: False, (SECTORS - 33) * 512: False}
    for offset, recovered in damages.items():
        data = whole[:offset] + bytes(512) + whole[offset + 512 :]
        image.write_bytes(data)
        table = read_table(MemoryDevice(data))
        assert table.partitions == good.partitions
        assert table.recovered_from_backup is recovered
        assert len(table.notices) == 1
        assert ("primary" if recovered else "backup") in table.notices[0]
        assert listing.rows(table) == listing.sfdisk_rows(listing.sfdisk(image))
        assert listing.rows(table) == listing.partx(image)


def test_iso_by_xorriso(tmp_path: Path) -> None:
    """A hybrid ISO whose EFI system partition is appended and listed in a GPT."""
    image, partition, folder = tmp_path / "image.iso", tmp_path / "efi.img", tmp_path / "files"
    folder.mkdir()
    (folder / "hello").write_text("hello\n")
    partition.write_bytes(bytes(1 << 20))
    efi = ["-append_partition", "2", "0xef", str(partition), "-appended_part_as_gpt"]
    oracle.run("xorriso", "-as", "mkisofs", "-quiet", *efi, "-o", image, folder)
    table = read_table(MemoryDevice(image.read_bytes()))
    assert table.scheme == "gpt"
    assert "EFI System" in {partition.type_name for partition in table.partitions}
    assert listing.rows(table) == listing.sfdisk_rows(listing.sfdisk(image))
    oracle.run("xorriso", "-as", "mkisofs", "-quiet", *efi[:4], "-o", image, folder)
    table = read_table(MemoryDevice(image.read_bytes()))
    assert table.scheme == "mbr"
    assert listing.rows(table) == listing.sfdisk_rows(listing.sfdisk(image)) == listing.partx(image)
