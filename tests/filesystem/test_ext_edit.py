"""Editing ext2, ext3 and ext4: e2fsck finds nothing afterwards, debugfs finds what was written and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from imgkit.filesystem.base import Check
from imgkit.filesystem.ext.filesystem import ExtFileSystem, open_ext
from imgkit.filesystem.ext.layout import InodeFlag
from tests.filesystem.images import (
    EXT_FEATURES,
    NOW,
    assert_ext_clean,
    changed_by_debugfs,
    contents,
    debugfs,
    device_tree,
    edited,
    ext_device,
    populate,
)
from tests.support import oracle
from tests.support.memorydevice import MemoryDevice

if TYPE_CHECKING:
    from pathlib import Path

LATER = NOW + 1000
LABEL = b"system_u:object_r:etc_t:s0\0"


def stat_line(device: MemoryDevice, path: str) -> str:
    return debugfs(device, f"stat {path}")


def times_of(stat: str) -> dict[str, int]:
    """Seconds of each time, as debugfs prints them in hexadecimal."""
    return {
        name: int(seconds, 16) + ((int(extra or "0", 16) & 3) << 32)
        for name, seconds, extra in re.findall(r"(\w+time): 0x([0-9a-f]+)(?::([0-9a-f]+))?", stat)
    }


@pytest.mark.parametrize("options", EXT_FEATURES)
def test_all_verbs(options: str) -> None:
    device = ext_device(options)
    edited(device, populate)

    def edit(fs: ExtFileSystem) -> None:
        fs.write("/etc/default/grub", b'GRUB_CMDLINE_LINUX="console=ttyS0"\n' * 5)
        fs.write("/etc/fstab", b"short\n")
        fs.write("/etc/empty", b"not any more" * 3000)
        fs.remove("/etc/fast")
        fs.remove("/etc/slow")
        fs.mkdir("/etc/grub.d")
        fs.mkdir("/etc/to-remove")
        fs.remove("/etc/to-remove")
        fs.write("/etc/grub.d/99_serial", b"#!/bin/sh\n")
        fs.symlink("/dev/ttyS0", "/console")

    edited(device, edit, now=LATER)
    assert device_tree(device) == {
        "/etc": None,
        "/etc/default": None,
        "/etc/default/grub": b'GRUB_CMDLINE_LINUX="console=ttyS0"\n' * 5,
        "/etc/fstab": b"short\n",
        "/etc/empty": b"not any more" * 3000,
        "/etc/grub.d": None,
        "/etc/grub.d/99_serial": b"#!/bin/sh\n",
        "/console": "/dev/ttyS0",
    }


@pytest.mark.parametrize("options", EXT_FEATURES)
def test_removing_all_gives_every_block_and_inode_back(options: str) -> None:
    device = ext_device(options)
    free = _free_counts(device)

    def edit(fs: ExtFileSystem) -> None:
        populate(fs)
        fs.write("/big", b"x" * 700_000)
        for path in ("/etc/fstab", "/etc/empty", "/etc/fast", "/etc/slow", "/etc/default/grub", "/etc/default", "/etc"):
            fs.remove(path)
        fs.remove("/big")

    edited(device, edit)
    assert _free_counts(device) == free


def _free_counts(device: MemoryDevice) -> tuple[str, ...]:
    stats = debugfs(device, "stats")
    return tuple(re.findall(r"^Free (?:blocks|inodes):\s+(\d+)", stats, re.MULTILINE))


@pytest.mark.parametrize("options", ["-t ext4 -b 1024", "-t ext4 -b 4096 -O inline_data", "-t ext2 -b 1024 -I 128"])
@pytest.mark.parametrize("check", [Check.AUTO, Check.FULL])
def test_metadata_of_a_rewritten_file(options: str, check: Check) -> None:
    device = ext_device(options)
    edited(device, populate)
    device = changed_by_debugfs(
        device,
        "sif /etc/fstab mode 0100640",
        "sif /etc/fstab uid 100123",
        "sif /etc/fstab gid 200456",
        "ea_set /etc/fstab user.note kept",
    )
    before = stat_line(device, "/etc/fstab")
    edited(device, lambda fs: fs.write("/etc/fstab", b"new\n"), now=LATER, check=check)
    after = stat_line(device, "/etc/fstab")
    for kept in (r"Mode:\s+0640", r"User:\s+100123\s+Group:\s+200456", "user.note", "Links: 1"):
        assert re.search(kept, after), after
    old, new = times_of(before), times_of(after)
    assert new["mtime"] == new["ctime"] == LATER
    assert new["atime"] == old["atime"]
    assert new.get("crtime") == old.get("crtime")
    assert _version(after) == _version(before) + 1


def _version(stat: str) -> int:
    found = re.search(r"Version: 0x([0-9a-f]+)(?::([0-9a-f]+))?", stat)
    assert found is not None
    high, low = (found[1], found[2]) if found[2] else ("0", found[1])
    return int(high, 16) << 32 | int(low, 16)


@pytest.mark.parametrize("options", ["-t ext4 -b 1024", "-t ext4 -b 1024 -O inline_data", "-t ext3 -b 1024 -I 256"])
def test_metadata_of_what_is_new(options: str) -> None:
    device = ext_device(options)
    edited(device, populate)
    device = changed_by_debugfs(device, "sif /etc uid 7", "sif /etc gid 8", "sif /etc mode 042755")

    def edit(fs: ExtFileSystem) -> None:
        fs.write("/etc/new", b"new")
        fs.mkdir("/etc/dir")
        fs.symlink("target", "/etc/link")

    edited(device, edit, now=LATER)
    for path, mode in (("/etc/new", "0644"), ("/etc/dir", "02755"), ("/etc/link", "0777")):
        stat = stat_line(device, path)
        assert re.search(rf"Mode:\s+{mode}", stat), stat
        assert re.search(r"User:\s+7\s+Group:\s+8\b", stat), stat
        assert set(times_of(stat).values()) == {LATER}, stat
        assert "Size of extra inode fields: 32" in stat
    assert times_of(stat_line(device, "/etc"))["mtime"] == LATER
    assert "Links: 4" in stat_line(device, "/etc")


@pytest.mark.parametrize("now", [0, 1, (1 << 31) + 5, (1 << 32) + 5, (1 << 33) - 1])
def test_times_beyond_32_bits(now: int) -> None:
    device = ext_device("-t ext4 -b 1024")
    edited(device, lambda fs: fs.write("/file", b"data"), now=now)
    with open_ext(device, writable=False, now=0) as fs:
        assert fs.stat("/file").mtime == now
    edited(device, lambda fs: fs.remove("/file"), now=now)


@pytest.mark.parametrize("options", EXT_FEATURES)
def test_same_input_same_bytes(options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = ext_device(options), ext_device(options)
    edited(first, populate)
    monkeypatch.setenv("E2FSPROGS_FAKE_TIME", "12345")
    edited(second, populate)
    assert contents(first) == contents(second)


def test_a_file_that_keeps_its_blocks_changes_little() -> None:
    device = ext_device("-t ext4 -b 1024")
    edited(device, populate)
    before = contents(device)
    edited(device, lambda fs: fs.write("/etc/default/grub", b"GRUB_TIMEOUT=9\n"), now=LATER)
    after = contents(device)
    blocks = {at // 1024 for at in range(len(before)) if before[at] != after[at]}
    # The data, the inode, and the superblock with its time of writing; no bitmap and no descriptor.
    assert len(blocks) == 3
    assert 1 in blocks


def test_nothing_but_the_tail_is_left_of_longer_contents() -> None:
    device = ext_device("-t ext4 -b 1024")
    edited(device, lambda fs: fs.write("/file", b"s" * 1000))
    edited(device, lambda fs: fs.write("/file", b"x" * 10))
    assert b"sss" not in contents(device)


def test_hard_links() -> None:
    device = ext_device("-t ext4 -b 1024")
    edited(device, populate)
    device = changed_by_debugfs(device, "ln /etc/fstab /etc/second", "sif /etc/fstab links_count 2")
    assert_ext_clean(device)
    edited(device, lambda fs: fs.write("/etc/second", b"both"), now=LATER)
    assert device_tree(device)["/etc/fstab"] == b"both"
    edited(device, lambda fs: fs.remove("/etc/fstab"), now=LATER)
    assert device_tree(device)["/etc/second"] == b"both"
    edited(device, lambda fs: fs.remove("/etc/second"), now=LATER)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ("-t ext4 -b 1024", 2000),
        ("-t ext3 -b 1024", 2000),
        ("-t ext4 -b 1024 -O large_dir", 2000),
        ("-t ext4 -b 65536", 900),
    ],
)
def test_directory_with_an_index(options: str, count: int, tmp_path: Path) -> None:
    """Names enough for an index with two levels where blocks are small; then a third of them go again."""
    names = [f"/many/{number:05}-{'n' * 90}" for number in range(count)]
    (tmp_path / "tree" / "many").mkdir(parents=True)
    for name in names[: count * 4 // 5]:
        (tmp_path / "tree" / name[1:]).touch()
    image = tmp_path / "image"
    image.touch()
    oracle.run("truncate", "-s", "64M", image)
    oracle.run("mke2fs", "-q", "-F", *options.split(), "-d", tmp_path / "tree", image)
    # e2fsck -D makes the index: libext2fs keeps one up to date, but never begins one.
    oracle.run("e2fsck", "-fyD", image, check=False)
    device = MemoryDevice(image.read_bytes())
    assert _flags(stat_line(device, "/many")) & InodeFlag.INDEX

    def edit(fs: ExtFileSystem) -> None:
        for name in names[count * 4 // 5 :]:
            fs.write(name, b"")
        for name in names[::3]:
            fs.remove(name)

    edited(device, edit)
    assert _flags(stat_line(device, "/many")) & InodeFlag.INDEX
    assert set(device_tree(device)) == {"/many"} | set(names) - set(names[::3])


def _flags(stat: str) -> int:
    found = re.search(r"Flags: 0x([0-9a-f]+)", stat)
    assert found is not None
    return int(found[1], 16)


def test_selinux_label_of_a_sibling() -> None:
    device = ext_device("-t ext4 -b 1024")

    def label(fs: ExtFileSystem) -> None:
        populate(fs)
        fs.set_xattr("/etc", "security.selinux", b"directory label\0")
        fs.set_xattr("/etc/fstab", "security.selinux", LABEL)
        fs.set_xattr("/etc/default", "security.selinux", b"sub label\0")

    edited(device, label)

    def edit(fs: ExtFileSystem) -> None:
        fs.write("/etc/new", b"new")
        fs.write("/etc/fstab", b"kept")
        fs.mkdir("/etc/newdir")
        fs.symlink("new", "/etc/newlink")
        fs.write("/unlabelled", b"")

    edited(device, edit, now=LATER)
    with open_ext(device, writable=False, now=NOW) as fs:
        assert fs.get_xattr("/etc/new", "security.selinux") == LABEL
        assert fs.get_xattr("/etc/fstab", "security.selinux") == LABEL
        assert fs.get_xattr("/etc/newdir", "security.selinux") == b"sub label\0"
        assert fs.get_xattr("/etc/newlink", "security.selinux") == b"directory label\0"
        assert fs.list_xattrs("/unlabelled") == []
    assert 'security.selinux (27) = "system_u:object_r:etc_t:s0\\000"' in debugfs(device, "ea_list /etc/new")


@pytest.mark.parametrize("options", ["-t ext4 -b 1024", "-t ext2 -b 1024 -I 128", "-t ext4 -b 4096 -O ea_inode"])
def test_extended_attributes(options: str) -> None:
    device = ext_device(options)
    values = {"user.small": b"v", "user.medium": b"m" * 200, "trusted.empty": b"", "user.binary": bytes(range(256))}
    if "ea_inode" in options:
        values["user.large"] = b"L" * 20_000

    def edit(fs: ExtFileSystem) -> None:
        fs.write("/file", b"data")
        for name, value in values.items():
            fs.set_xattr("/file", name, b"first")
            fs.set_xattr("/file", name, value)

    edited(device, edit)
    with open_ext(device, writable=False, now=NOW) as fs:
        assert fs.list_xattrs("/file") == sorted(values)
        assert {name: fs.get_xattr("/file", name) for name in values} == values
        assert fs.get_xattr("/file", "user.none") is None
    assert all(name in debugfs(device, "ea_list /file") for name in values)
    edited(device, lambda fs: fs.write("/file", b"y" * 5000))
    free = _free_counts(ext_device(options))
    edited(device, lambda fs: fs.remove("/file"))
    assert _free_counts(device) == free


def test_file_in_the_very_last_block() -> None:
    """ext2fs_punch refuses a range that ends there, so that nothing may depend on it."""
    options, last = "-t ext4 -b 1024 -O ^has_journal", 1023
    free = int(_free_counts(ext_device(options, "1M"))[0])
    device = ext_device(options, "1M")
    edited(device, lambda fs: fs.write("/file", b"x" * 1024 * free))
    assert re.search(rf"{last}\t\d+", debugfs(device, f"icheck {last}"))
    edited(device, lambda fs: fs.write("/file", b"short"), now=LATER)
    assert int(_free_counts(device)[0]) == free - 1
    edited(device, lambda fs: fs.remove("/file"), now=LATER)


def test_closing_without_flushing_leaves_the_bitmaps_alone() -> None:
    device = ext_device("-t ext4 -b 1024")
    free = _free_counts(device)
    with open_ext(device, writable=True, now=NOW) as fs:
        fs.write("/file", b"x" * 5000)
    assert _free_counts(device) == free


def test_several_flushes() -> None:
    device = ext_device("-t ext4 -b 1024")
    with open_ext(device, writable=True, now=NOW) as fs:
        for number in range(5):
            fs.write(f"/{number}", b"x" * number * 3000)
            fs.flush()
            assert_ext_clean(device)


def test_what_was_there_before_is_edited_after_a_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of what is touched has to know that a flush changed bitmaps and their checksums."""
    monkeypatch.setattr("imgkit.filesystem.ext.filesystem._needs_full_check", lambda _superblock: False)
    device = ext_device("-t ext4 -b 1024")
    edited(device, lambda fs: [fs.write(f"/{name}", b"before") for name in "abc"])  # type: ignore[func-returns-value]
    with open_ext(device, writable=True, now=NOW) as fs:
        fs.write("/new", b"n" * 10_000)
        fs.flush()
        fs.write("/a", b"a" * 20_000)
        fs.flush()
        fs.remove("/b")
        fs.flush()
    assert_ext_clean(device)
    assert device_tree(device) == {"/a": b"a" * 20_000, "/c": b"before", "/new": b"n" * 10_000}
