"""Small, well-formed images made by the reference tools, as bytes: what mutation and fuzzing begin with."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.filesystem.ext.filesystem import open_ext
from imgkit.filesystem.fat.filesystem import open_fat
from tests.filesystem.images import NOW, ext_bytes, fat_bytes
from tests.iso import images as isos
from tests.support import disks, oracle
from tests.support.ext_journal import with_log
from tests.support.lvm import Lvm
from tests.support.memorydevice import MemoryDevice

if TYPE_CHECKING:
    from pathlib import Path


def ext(options: str = "-t ext4 -b 1024") -> bytes:
    """A file system with files and directories in it."""
    device = MemoryDevice(ext_bytes(options, "2M"))
    with open_ext(device, writable=True, now=NOW) as file_system:
        file_system.mkdir("/etc")
        for number in range(12):
            file_system.write(f"/etc/{'name' * 5}{number}", b"text\n" * (number * 300))
        file_system.symlink("etc/" + "x" * 70, "/link")
        file_system.flush()
    return device.read_at(0, device.size)


def _ext_with_log(folder: Path) -> bytes:
    before = ext("-t ext4 -b 1024 -O has_journal")
    device = MemoryDevice(before)
    with open_ext(device, writable=True, now=NOW) as file_system:
        file_system.write("/etc/new", b"new\n")
        file_system.flush()
    return with_log(folder / "image", (before, device.read_at(0, device.size)), 1024, version=0, revoked=(700,))


def fat() -> bytes:
    """A volume with long names in a directory."""
    device = MemoryDevice(fat_bytes("-F 12", "3M"))
    with open_fat(device, writable=True, now=NOW) as file_system:
        file_system.mkdir("/EFI")
        for number in range(8):
            file_system.write(f"/EFI/a long name {number}.cfg", b"text\n" * (number * 500))
        file_system.flush()
    return device.read_at(0, device.size)


def table(folder: Path, label: str) -> bytes:
    """A disk of 2 MiB with two partitions."""
    image = folder / "disk"
    oracle.run("truncate", "-s", "2M", image)
    script = f"label: {label}\nsize=512K\nsize=256K{', type=5' if label == 'dos' else ''}\n"
    oracle.run("sfdisk", "-q", image, text_in=script)
    return image.read_bytes()


def qcow2(folder: Path) -> bytes:
    """An image of 1 MiB."""
    return disks.make_qcow2(folder, disks.contents()[: 1 << 20]).read_bytes()


def iso(folder: Path, name: str) -> bytes:
    """One of the small ISO images."""
    return isos.load(name, folder).read_bytes()


def _lvm2(folder: Path) -> bytes:
    lvm = Lvm(folder)
    path = lvm.file("pv1", 4)
    lvm.create("vg", path, options=("--physicalextentsize", "512k"))
    lvm.volume("vg", "root", "-l", "3")
    return path.read_bytes()


MADE = {
    "dos": partial(table, label="dos"),
    "gpt": partial(table, label="gpt"),
    "lvm2": _lvm2,
    "ext4": lambda _folder: ext(),
    "ext4 with a log": _ext_with_log,
    "fat": lambda _folder: fat(),
    "qcow2": qcow2,
    "iso": partial(iso, name="joliet"),
}
