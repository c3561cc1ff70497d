"""Damaged, busy and hostile file systems: they are refused by name and left as they are, or edited without harm."""

from __future__ import annotations

import random
import resource
import time
from contextlib import suppress

import pytest

from imgkit.errors import EngineError, FormatError, ImgkitError, UnsupportedError
from imgkit.filesystem.base import Check
from imgkit.filesystem.ext import directory, library
from imgkit.filesystem.ext.filesystem import ExtFileSystem, open_ext
from imgkit.filesystem.ext.volume import open_volume, read_inode
from imgkit.storage.overlay import Overlay
from tests.filesystem.images import NOW, changed_by_debugfs, contents, ext_bytes, ext_device, fsck_ext
from tests.support.memorydevice import MemoryDevice

JOURNALLED = "-t ext4 -b 1024"
WITHOUT_CHECKSUMS = "-t ext4 -b 1024 -O ^metadata_csum"


def populated(options: str) -> MemoryDevice:
    device = ext_device(options, "4M")
    with open_ext(device, writable=True, now=NOW) as fs:
        fs.mkdir("/dir")
        for number in range(40):
            fs.write(f"/dir/a file whose name is rather long {number}", b"x" * number * 100)
        fs.write("/mapped", b"y" * 100_000)
        fs.symlink("z" * 100, "/link")
        fs.set_xattr("/mapped", "user.note", b"v" * 300)
        fs.flush()
    return device


@pytest.mark.parametrize(
    ("options", "commands", "why"),
    [
        (JOURNALLED, ["ssv state 3"], "marked as having errors"),
        (JOURNALLED, ["ssv state 0"], "not cleanly unmounted"),
        (JOURNALLED, ["ssv error_count 1"], "recorded errors"),
        (JOURNALLED, ["feature FEATURE_I22"], "not understood"),
        (JOURNALLED, ["ssv rev_level 2"], "revision"),
    ],
)
@pytest.mark.parametrize("writable", [False, True])
def test_unclean_file_systems_are_not_even_read(options: str, commands: list[str], why: str, writable: bool) -> None:
    device = changed_by_debugfs(ext_device(options), *commands)
    before = contents(device)
    with pytest.raises(UnsupportedError, match=why) as caught:
        open_ext(device, writable=writable, now=NOW)
    assert caught.value.hint
    assert contents(device) == before


@pytest.mark.parametrize("sequence", [0, 17, 0xE24D4D50])
def test_claimed_by_another_host(sequence: int) -> None:
    raw = bytearray(ext_bytes("-t ext4 -b 1024 -O mmp"))
    volume = open_volume(MemoryDevice(raw), library.load(), writable=True)
    at = volume.superblock.mmp_block * 1024
    raw[at + 4 : at + 8] = sequence.to_bytes(4, "little")
    checksum = volume.library.crc32c(volume.superblock.checksum_seed, bytes(raw[at : at + 1020]))
    raw[at + 1020 : at + 1024] = checksum.to_bytes(4, "little")
    with pytest.raises(UnsupportedError, match="another host") as caught:
        open_ext(MemoryDevice(raw), writable=False, now=NOW)
    assert "clear_mmp" in (caught.value.hint or "")


def test_unknown_read_only_feature() -> None:
    device = changed_by_debugfs(ext_device(JOURNALLED), "feature FEATURE_R20")
    with open_ext(device, writable=False, now=NOW) as fs:
        assert fs.listdir("/") == ["lost+found"]
    with pytest.raises(UnsupportedError, match="0x100000"):
        open_ext(device, writable=True, now=NOW)


def test_journal_that_is_not_empty() -> None:
    """The superblock may forget to say so; the journal itself does not."""
    device = ext_device(JOURNALLED)
    raw = contents(device)
    at = raw.index(b"\xc0\x3b\x39\x98\0\0\0\x04")
    for offset, why in ((28, "holds transactions"), (32, "was aborted")):
        broken = bytearray(raw)
        broken[at + offset + 3] = 5
        with pytest.raises(UnsupportedError, match=why):
            open_ext(MemoryDevice(broken), writable=False, now=NOW)


@pytest.mark.parametrize("size", [0, 1000, 1500, 2048, 100_000, (8 << 20) - 1])
def test_truncated(size: int) -> None:
    device = MemoryDevice(ext_bytes(JOURNALLED)[:size])
    with pytest.raises(FormatError):
        open_ext(device, writable=True, now=NOW)


@pytest.mark.parametrize("options", [JOURNALLED, "-t ext2 -b 1024"])
def test_every_byte_of_the_superblock(options: str) -> None:
    """Any value of any field: the file system opens, or is refused, soon and in little memory."""
    raw = ext_bytes(options, "4M")
    base = MemoryDevice(raw)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for offset in range(1024, 2048):
        for value in (0, 0x7F, 0x80, 0xFF, raw[offset] ^ 1, raw[offset] ^ 0x10):
            device = Overlay(base)
            device.write_at(offset, bytes([value]))
            started = time.process_time()
            with suppress(FormatError, UnsupportedError), open_ext(device, writable=True, now=NOW) as fs:
                fs.write("/file", b"data")
                fs.flush()
            assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 100_000


MUTATED = (WITHOUT_CHECKSUMS, "-t ext2 -b 1024", "-t ext4 -b 1024 -O inline_data,^metadata_csum", JOURNALLED)


def mutations(options: str, count: int) -> list[bytes]:
    """Copies of a populated file system with some bytes of what is not zero changed."""
    base, rng = contents(populated(options)), random.Random(options)
    places = [at for at in range(1024, len(base)) if base[at]]
    found = []
    for _ in range(count):
        copy = bytearray(base)
        for _ in range(rng.choice([1, 1, 2, 8])):
            at = min(rng.choice(places) + rng.choice([0, 0, 1, 2]), len(copy) - 1)
            copy[at] = rng.choice([copy[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0, 255])
        found.append(bytes(copy))
    return found


@pytest.mark.parametrize("options", MUTATED)
def test_what_passes_the_full_check_passes_e2fsck(options: str) -> None:
    passed = 0
    for data in mutations(options, 250):
        device = MemoryDevice(data)
        try:
            open_ext(device, writable=True, now=NOW, check=Check.FULL).close()
        except (FormatError, UnsupportedError):
            continue
        passed += 1
        if passed <= 25:
            status, output = fsck_ext(device)
            assert status == 0, output
    assert 0 < passed < 250


def edits(fs: ExtFileSystem) -> None:
    """All verbs, each tried whatever became of the others."""
    for call in (
        lambda: fs.listdir("/dir"),
        lambda: fs.read("/mapped"),
        lambda: fs.write("/mapped", b"q" * 150_000),
        lambda: fs.write("/mapped", b""),
        lambda: fs.write("/dir/new" + "n" * 40, b"z" * 9000),
        lambda: fs.mkdir("/dir/new directory"),
        lambda: fs.symlink("k" * 90, "/new link"),
        lambda: fs.readlink("/link"),
        lambda: fs.remove("/link"),
        lambda: fs.set_xattr("/mapped", "user.more", b"1" * 30),
        lambda: fs.remove("/mapped"),
        fs.flush,
    ):
        with suppress(FormatError, UnsupportedError, ImgkitError):
            try:
                call()
            except EngineError as error:
                raise AssertionError(f"libext2fs was let loose on damage: {error}") from error


@pytest.mark.parametrize("options", MUTATED)
def test_edits_of_unchecked_damage(options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the full check, what guards an edit is the check of what it touches: no crash, no hang, no surprise."""
    monkeypatch.setattr("imgkit.filesystem.ext.filesystem._needs_full_check", lambda _superblock: False)
    for data in mutations(options, 250):
        started = time.process_time()
        with suppress(FormatError, UnsupportedError), open_ext(MemoryDevice(data), writable=True, now=NOW) as fs:
            edits(fs)
        assert time.process_time() - started < 5


def test_checksums_of_every_kind_of_structure() -> None:
    """One flipped bit in each kind of block is seen by the full check, or when the block is read."""
    device = populated(JOURNALLED)
    base = contents(device)
    volume = open_volume(device, library.load(), writable=True)
    block_size, group = volume.superblock.block_size, volume.groups[0]
    root = group.inode_table * block_size + volume.superblock.inode_size
    for offset in (
        1024 + 0x64,  # superblock
        group.offset + 8,  # group descriptor
        group.block_bitmap * block_size + 5,
        group.inode_bitmap * block_size + 5,
        root + 0x20,
        base.index(b"a file whose name is rather long 3"),
        base.index(b"\0\0\2\xea\1\0\0\0\1\0\0\0") + 12,  # attribute block
    ):
        broken = bytearray(base)
        broken[offset] ^= 1
        with pytest.raises(FormatError, match="checksum"):
            open_ext(MemoryDevice(broken), writable=False, now=NOW, check=Check.FULL)


def test_damage_is_named_with_its_place() -> None:
    device = populated(WITHOUT_CHECKSUMS)
    base = contents(device)
    offset = base.index(b"a file whose name is rather long 7") - 8
    broken = bytearray(base)
    broken[offset + 4] = 0xFF
    with open_ext(MemoryDevice(broken), writable=True, now=NOW) as fs, pytest.raises(FormatError) as caught:
        fs.write("/mapped", b"")
    assert caught.value.structure == "ext directory block"
    assert caught.value.offset == offset // 1024 * 1024
    assert "e2fsck" in (caught.value.hint or "")


def test_large_file_systems_are_checked_where_they_are_edited() -> None:
    device = ext_device(JOURNALLED, "4M")
    with open_ext(device, writable=True, now=NOW) as fs:
        for number in range(200):
            fs.write(f"/{number}", b"x" * number)
        fs.flush()
    volume = open_volume(device, library.load(), writable=True)
    victim = next(entry for entry in directory.iterate(volume, read_inode(volume, 2)) if entry.name == b"77")
    assert victim is not None
    offset = volume.inode_offset(victim.inode) + 0x1A  # its link count
    device.write_at(offset, bytes([device.read_at(offset, 1)[0] ^ 4]))
    with open_ext(device, writable=True, now=NOW) as fs:
        fs.write("/78", b"y" * 3000)
        for call in (lambda: fs.read("/77"), lambda: fs.write("/77", b""), lambda: fs.remove("/77")):
            with pytest.raises(FormatError, match=f"inode {victim.inode}: the checksum"):
                call()
    with pytest.raises(FormatError, match=f"inode {victim.inode}: the checksum"):
        open_ext(device, writable=False, now=NOW, check=Check.FULL)
