"""Reading ext2, ext3 and ext4: files that mke2fs and debugfs put there come out as they went in."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from imgkit.errors import PathNotFoundError, TreeError, UnsupportedError
from imgkit.filesystem.base import Check
from imgkit.filesystem.ext.filesystem import ExtFileSystem, open_ext
from imgkit.filesystem.probe import open_filesystem
from imgkit.tree import FileType
from tests.filesystem.images import (
    EXT_FEATURES,
    NOW,
    TREE,
    FileDevice,
    changed_by_debugfs,
    debugfs,
    ext_device,
    ext_tree,
    host_tree,
)
from tests.support import oracle

if TYPE_CHECKING:
    from pathlib import Path

SIZES = (0, 1, 59, 60, 61, 159, 160, 161, 1000, 4095, 4096, 4097, 70_000, 300_000)


def make_tree(folder: Path) -> None:
    """Files of many sizes, links of many lengths, a directory with an index, names that are not UTF-8."""
    rng = random.Random(1)
    for size in SIZES:
        (folder / f"size {size}").write_bytes(rng.randbytes(size))
    for length in (1, 59, 60, 61, 500):
        (folder / f"link {length}").symlink_to("t" * length)
    many = folder / "deep" / "er" / "many"
    many.mkdir(parents=True)
    for number in range(300):
        (many / f"a name that fills directory blocks soon {number:05}").write_bytes(b"%d" % number)
    (folder / os.fsdecode(b"not utf-8 \xff\xfe")).write_bytes(b"bytes")
    with (folder / "sparse").open("wb") as file:
        for offset in (10_000, 200_000, 1_000_000):
            file.seek(offset)
            file.write(b"island")
        file.truncate(1_500_000)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    make_tree(folder)
    return folder


def assert_same(fs: ExtFileSystem, source: Path, truth: TREE) -> None:
    """The names, owners, modes and times of the host folder, and the contents of `truth`."""
    for folder, directories, files in os.walk(source):
        inside = "/" + os.path.relpath(folder, source) if folder != str(source) else "/"
        found = [name for name in fs.listdir(inside) if name != "lost+found"]
        assert found == sorted(directories + files)
        for name in directories + files:
            path = f"{inside.rstrip('/')}/{name}"
            status, stat = os.lstat(f"{folder}/{name}"), fs.stat(path)
            assert (stat.mode, stat.uid, stat.gid) == (status.st_mode & 0o7777, status.st_uid, status.st_gid)
            assert stat.mtime == int(status.st_mtime)
            if stat.type is FileType.FILE:
                assert fs.read(path) == truth[path]
                assert b"".join(fs.read_chunks(path)) == truth[path]
                assert stat.size == len(truth[path])
            elif stat.type is FileType.LINK:
                assert fs.readlink(path) == truth[path]


@pytest.mark.parametrize("options", EXT_FEATURES)
def test_tree(options: str, source: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()
    oracle.run("truncate", "-s", "256M" if "65536" in options else "24M", image)
    oracle.run("mke2fs", "-q", "-F", *options.split(), "-d", source, image)
    if "mmp" not in options:  # e2fsck would wait 11 s for another host to show itself
        # e2fsck -D builds the index of the large directory, which mke2fs leaves out.
        oracle.run("e2fsck", "-fyD", image, check=False)
    oracle.run("e2fsck", "-fn", image)
    truth = host_tree(source)
    if "inline_data" in options:
        # mke2fs 1.47.0 cuts a sparse file short; and debugfs reads 60 bytes where fewer lie in an inode.
        truth["/sparse"] = ext_tree(image)["/sparse"]
    else:
        assert truth == ext_tree(image)
    device = FileDevice(image)
    with open_ext(device, writable=False, now=NOW, check=Check.FULL) as fs:
        assert_same(fs, source, truth)
    device.close()


def test_file_larger_than_4_gib_in_bounded_pieces(tmp_path: Path) -> None:
    big, image = tmp_path / "big", tmp_path / "image"
    marks = {0: b"first", 1 << 31: b"behind 2 GiB", (5 << 30) - 4: b"last"}
    with big.open("wb") as file:
        for offset, mark in marks.items():
            file.seek(offset)
            file.write(mark)
    image.touch()
    oracle.run("truncate", "-s", "32M", image)
    oracle.run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", image)
    oracle.run("debugfs", "-w", "-R", f"write {big} big", image)
    device = FileDevice(image)
    fs = open_ext(device, writable=False, now=NOW)
    position = 0
    for chunk in fs.read_chunks("/big"):
        assert len(chunk) <= 1 << 20
        here = [(offset, mark) for offset, mark in marks.items() if position <= offset < position + len(chunk)]
        expected = bytearray(len(chunk))
        for offset, mark in here:
            expected[offset - position : offset - position + len(mark)] = mark
        assert chunk == expected
        position += len(chunk)
    assert position == fs.stat("/big").size == 5 << 30
    with pytest.raises(TreeError, match="more than the 8,388,608"):
        fs.read("/big")
    device.close()


def test_unwritten_extents_are_zeros(tmp_path: Path) -> None:
    device = ext_device("-t ext4 -b 1024")
    with open_ext(device, writable=True, now=NOW) as fs:
        fs.write("/file", b"x" * 5000)
        fs.flush()
    # debugfs's fallocate makes extents that are allocated, but were never written to.
    device = changed_by_debugfs(device, "fallocate /file 5 20", "sif /file size 20000")
    assert "Uninit" in debugfs(device, "ex /file") or "Uninit" in debugfs(device, "dump_extents /file")
    with open_ext(device, writable=False, now=NOW) as fs:
        assert fs.read("/file") == b"x" * 5000 + bytes(15_000)


def test_errors_name_the_path() -> None:
    device = ext_device("-t ext4 -b 1024")
    with open_ext(device, writable=True, now=NOW) as fs:
        fs.write("/file", b"")
        fs.symlink("file", "/link")
        for call, error in (
            (lambda: fs.read("/nothing"), PathNotFoundError),
            (lambda: fs.read("/file/below"), PathNotFoundError),
            (lambda: fs.read("/lost+found"), TreeError),
            (lambda: fs.read("/link"), TreeError),
            (lambda: fs.listdir("/file"), TreeError),
            (lambda: fs.readlink("/file"), TreeError),
            (lambda: fs.stat("/../etc"), TreeError),
            (lambda: fs.stat("relative"), TreeError),
        ):
            with pytest.raises(error) as caught:
                call()
            assert caught.value.path.startswith(("/", "relative"))
        assert not fs.exists("/nothing")
        assert not fs.exists("/file/below")
        assert fs.exists("/")


def test_encrypted_files_are_refused_by_name() -> None:
    device = ext_device("-t ext4 -b 1024 -O encrypt")
    device = changed_by_debugfs(device, "mkdir secret", "sif secret flags 0x80800")
    with open_ext(device, writable=False, now=NOW) as fs, pytest.raises(UnsupportedError, match="encrypted"):
        fs.listdir("/secret")
    with pytest.raises(UnsupportedError, match="encrypt"):
        open_ext(device, writable=True, now=NOW)


def test_identity_and_protocol() -> None:
    device = ext_device("-t ext4 -b 1024 -L a-label -U 11111111-2222-3333-4444-555555555555")
    with open_filesystem(device, writable=False, now=NOW) as fs:
        assert (fs.kind, fs.label, fs.uuid) == ("ext4", "a-label", "11111111-2222-3333-4444-555555555555")
    assert open_filesystem(ext_device("-t ext2 -b 1024"), writable=False, now=NOW).kind == "ext2"
    assert open_filesystem(ext_device("-t ext3 -b 1024"), writable=False, now=NOW).kind == "ext3"


def test_what_is_opened_for_reading_is_not_edited() -> None:
    device = ext_device("-t ext4 -b 1024")
    before = device.read_at(0, device.size)
    with open_ext(device, writable=False, now=NOW) as fs:
        for call in (
            lambda: fs.write("/file", b""),
            lambda: fs.mkdir("/directory"),
            lambda: fs.symlink("a", "/b"),
            lambda: fs.remove("/lost+found"),
        ):
            with pytest.raises(UnsupportedError, match="reading only"):
                call()
    assert device.read_at(0, device.size) == before
