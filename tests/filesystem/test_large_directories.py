"""Directories of many names: what is read and compared grows with the number of names, not with its square."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgkit.errors import PathNotFoundError
from imgkit.filesystem.ext.filesystem import open_ext
from imgkit.filesystem.fat.filesystem import open_fat
from imgkit.tree import list_entries
from tests.filesystem.images import NOW, assert_ext_clean, assert_fat_clean, fat_device
from tests.support import oracle
from tests.support.memorydevice import MemoryDevice

COUNT = 2000


class CountingDevice(MemoryDevice):
    """A device that counts how often it is read."""

    reads = 0

    def read_at(self, offset: int, length: int, /) -> bytes:
        self.reads += 1
        return super().read_at(offset, length)


def names(count: int = COUNT) -> list[str]:
    return sorted(f"a-package-name-{number}.list" for number in range(count))


def ext_with_names(tmp_path: Path, options: str, algorithm: str = "half_md4") -> CountingDevice:
    (tmp_path / "tree" / "d").mkdir(parents=True)
    for name in names():
        (tmp_path / "tree" / "d" / name).touch()
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    oracle.run("mke2fs", "-q", "-N", "4000", "-d", tmp_path / "tree", *options.split(), image)
    oracle.run("tune2fs", "-E", f"hash_alg={algorithm}", image)
    # mke2fs makes no index; e2fsck does where the feature is on.
    assert oracle.run("e2fsck", "-fyD", image, check=False).returncode in (0, 1)
    return CountingDevice(image.read_bytes())


@pytest.mark.parametrize("options", ["-t ext4 -b 1024", "-t ext4 -b 1024 -O ^dir_index", "-t ext2 -b 4096"])
def test_ext_listing_reads_each_inode_once(tmp_path: Path, options: str) -> None:
    device = ext_with_names(tmp_path, options)
    with open_ext(device, writable=False, now=NOW) as fs:
        device.reads = 0
        assert [entry.name for entry in list_entries(fs, "/d")] == names()
    directory_blocks = COUNT * 40 // 1024 * 2
    assert device.reads <= COUNT + directory_blocks


@pytest.mark.parametrize("block_size", [1024, 4096])
@pytest.mark.parametrize("algorithm", ["legacy", "half_md4", "tea"])
def test_ext_index_leads_to_a_name(tmp_path: Path, algorithm: str, block_size: int) -> None:
    device = ext_with_names(tmp_path, f"-t ext4 -b {block_size}", algorithm)
    with open_ext(device, writable=False, now=NOW) as fs:
        assert fs.exists("/d")
        for name in names():
            device.reads = 0
            assert fs.exists(f"/d/{name}")
            assert not fs.exists(f"/d/{name}x")
            # Twice root, node and leaf of the index, the inode of the name, and at first where the directory lies.
            assert device.reads <= 8
        with pytest.raises(PathNotFoundError):
            fs.stat("/d/a-package-name-2000.list")


@pytest.mark.parametrize("options", ["-t ext4 -b 1024", "-t ext4 -b 1024 -O ^dir_index"])
def test_ext_names_follow_edits(tmp_path: Path, options: str) -> None:
    device = ext_with_names(tmp_path, options)
    with open_ext(device, writable=True, now=NOW) as fs:
        assert len(fs.listdir("/d")) == COUNT
        for number in range(60):
            fs.write(f"/d/new-{number}", b"")
            fs.remove(f"/d/a-package-name-{number}.list")
        assert fs.exists("/d/new-59")
        assert not fs.exists("/d/a-package-name-59.list")
        assert len(fs.listdir("/d")) == COUNT
        fs.flush()
    assert_ext_clean(device)
    with open_ext(device, writable=False, now=NOW) as fs:
        assert fs.exists("/d/new-0")
        assert not fs.exists("/d/a-package-name-0.list")


def test_ext_damaged_index_hides_no_name(tmp_path: Path) -> None:
    device = ext_with_names(tmp_path, "-t ext4 -b 1024 -O ^metadata_csum")
    data = bytearray(device.read_at(0, device.size))
    root = data.index(
        (2).to_bytes(4, "little") + b"\xf4\x03\x02\x02..\0\0\0\0\0\0"
    )  # ".." of /d, in front of the index
    data[root + 17] = 9  # the hash version
    with open_ext(MemoryDevice(data), writable=False, now=NOW) as fs:
        assert all(fs.exists(f"/d/{name}") for name in names())


def test_fat_listing_reads_the_directory_once() -> None:
    device = CountingDevice(fat_device("-F 16", "20M").read_at(0, 20 << 20))
    with open_fat(device, writable=True, now=NOW) as fs:
        fs.mkdir("/d")
        for number in range(120):
            fs.write(f"/d/a long name, number {number}", b"")
        device.reads = 0
        assert len(list_entries(fs, "/d")) == 120
        assert device.reads <= 40
        assert fs.stat("/D/A LONG NAME, NUMBER 7").size == 0
        fs.write("/d/a long name, number 7", b"more")
        assert fs.stat("/d/a long name, number 7").size == 4
        fs.remove("/d/a long name, number 8")
        assert not fs.exists("/d/a long name, number 8")
        assert len(list_entries(fs, "/d")) == 119
    assert_fat_clean(device)
