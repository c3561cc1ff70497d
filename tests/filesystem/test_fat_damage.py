"""Dirty, damaged and hostile FAT volumes: refused by name and left as they are."""

from __future__ import annotations

import random
import time
from contextlib import suppress

import pytest

from imgkit.errors import EngineError, FormatError, ImgkitError, UnsupportedError
from imgkit.filesystem.fat.filesystem import FatFileSystem, open_fat
from imgkit.filesystem.fat.volume import FatVolume, open_volume
from imgkit.storage.overlay import Overlay
from tests.filesystem.images import FAT_FORMATS, NOW, assert_fat_clean, contents, fat_bytes, fat_device
from tests.support import corpus
from tests.support.memorydevice import MemoryDevice

FAT12, FAT16, FAT32 = FAT_FORMATS[0], FAT_FORMATS[1], FAT_FORMATS[3]


def populated(options: str, size: str) -> MemoryDevice:
    device = fat_device(options, size)
    with open_fat(device, writable=True, now=NOW) as fs:
        fs.mkdir("/dir")
        for number in range(20):
            fs.write(f"/dir/a rather long name {number}.cfg", b"x" * 700 * number)
        fs.write("/file.txt", b"y" * 10_000)
    return device


def with_entry(volume: FatVolume, cluster: int, value: int) -> MemoryDevice:
    """A copy of a FAT16 or FAT32 volume with one entry changed in both tables."""
    raw, boot = bytearray(contents(volume.device)), volume.boot
    size = boot.bits // 8
    for copy in range(boot.table_copies):
        at = boot.table_offset + copy * boot.table_size + cluster * size
        raw[at : at + size] = value.to_bytes(size, "little")
    return MemoryDevice(raw)


def assert_refused(device: MemoryDevice, why: str, error: type[ImgkitError] = FormatError) -> None:
    before = contents(device)
    with pytest.raises(error, match=why) as caught, open_fat(device, writable=True, now=NOW) as fs:
        fs.write("/imgkit.txt", b"new")
    assert caught.value.hint
    assert contents(device) == before


@pytest.mark.parametrize(
    ("format_", "offset", "value"),
    [(FAT16, 0x25, 1), (FAT32, 0x41, 1), (FAT12, 0x25, 1), (FAT16, 512 * 4 + 3, 0x7F), (FAT32, 512 * 32 + 7, 0x07)],
)
def test_dirty_volumes(format_: tuple[str, str], offset: int, value: int) -> None:
    raw = bytearray(fat_bytes(*format_))
    raw[offset] = value
    assert_refused(MemoryDevice(raw), "dirty bit", UnsupportedError)
    with pytest.raises(UnsupportedError, match="dirty bit"):
        open_fat(MemoryDevice(raw), writable=False, now=NOW)


def test_copies_of_the_table_that_differ() -> None:
    device = populated(*FAT16)
    boot = open_volume(device).boot
    raw = bytearray(contents(device))
    raw[boot.table_offset + boot.table_size + 20] ^= 1
    assert_refused(MemoryDevice(raw), "copies of the allocation table differ")


@pytest.mark.parametrize("format_", [FAT16, FAT32])
def test_broken_chains(format_: tuple[str, str]) -> None:
    volume = open_volume(populated(*format_))
    last = volume.boot.last_cluster
    with open_fat(volume.device, writable=False, now=NOW) as fs:
        file = fs._file("/file.txt")
        directory = fs._directory("/dir")
    chain, end = volume.chain(file.cluster), 0xFFFF if volume.boot.bits == 16 else 0x0FFFFFFF
    assert_refused(with_entry(volume, chain[1], chain[0]), "circle")
    assert_refused(with_entry(volume, chain[1], 0), "broken")
    assert_refused(with_entry(volume, chain[1], last + 1), "leads to cluster")
    assert_refused(with_entry(volume, chain[1], end), "bytes in")
    assert_refused(with_entry(volume, chain[1], directory.cluster), "belongs to another file|bytes in")
    assert_refused(with_entry(volume, directory.cluster, directory.cluster), "circle")


def test_wrong_free_count() -> None:
    device = populated(*FAT32)
    raw, offset = bytearray(contents(device)), open_volume(device).boot.fsinfo_offset
    raw[offset + 488] ^= 4
    assert_refused(MemoryDevice(raw), "free clusters wrongly")
    raw[offset + 488 : offset + 492] = b"\xff\xff\xff\xff"
    open_fat(MemoryDevice(raw), writable=True, now=NOW)


@pytest.mark.parametrize("format_", FAT_FORMATS)
@pytest.mark.parametrize("part", [0, 0.00001, 0.01, 0.5, 0.99])
def test_truncated(format_: tuple[str, str], part: float) -> None:
    raw = fat_bytes(*format_)
    with pytest.raises(FormatError):
        open_fat(MemoryDevice(raw[: int(len(raw) * part)]), writable=True, now=NOW)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["fat.img.xz", "small-fat32.img.xz", "fat16_noheads.img.xz"])
def test_recorded(name: str) -> None:
    device = MemoryDevice(corpus.content(f"ext4/util-linux-fs/{name}"))
    before = contents(device)
    with suppress(FormatError, UnsupportedError), open_fat(device, writable=True, now=NOW) as fs:
        fs.write("/imgkit.txt", b"new")
        assert_fat_clean(device)
        return
    assert contents(device) == before


def test_fat32_that_fatfs_would_take_for_fat16_is_read_only() -> None:
    device = fat_device("-F 32 -s 1", "8M")
    with open_fat(device, writable=False, now=NOW) as fs:
        assert fs.listdir("/") == []
    assert_refused(device, "only be read", UnsupportedError)


def edits(fs: FatFileSystem) -> None:
    """All verbs, each tried whatever became of the others."""
    for call in (
        lambda: fs.listdir("/dir"),
        lambda: fs.read("/file.txt"),
        lambda: fs.write("/file.txt", b"q" * 20_000),
        lambda: fs.write("/file.txt", b""),
        lambda: fs.write("/dir/a new file.cfg", b"z" * 3000),
        lambda: fs.mkdir("/dir/new directory"),
        lambda: fs.remove("/dir/a rather long name 7.cfg"),
    ):
        with suppress(ImgkitError):
            try:
                call()
            except EngineError as error:
                raise AssertionError(f"FatFs was let loose on damage: {error}") from error


@pytest.mark.parametrize("format_", [FAT12, FAT16])
def test_flipped_bytes(format_: tuple[str, str]) -> None:
    """Whatever byte of boot sector, tables and directories changes: refused, or edited without a crash or a hang."""
    device = populated(*format_)
    base, boot, rng = contents(device), open_volume(device).boot, random.Random(1)
    places = [at for at in range(boot.data_offset + 4 * boot.cluster_size) if base[at]]
    for _ in range(400):
        copy = bytearray(base)
        for _ in range(rng.choice([1, 1, 3, 10])):
            at = rng.choice(places) + rng.choice([0, 0, 1, 32])
            copy[at] = rng.choice([copy[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0, 255])
        started = time.process_time()
        with suppress(FormatError, UnsupportedError), open_fat(MemoryDevice(copy), writable=True, now=NOW) as fs:
            edits(fs)
        assert time.process_time() - started < 5


@pytest.mark.parametrize("format_", [FAT12, FAT16, ("-F 32 -s 1", "8M")])
def test_every_byte_of_the_boot_sector(format_: tuple[str, str]) -> None:
    raw = fat_bytes(*format_)
    base = MemoryDevice(raw)
    for offset in range(0x5A):
        for value in (0, 1, 0x7F, 0x80, 0xFF, raw[offset] ^ 1):
            started = time.process_time()
            with suppress(FormatError, UnsupportedError):
                device = Overlay(base)
                device.write_at(offset, bytes([value]))
                open_fat(device, writable=False, now=NOW).listdir("/")
            assert time.process_time() - started < 5
