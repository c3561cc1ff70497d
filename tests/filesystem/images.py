"""File systems made by the reference tools, and those tools as oracles of what a block device holds afterwards."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from imgkit.filesystem.base import Check
from imgkit.filesystem.ext.filesystem import ExtFileSystem, open_ext
from imgkit.storage.device import check_bounds
from tests.support import oracle
from tests.support.memorydevice import MemoryDevice

NOW = 1_700_000_001
_CHUNK = 1 << 20
TREE = dict[str, bytes | str | None]
"""Path → contents of a file, target of a link, or None for a directory."""

EXT_FEATURES = (
    "-t ext2 -b 1024",
    "-t ext2 -b 4096 -I 128",
    "-t ext3 -b 1024",
    "-t ext4 -b 1024",
    "-t ext4 -b 2048 -I 512",
    "-t ext4 -b 4096",
    "-t ext4 -b 4096 -O inline_data",
    "-t ext4 -b 1024 -O inline_data",
    "-t ext4 -b 4096 -O ea_inode",
    "-t ext4 -b 1024 -O bigalloc",
    "-t ext4 -b 4096 -O bigalloc,inline_data,meta_bg,^resize_inode",
    "-t ext4 -b 1024 -O ^metadata_csum,^64bit,uninit_bg",
    "-t ext4 -b 1024 -O ^has_journal,sparse_super2,metadata_csum_seed",
    "-t ext4 -b 1024 -O large_dir,mmp -E lazy_itable_init=1,lazy_journal_init=1",
    "-t ext4 -b 65536",
)
"""Options of mke2fs that cover what libext2fs edits in different ways."""

FAT_FORMATS = (
    ("-F 12", "3M"),
    ("-F 16", "20M"),
    ("-F 16 -S 2048 -s 2", "64M"),
    ("-F 32 -s 1", "70M"),
    ("-F 32 -S 4096 -s 1", "300M"),
)
"""Options of mkfs.vfat, and sizes."""


class FileDevice:
    """A block device over a file of the host, for images that are larger than memory."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR)
        self.size = os.fstat(self._file).st_size

    def read_at(self, offset: int, length: int, /) -> bytes:
        check_bounds(self, offset, length)
        return os.pread(self._file, length, offset)

    def write_at(self, offset: int, data: bytes, /) -> None:
        check_bounds(self, offset, len(data))
        os.pwrite(self._file, data, offset)

    def close(self) -> None:
        os.close(self._file)


@functools.cache
def ext_bytes(options: str, size: str = "") -> bytes:
    """An empty file system made by mke2fs."""
    with _scratch(size or ("64M" if "65536" in options else "8M")) as image:
        oracle.run("mke2fs", "-q", "-F", *options.split(), image)
        return image.read_bytes()


@functools.cache
def fat_bytes(options: str, size: str, label: str = "IMGKIT") -> bytes:
    """An empty volume made by mkfs.vfat."""
    with _scratch(size) as image:
        oracle.run("mkfs.vfat", "-n", label, *options.split(), image)
        return image.read_bytes()


def ext_device(options: str, size: str = "") -> MemoryDevice:
    """A block device with an empty file system."""
    return MemoryDevice(ext_bytes(options, size))


def fat_device(options: str, size: str) -> MemoryDevice:
    """A block device with an empty volume."""
    return MemoryDevice(fat_bytes(options, size))


def contents(device: MemoryDevice) -> bytes:
    """All bytes of a device."""
    return device.read_at(0, device.size)


def fsck_ext(device: MemoryDevice) -> tuple[int, str]:
    """Exit status and output of a forced, read-only e2fsck."""
    with _dumped(device) as image:
        done = oracle.run("e2fsck", "-fn", image, check=False)
        return done.returncode, done.stdout + done.stderr


def assert_ext_clean(device: MemoryDevice) -> None:
    """e2fsck finds nothing to complain of."""
    status, output = fsck_ext(device)
    assert status == 0, output


def debugfs(device: MemoryDevice, *commands: str) -> str:
    """Output of read-only debugfs commands."""
    with _dumped(device) as image:
        done = oracle.run("debugfs", "-f", "-", image, text_in="\n".join(commands) + "\n")
        return done.stdout


def changed_by_debugfs(device: MemoryDevice, *commands: str) -> MemoryDevice:
    """A copy of the device after debugfs has changed it."""
    with _dumped(device) as image:
        oracle.run("debugfs", "-w", "-f", "-", image, text_in="\n".join(commands) + "\n")
        return MemoryDevice(image.read_bytes())


def ext_tree(image: Path) -> TREE:
    """All files, links and directories of an image as debugfs reads them, without lost+found."""
    with tempfile.TemporaryDirectory() as folder:
        oracle.run("debugfs", "-R", f"rdump / {folder}", image)
        tree = host_tree(Path(folder))
    tree.pop("/lost+found", None)
    return tree


def device_tree(device: MemoryDevice) -> TREE:
    """The same of a device."""
    with _dumped(device) as image:
        return ext_tree(image)


def fsck_fat(device: MemoryDevice) -> tuple[int, str]:
    """Exit status and output of a read-only fsck.vfat."""
    with _dumped(device) as image:
        done = oracle.run("fsck.vfat", "-n", image, check=False)
        return done.returncode, done.stdout + done.stderr


def assert_fat_clean(device: MemoryDevice) -> None:
    """fsck.vfat finds nothing to complain of."""
    status, output = fsck_fat(device)
    assert status == 0, output


def mtools(device: MemoryDevice, tool: str, *arguments: str) -> str:
    """Output of an mtools command, times in UTC."""
    with _dumped(device) as image:
        return oracle.run("env", "TZ=UTC", "LC_ALL=C.UTF-8", oracle.find(tool), "-i", image, *arguments).stdout


def mtools_changed(device: MemoryDevice, tool: str, *arguments: str | Path) -> MemoryDevice:
    """A copy of the device after an mtools command."""
    with _dumped(device) as image:
        oracle.run("env", "TZ=UTC", "LC_ALL=C.UTF-8", oracle.find(tool), "-i", image, *arguments)
        return MemoryDevice(image.read_bytes())


def fat_tree(device: MemoryDevice) -> TREE:
    """All files and directories as mtools reads them."""
    with _dumped(device) as image, tempfile.TemporaryDirectory() as folder:
        copy = (oracle.find("mcopy"), "-s", "-n", "-Q", "-i", image, "::/*", folder)
        oracle.run("env", "LC_ALL=C.UTF-8", *copy, check=False)  # an empty volume is an error to mcopy
        return host_tree(Path(folder))


def host_tree(folder: Path) -> TREE:
    """A folder of the host in the same form."""
    tree: TREE = {}
    for parent, folders, files in os.walk(folder):  # early 3.11's Path.rglob fails at links with a long target
        for path in (Path(parent, name) for name in (*folders, *files)):
            name = "/" + str(path.relative_to(folder))
            if path.is_symlink():
                tree[name] = str(path.readlink())
            else:
                tree[name] = None if path.is_dir() else path.read_bytes()
    return tree


class _scratch:  # noqa: N801  used like a function
    """A sparse file of a size that is removed afterwards."""

    def __init__(self, size: str) -> None:
        self._size = size

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory()
        image = Path(self._folder.name) / "image"
        with image.open("wb") as file:
            file.truncate(int(self._size[:-1]) << {"K": 10, "M": 20, "G": 30, "T": 40}[self._size[-1]])
        return image

    def __exit__(self, *exc_info: object) -> None:
        self._folder.cleanup()


class _dumped:  # noqa: N801  used like a function
    """A device as a file of the host that is removed afterwards."""

    def __init__(self, device: MemoryDevice) -> None:
        self._device = device

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory()
        image = Path(self._folder.name) / "image"
        with image.open("wb") as file:
            file.truncate(self._device.size)
            for offset in range(0, self._device.size, _CHUNK):
                data = self._device.read_at(offset, min(_CHUNK, self._device.size - offset))
                if data.count(0) != len(data):  # what is empty stays a hole
                    file.seek(offset)
                    file.write(data)
        return image

    def __exit__(self, *exc_info: object) -> None:
        self._folder.cleanup()


def edited(
    device: MemoryDevice, edit: Callable[[ExtFileSystem], None], *, now: int = NOW, check: Check = Check.AUTO
) -> None:
    """Edit a device, complete the edits, and let e2fsck and our own full check look at the result."""
    with open_ext(device, writable=True, now=now, check=check) as fs:
        edit(fs)
        fs.flush()
    assert_ext_clean(device)
    open_ext(device, writable=False, now=now, check=Check.FULL).close()


def populate(fs: ExtFileSystem) -> None:
    """Make a few files of every sort."""
    fs.mkdir("/etc")
    fs.mkdir("/etc/default")
    fs.write("/etc/default/grub", b"GRUB_TIMEOUT=5\n")
    fs.write("/etc/fstab", b"UUID=... / ext4\n" * 400)
    fs.write("/etc/empty", b"")
    fs.symlink("default/grub", "/etc/fast")
    fs.symlink("long/" * 30, "/etc/slow")
