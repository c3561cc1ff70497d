"""File systems on whole disks whose first sector looks like an MBR, made by the real mkfs programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgkit.partition.table import read_table
from tests.partition import disks, listing
from tests.support import oracle
from tests.support.memorydevice import MemoryDevice

if TYPE_CHECKING:
    from pathlib import Path

    from imgkit.partition.model import PartitionTable


def make(image: Path, size: int, tool: str, *options: str) -> bytes:
    image.write_bytes(bytes(size))
    oracle.run(tool, *options, image)
    return image.read_bytes()


def whole_disk(image: Path, data: bytes) -> PartitionTable:
    """Our table, after libblkid agreed that there are no partitions."""
    image.write_bytes(data)
    assert listing.partx(image) == []
    table = read_table(MemoryDevice(data))
    assert (table.scheme, table.partitions) == ("none", ())
    return table


@pytest.mark.parametrize(
    ("size", "options", "name"),
    [
        (1 << 20, ("mkfs.vfat", "-F", "12"), "FAT"),
        (1 << 24, ("mkfs.vfat", "-F", "16"), "FAT"),
        (1 << 26, ("mkfs.vfat", "-F", "32"), "FAT"),
        (1 << 26, ("mkfs.vfat", "-F", "32", "-S", "4096"), "FAT"),
        (1 << 24, ("mkfs.exfat",), "exFAT"),
        (1 << 24, ("mkntfs", "--quick", "--force", "--quiet"), "NTFS"),
    ],
)
def test_boot_sectors_that_end_in_55aa(tmp_path: Path, size: int, options: tuple[str, ...], name: str) -> None:
    data = make(tmp_path / "image", size, *options)
    assert data[510:512] == b"\x55\xaa"
    table = whole_disk(tmp_path / "image", data)
    assert table.notices == (f"Sector 0 ends in 55AA, but is no partition table: it is the boot sector of {name}.",)


def test_fat_in_front_of_entries_is_fat(tmp_path: Path) -> None:
    """A FAT boot sector whose last bytes would make perfect entries: libblkid believes the FAT, so do we."""
    data = bytearray(make(tmp_path / "image", 1 << 24, "mkfs.vfat"))
    data[446:510] = disks.boot_record(disks.entry(0x83, 2048, 2048))[446:510]
    whole_disk(tmp_path / "image", bytes(data))
    data[21] = 0x12  # no FAT has this media byte: now it is an MBR
    (tmp_path / "image").write_bytes(data)
    assert listing.rows(read_table(MemoryDevice(data))) == listing.partx(tmp_path / "image") != []


def test_fat_with_0xee_in_its_boot_code(tmp_path: Path) -> None:
    """A byte of boot code where a protective MBR has its type is no GPT."""
    data = bytearray(make(tmp_path / "image", 1 << 24, "mkfs.vfat"))
    data[450] = 0xEE
    whole_disk(tmp_path / "image", bytes(data))


def test_ext4_without_boot_sector(tmp_path: Path) -> None:
    data = make(tmp_path / "image", 1 << 22, "mkfs.ext4", "-q")
    assert whole_disk(tmp_path / "image", data).notices == ()


def test_ext4_behind_an_empty_boot_record(tmp_path: Path) -> None:
    """Boot code without partitions in front of a whole-disk file system; without the file system it is an empty MBR."""
    data = bytearray(make(tmp_path / "image", 1 << 22, "mkfs.ext4", "-q"))
    data[:512] = disks.boot_record()
    assert "superblock of ext2, ext3 or ext4" in whole_disk(tmp_path / "image", bytes(data)).notices[0]
    assert read_table(MemoryDevice(data[:1024] + bytes(1 << 20))).scheme == "mbr"
    data[:512] = disks.boot_record(disks.entry(0x83, 2048, 2048))
    (tmp_path / "image").write_bytes(data)
    assert listing.rows(read_table(MemoryDevice(data))) == listing.partx(tmp_path / "image") != []


def test_boot_code_where_the_entries_are(tmp_path: Path) -> None:
    """A boot indicator that is neither 0x00 nor 0x80: no MBR for the kernel and libblkid (sfdisk would list it)."""
    data = bytearray(1 << 20)
    data[:512] = disks.boot_record(disks.entry(0x83, 64, 64), disks.entry(0x82, 128, 64))
    data[446 + 16] = 0x7F
    table = whole_disk(tmp_path / "image", bytes(data))
    assert "entry 2 has the boot indicator 0x7f" in table.notices[0]


@pytest.mark.parametrize("impostor", [b"JFS     ", b"HPFS    "])
def test_fat_look_alikes(impostor: bytes) -> None:
    """JFS and HPFS put a false FAT header in front; libblkid rules them out, and so the entries count."""
    data = bytearray(1 << 20)
    data[:512] = disks.boot_record(disks.entry(0x83, 64, 64))
    data[11:36] = bytes.fromhex("0002 04 0100 02 0002 0000 f8 0800 2000 4000 00000000 00400000".replace(" ", ""))
    assert read_table(MemoryDevice(data)).scheme == "none"
    data[54:62] = impostor
    assert read_table(MemoryDevice(data)).scheme == "mbr"


@pytest.mark.parametrize(
    ("magics", "name"),
    [
        ({508: b"\xda\xbe"}, "Sun disk label"),
        ({0: b"\x0b\xe5\xa9\x41"}, "SGI disk label"),
        ({0: b"ER", 512: b"PM"}, "Apple partition map"),
        ({64: b"\x57\x45\x56\x82", 196: b"\x57\x45\x56\x82"}, "BSD disk label"),
    ],
)
def test_tables_that_are_not_read_are_named(magics: dict[int, bytes], name: str) -> None:
    data = bytearray(1 << 16)
    for offset, magic in magics.items():
        disks.put(data, offset, magic)
    table = read_table(MemoryDevice(data))
    assert (table.scheme, table.notices) == ("none", (f"{name} found; such tables are not supported.",))


@pytest.mark.parametrize("size", [0, 1, 511])
def test_too_small_for_anything(size: int) -> None:
    assert read_table(MemoryDevice(b"\xaa" * size)).scheme == "none"
