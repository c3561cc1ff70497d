"""Mutated images and settings: refused or served, never a crash, a hang, or a file system that is worse than before.

Bytes are changed where something is, mostly to values that mean something, and mostly with checksums made right again,
so that what stands behind them is reached. Whatever is edited without an error is given to the format's own checker,
if that found nothing to complain of before: clean to broken is a finding, as are foreign exceptions and excesses.
"""

from __future__ import annotations

import functools
import random
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from imgkit.errors import ConfigError, ImgkitError
from imgkit.filesystem.ext.filesystem import open_ext
from imgkit.filesystem.ext.library import load
from imgkit.filesystem.fat.filesystem import open_fat
from imgkit.formats.image import Format, open_image
from imgkit.partition.table import read_table
from tests.filesystem.images import NOW, ext_bytes, fat_bytes, fsck_ext, fsck_fat
from tests.hardening import mutatetext
from tests.hardening.runner import Budget, Figures
from tests.iso import images as isos
from tests.support import disks, oracle
from tests.support.memorydevice import MemoryDevice

_LONGEST = 10.0  # seconds of the processor for one case: five times what it may take, for slow machines
_INTERESTING = (0, 1, 2, 3, 4, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x400, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_EXT = (
    "-t ext4 -b 1024",
    "-t ext2 -b 1024",
    "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg",
    "-t ext4 -b 1024 -O inline_data",
)


def attack(budget: Budget) -> Figures:
    """Mutate until the budget is used up, one kind after the other."""
    figures = Figures()
    kinds = {"ext": _ext, "fat": _fat, "partitions": _partitions, "qcow2": _qcow2, "iso": _iso, "settings": _settings}
    while True:
        for kind, case in kinds.items():
            if not budget.wants_more():
                return figures
            figures.cases[kind] += 1
            seed = budget.noise.getrandbits(48)
            started = time.process_time()
            try:
                problem = case(random.Random(seed))
            except Exception as error:  # noqa: BLE001 - what must not come out
                problem = f"{type(error).__name__}: {error}"
            if time.process_time() - started > _LONGEST:
                problem = f"took {time.process_time() - started:.0f} seconds"
            if problem:
                figures.findings.append(f"{kind} {seed}: {problem}")


def mutated(data: bytes, noise: random.Random, where: Callable[[], int]) -> bytearray:
    """`data` with one to four changes at the offsets that `where` gives."""
    changed = bytearray(data)
    for _ in range(noise.randint(1, 4)):
        at = min(where(), len(changed) - 8)
        width = noise.choice((1, 2, 4))
        old = int.from_bytes(changed[at : at + width], "little")
        value = noise.choice(
            (
                noise.choice(_INTERESTING),
                old ^ 1 << noise.randrange(8 * width),
                old + noise.choice((-1, 1)),
                noise.getrandbits(32),
            )
        )
        changed[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, noise.choice(("little", "big")))
    return changed


@functools.cache
def _used(data: bytes) -> list[int]:
    """Offsets of bytes that are not zero."""
    return [at for at, byte in enumerate(data) if byte]


def _somewhere(data: bytes, noise: random.Random) -> Callable[[], int]:
    used = _used(data)
    return lambda: max(noise.choice(used) + noise.choice((-4, -2, 0, 0, 0, 1, 2)), 0)


@functools.cache
def _ext_seed(options: str) -> bytes:
    """A small file system with files and directories in it."""
    device = MemoryDevice(ext_bytes(options, "2M"))
    with open_ext(device, writable=True, now=NOW) as file_system:
        file_system.mkdir("/etc")
        for number in range(12):
            file_system.write(f"/etc/{'name' * 5}{number}", b"text\n" * (number * 300))
        file_system.symlink("etc/" + "x" * 70, "/link")
        file_system.flush()
    return device.read_at(0, device.size)


def _ext(noise: random.Random) -> str:
    seed = _ext_seed(noise.choice(_EXT))
    data = mutated(seed, noise, _somewhere(seed, noise))
    if noise.random() < 0.8:
        _fix_ext(data)
    device = MemoryDevice(data)
    was_clean: bool | None = None
    try:
        with open_ext(device, writable=True, now=NOW) as file_system:
            _read_all(file_system, "/", 0)
            was_clean = fsck_ext(device)[0] == 0
            file_system.write("/etc/new", b"x" * noise.choice((1, 5000)))
            file_system.write("/etc/namenamenamenamename3", b"y" * 9000)
            file_system.remove("/etc/namenamenamenamename5")
            file_system.flush()
    except ImgkitError:
        return ""
    status, told = fsck_ext(device)
    return f"clean to broken: {told[-300:]}" if was_clean and status else ""


def _fix_ext(data: bytearray) -> None:
    """Make the checksums of superblock, group descriptors and inodes right, where there are any."""
    features = int.from_bytes(data[1124:1128], "little")
    if not features & 0x400:  # metadata_csum
        return
    crc = load().crc32c
    superblock = data[1024:2048]
    data[2044:2048] = crc(0xFFFFFFFF, bytes(superblock[:1020])).to_bytes(4, "little")
    seed = crc(0xFFFFFFFF, bytes(superblock[0x68:0x78]))
    block = 1024 << min(int.from_bytes(superblock[24:28], "little"), 6)
    size = int.from_bytes(superblock[0xFE:0x100], "little") or 32
    at = block * (int.from_bytes(superblock[20:24], "little") + 1)
    raw = bytes(data[at : at + 0x1E]) + b"\0\0" + bytes(data[at + 0x20 : at + size])
    data[at + 0x1E : at + 0x20] = (crc(seed, bytes(4) + raw) & 0xFFFF).to_bytes(2, "little")
    table = int.from_bytes(data[at + 8 : at + 12], "little") * block
    inode_size = int.from_bytes(superblock[0x58:0x5A], "little")
    if inode_size not in (128, 256) or table + 64 * inode_size > len(data):
        return
    for number in range(1, 65):
        start = table + (number - 1) * inode_size
        inode = bytearray(data[start : start + inode_size])
        if not any(inode):
            continue
        inode[0x7C:0x7E] = bytes(2)
        has_high = inode_size > 128 and int.from_bytes(inode[0x80:0x82], "little") >= 4
        if has_high:
            inode[0x82:0x84] = bytes(2)
        own = crc(crc(seed, number.to_bytes(4, "little")), bytes(inode[0x64:0x68]))
        checksum = crc(own, bytes(inode))
        data[start + 0x7C : start + 0x7E] = (checksum & 0xFFFF).to_bytes(2, "little")
        if has_high:
            data[start + 0x82 : start + 0x84] = (checksum >> 16).to_bytes(2, "little")


@functools.cache
def _fat_seed() -> bytes:
    device = MemoryDevice(fat_bytes("-F 12", "3M"))
    with open_fat(device, writable=True, now=NOW) as file_system:
        file_system.mkdir("/EFI")
        for number in range(8):
            file_system.write(f"/EFI/a long name {number}.cfg", b"text\n" * (number * 500))
        file_system.flush()
    return device.read_at(0, device.size)


def _fat(noise: random.Random) -> str:
    seed = _fat_seed()
    device = MemoryDevice(mutated(seed, noise, _somewhere(seed, noise)))
    was_clean: bool | None = None
    try:
        with open_fat(device, writable=True, now=NOW) as file_system:
            _read_all(file_system, "/", 0)
            was_clean = fsck_fat(device)[0] == 0
            file_system.write("/EFI/new.cfg", b"x" * 5000)
            file_system.write("/EFI/a long name 3.cfg", b"y" * 9000)
            file_system.flush()
    except ImgkitError:
        return ""
    status, told = fsck_fat(device)
    return f"clean to broken: {told[-300:]}" if was_clean and status else ""


@functools.cache
def _table_seed(label: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "disk"
        oracle.run("truncate", "-s", "2M", image)
        script = f"label: {label}\nsize=512K\nsize=256K{', type=5' if label == 'dos' else ''}\n"
        oracle.run("sfdisk", "-q", image, text_in=script)
        return image.read_bytes()


def _partitions(noise: random.Random) -> str:
    label = noise.choice(("dos", "gpt"))
    seed = _table_seed(label)
    data = mutated(seed, noise, _somewhere(seed, noise))
    if label == "gpt" and noise.random() < 0.8:
        for at in (512, len(data) - 512):
            array = int.from_bytes(data[at + 72 : at + 80], "little") * 512
            length = int.from_bytes(data[at + 80 : at + 84], "little") * int.from_bytes(
                data[at + 84 : at + 88], "little"
            )
            if length < len(data):
                data[at + 88 : at + 92] = zlib.crc32(data[array : array + length]).to_bytes(4, "little")
            data[at + 16 : at + 20] = bytes(4)
            data[at + 16 : at + 20] = zlib.crc32(data[at : at + 92]).to_bytes(4, "little")
    try:
        table = read_table(MemoryDevice(data))
        assert all(partition.where.stop >= partition.where.start for partition in table.partitions)
    except ImgkitError:
        return ""
    return ""


@functools.cache
def _qcow2_seed() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return disks.make_qcow2(Path(folder), disks.contents()[: 1 << 20]).read_bytes()


def _qcow2(noise: random.Random) -> str:
    seed = _qcow2_seed()
    tables = noise.random() < 0.9
    where = (lambda: noise.randrange(320 << 10) & ~7) if tables else _somewhere(seed, noise)
    data = mutated(seed, noise, where if noise.random() < 0.5 else lambda: noise.randrange(112))
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "disk.qcow2"
        image.write_bytes(data)
        try:
            with open_image(image, image_format=Format.QCOW2) as opened:
                opened.disk.read_at(0, min(opened.disk.size, 1 << 20))
                opened.disk.write_at(min(5000, max(opened.disk.size - 10, 0)), b"edited")
                plan = opened.plan()
        except ImgkitError:
            return ""
        if oracle.run("qemu-img", "check", image, check=False).returncode:
            return ""
        with image.open("r+b") as file:
            file.truncate(plan.size_after)
            for patch in plan.patches:
                file.seek(patch.offset)
                file.write(patch.after)
        checked = oracle.run("qemu-img", "check", image, check=False)
        return f"clean to broken: {checked.stdout[-300:]}" if checked.returncode else ""


@functools.cache
def _iso_seed(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return isos.load(name, Path(folder)).read_bytes()


def _iso(noise: random.Random) -> str:
    seed = _iso_seed(noise.choice(("plain", "joliet", "genisoimage")))
    data = mutated(seed, noise, lambda: noise.randrange(16 * 2048, min(len(seed), 80 * 2048)))
    try:
        tree = isos.open_tree(bytes(data))
        _read_all(tree, "/", 0)
    except ImgkitError:
        return ""
    return ""


def _read_all(tree: object, path: str, depth: int) -> None:
    for name in tree.listdir(path)[:50]:  # type: ignore[attr-defined]
        inner = f"{path.rstrip('/')}/{name}"
        kind = tree.stat(inner, follow=False).type  # type: ignore[attr-defined]
        if kind == "directory" and depth < 4:
            _read_all(tree, inner, depth + 1)
        elif kind == "file":
            for _, _chunk in zip(range(8), tree.read_chunks(inner), strict=False):  # type: ignore[attr-defined]
                pass


def _settings(noise: random.Random) -> str:
    try:
        return mutatetext.case(noise)
    except ConfigError:
        return ""
