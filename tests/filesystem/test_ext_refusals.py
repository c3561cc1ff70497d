"""What ext2, ext3 and ext4 refuse: each edit that cannot be is an error of its own, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgkit.errors import EngineError, OutputError, TreeError, UnsupportedError
from imgkit.filesystem.ext import library
from imgkit.filesystem.ext.filesystem import ExtFileSystem, open_ext
from tests.filesystem.images import NOW, changed_by_debugfs, contents, edited, ext_device, populate
from tests.support.memorydevice import MemoryDevice

if TYPE_CHECKING:
    from collections.abc import Callable

LATER = NOW + 1000


def test_full_file_system() -> None:
    device = ext_device("-t ext4 -b 1024 -O ^has_journal", "2M")
    with open_ext(device, writable=True, now=NOW) as fs, pytest.raises(OutputError, match="no free blocks") as caught:
        fs.write("/big", bytes(3 << 20))
    assert caught.value.hint

    device = ext_device("-t ext4 -b 1024 -N 16", "2M")
    with open_ext(device, writable=True, now=NOW) as fs, pytest.raises(OutputError, match="no free inodes"):
        for number in range(20):
            fs.write(f"/{number}", b"")


def test_protected_files() -> None:
    device = ext_device("-t ext4 -b 1024 -O verity")
    edited(device, populate)
    device = changed_by_debugfs(
        device, "sif /etc/fstab flags 0x80010", "sif /etc/empty flags 0x80020", "sif /etc/default/grub flags 0x180000"
    )
    before = contents(device)
    with open_ext(device, writable=True, now=LATER) as fs:
        for path, why in (("/etc/fstab", "immutable"), ("/etc/empty", "append-only"), ("/etc/default/grub", "verity")):
            with pytest.raises(TreeError, match=why):
                fs.write(path, b"changed")
            with pytest.raises(TreeError, match=why):
                fs.remove(path)
        fs.flush()
    assert contents(device) == before


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda fs: fs.write("/etc", b""), "not a regular file"),
        (lambda fs: fs.write("/etc/fast", b""), "not a regular file"),
        (lambda fs: fs.write("/etc/" + "n" * 256, b""), "at most 255"),
        (lambda fs: fs.write("/no/such/directory", b""), "no such file"),
        (lambda fs: fs.mkdir("/etc"), "exists already"),
        (lambda fs: fs.mkdir("/"), "exists already"),
        (lambda fs: fs.symlink("", "/link"), "cannot have this target"),
        (lambda fs: fs.symlink("x" * 1024, "/link"), "cannot have this target"),
        (lambda fs: fs.symlink("x", "/etc/fstab"), "exists already"),
        (lambda fs: fs.remove("/"), "cannot be removed"),
        (lambda fs: fs.remove("/etc"), "not empty"),
        (lambda fs: fs.remove("/nothing"), "no such file"),
        (lambda fs: fs.write("/nul\0", b""), "not a resolved"),
    ],
)
def test_impossible_edits(call: Callable[[ExtFileSystem], None], why: str) -> None:
    device = ext_device("-t ext4 -b 1024")
    edited(device, populate)
    before = contents(device)
    with open_ext(device, writable=True, now=LATER) as fs:
        with pytest.raises(TreeError, match=why):
            call(fs)
        fs.flush()
    assert contents(device) == before


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_SONAME", "libext2fs-of-another-world.so.9")
    library.load.cache_clear()
    try:
        with pytest.raises(EngineError, match="libext2fs") as caught:
            open_ext(ext_device("-t ext4 -b 1024"), writable=False, now=NOW)
        assert "libext2fs2" in (caught.value.hint or "")
    finally:
        library.load.cache_clear()


@pytest.mark.parametrize("feature", ["casefold", "quota", "encrypt"])
def test_features_that_are_only_read(feature: str) -> None:
    device = ext_device(f"-t ext4 -b 1024 -O {feature}")
    with open_ext(device, writable=False, now=NOW) as fs:
        assert fs.listdir("/") == ["lost+found"]
    with pytest.raises(UnsupportedError, match=feature) as caught:
        open_ext(device, writable=True, now=NOW)
    assert "--engine guestfs" in (caught.value.hint or "")


class _FailingDevice(MemoryDevice):
    """A block device that breaks at its nth write."""

    __slots__ = ("_left",)

    def fail_after(self, writes: int) -> None:
        self._left = writes

    def write_at(self, offset: int, data: bytes, /) -> None:
        self._left -= 1
        if self._left < 0:
            raise OutputError("the device is broken")
        super().write_at(offset, data)


def test_a_failure_below_the_library_comes_out_as_itself() -> None:
    for writes in range(12):
        device = _FailingDevice(contents(ext_device("-t ext4 -b 1024")))
        device.fail_after(writes)
        with open_ext(device, writable=True, now=NOW) as fs, pytest.raises(OutputError, match="broken"):
            fs.write("/file", b"x" * 5000)
            fs.flush()
            raise AssertionError(f"all went well with {writes} writes")
