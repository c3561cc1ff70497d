"""Recorded file systems of e2fsprogs and others: read as recorded, refused unchanged, or clean after an edit."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path

import pytest

from imgkit.errors import FormatError, OutputError, UnsupportedError
from imgkit.filesystem.base import Check
from imgkit.filesystem.ext import library
from imgkit.filesystem.ext.filesystem import ExtFileSystem, open_ext
from imgkit.filesystem.ext.volume import open_volume
from imgkit.tree import FileType
from tests.filesystem.images import NOW, TREE, assert_ext_clean, contents, device_tree, ext_tree
from tests.support import corpus, oracle
from tests.support.memorydevice import MemoryDevice

pytestmark = pytest.mark.corpus

# What the recorded images are that the manifest calls clean, but that are not edited here.
READ_ONLY = {
    "f_bad_gdt_csum": "e2fsck says that the checksum of a group is wrong, and ends with status 0",
    "f_quota_extent_opt": "quota files would have to be kept up to date",
    "f_quota_shrinkdir": "quota files would have to be kept up to date",
    "f_shared_blocks_ok": "files share blocks: writing to one would change others",
}
# What the manifest wants to be repaired, and mounting does: a journal is replayed, orphans are deleted or truncated.
MOUNTABLE = (
    "f_clear_orphan_file",
    "f_jnl_32bit",
    "f_orphan/",
    "f_orphan_extents_inode",
    "f_orphan_indirect_inode",
    "j_corrupt_descr_tid",
)
TRUTHS = {
    "ext4/dissect.extfs/ext4_symlink_test.bin.gz": "ext4/truth/ext4_symlink_test.bin.gz.txt",
    "ext4/ext4-view-rs/test_disk_ext2.bin.zst": "ext4/truth/test_disk_ext2.bin.zst.txt",
}


def recorded(*prefixes: str) -> list[str]:
    manifest = corpus.manifest("ext4")
    return sorted(
        name for name, truth in manifest.items() if truth.startswith(prefixes) and not name.endswith(".tar.bz2")
    )


CLEAN = recorded("clean", '"clean')
EDITABLE = [name for name in CLEAN if not any(each in name for each in READ_ONLY)]
TO_BE_MOUNTED = [name for name in recorded("REFUSE") if any(each in name for each in MOUNTABLE)]
NOT_EDITABLE = sorted({*recorded("REFUSE"), *CLEAN} - {*EDITABLE, *TO_BE_MOUNTED})


def edit(fs: ExtFileSystem) -> list[str]:
    """Make and remove something, and shorten the files of the root directory. Returns the names that are there then."""
    names = fs.listdir("/")
    files = [f"/{name}" for name in names if fs.stat(f"/{name}").type is FileType.FILE]
    with suppress(OutputError):  # two of them have no free inode
        fs.write("/imgkit", b"new contents\n")
        fs.mkdir("/imgkit.d")
        fs.remove("/imgkit")
        fs.write("/imgkit.d/file", b"more\n" * 1000)
        names = sorted([*names, "imgkit.d"])
    for path in files:
        fs.write(path, next(fs.read_chunks(path), b"")[:100])
    fs.flush()
    return names


def read_tree(fs: ExtFileSystem, folder: str = "") -> TREE:
    """Files, links and directories below a folder."""
    tree: TREE = {}
    for name in fs.listdir(folder or "/"):
        path = f"{folder}/{name}"
        match fs.stat(path).type:
            case FileType.FILE:
                tree[path] = b"".join(fs.read_chunks(path))
            case FileType.LINK:
                tree[path] = fs.readlink(path)
            case FileType.DIRECTORY:
                tree |= {path: None} | read_tree(fs, path)
    return tree


@pytest.mark.parametrize("name", NOT_EDITABLE)
def test_refused_unchanged(name: str) -> None:
    """What damage is far from what is edited may be found before the first edit only, but always before a write."""
    device = MemoryDevice(corpus.content(name))
    before = contents(device)
    started = time.process_time()
    with pytest.raises((FormatError, UnsupportedError)) as caught, open_ext(device, writable=True, now=NOW) as fs:
        edit(fs)
    assert time.process_time() - started < 20
    assert caught.value.message
    assert contents(device) == before


@pytest.mark.parametrize("name", TO_BE_MOUNTED)
def test_what_mounting_mends_is_as_e2fsck_makes_it(name: str, tmp_path: Path) -> None:
    device, image = MemoryDevice(corpus.content(name)), tmp_path / "image"
    before = contents(device)
    image.write_bytes(before)
    assert oracle.run("e2fsck", "-fy", image, check=False).returncode in (0, 1)
    with open_ext(device, writable=True, now=NOW) as fs:
        fs.listdir("/")
        assert contents(device) == before
        fs.mkdir("/imgkit")
        fs.remove("/imgkit")
        fs.flush()
    assert_ext_clean(device)
    assert device_tree(device) == ext_tree(image)


@pytest.mark.parametrize("check", [Check.AUTO, Check.FULL])
@pytest.mark.parametrize("name", EDITABLE)
def test_clean_ones_stay_clean(name: str, check: Check) -> None:
    device = MemoryDevice(corpus.content(name))
    with open_ext(device, writable=True, now=NOW, check=check) as fs:
        names = edit(fs)
        assert fs.listdir("/") == names
    assert_ext_clean(device)
    open_ext(device, writable=False, now=NOW, check=Check.FULL).close()


@pytest.mark.parametrize("name", EDITABLE)
def test_read_as_debugfs_reads(name: str) -> None:
    device = MemoryDevice(corpus.content(name))
    with open_ext(device, writable=False, now=NOW) as fs:
        tree = read_tree(fs)
    tree.pop("/lost+found", None)
    expected = device_tree(device)
    if "d_inline_dump" in name:  # debugfs 1.47.0 pads inline data to the 60 bytes of i_block
        padded = expected["/shortfile"]
        assert isinstance(padded, bytes)
        expected["/shortfile"] = padded.rstrip(b"\0")
    assert tree == expected


@pytest.mark.parametrize("name", TRUTHS if corpus.root() else [])
def test_recorded_truth(name: str) -> None:
    truth = corpus.path(TRUTHS[name]).read_text()
    device = MemoryDevice(corpus.content(name))
    facts = dict(re.findall(r"^([A-Z][^:\n]+):\s+(.*?)\s*$", truth, re.MULTILINE))
    superblock = open_volume(device, library.load(), writable=False).superblock
    assert superblock.label == facts["Filesystem volume name"].replace("<none>", "")
    assert superblock.uuid == facts["Filesystem UUID"]
    assert superblock.blocks_count == int(facts["Block count"])
    assert superblock.free_blocks_count == int(facts["Free blocks"])
    assert superblock.inodes_count == int(facts["Inode count"])
    with open_ext(device, writable=False, now=NOW) as fs:
        for line in re.findall(r"^/\d+/(\d+)/(\d+)/(\d+)/(.*)/(\d*)/$", truth, re.MULTILINE):
            mode, uid, gid, entry, size = line
            found = fs.stat(f"/{entry}" if entry not in (".", "..") else "/")
            assert (found.mode, found.uid, found.gid) == (int(mode, 8) & 0o7777, int(uid), int(gid))
            assert not size or found.size == int(size)


def test_contents_that_the_manifest_tells() -> None:
    device = MemoryDevice(corpus.content("ext4/ext4-view-rs/test_disk_ext2.bin.zst"))
    with open_ext(device, writable=False, now=NOW) as fs:
        assert fs.read("/small_file") == b"hello, world!"
