"""Mutated images that an oracle judges: what is edited without an error may not be worse than it was.

Bytes are changed where something is, mostly with checksums made right again. Whatever is edited is given to the
format's own checker, if that found nothing to complain of before: clean to broken is a finding. Asking the checkers
takes most of the time, so that they see a sample.
"""

from __future__ import annotations

import functools
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from imgkit.errors import ImgkitError
from imgkit.filesystem.ext.filesystem import open_ext
from imgkit.filesystem.fat.filesystem import open_fat
from imgkit.formats.image import Format, open_image
from imgkit.partition.table import read_table
from tests.filesystem.images import NOW, fsck_ext, fsck_fat
from tests.hardening import seedimages
from tests.hardening.changes import mutated, somewhere
from tests.hardening.checksums import fix_ext, fix_gpt
from tests.hardening.walk import read_all
from tests.iso import images as isos
from tests.support import oracle
from tests.support.memorydevice import MemoryDevice

_JUDGED = 0.4
_EXT = (
    "-t ext4 -b 1024",
    "-t ext2 -b 1024",
    "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg",
    "-t ext4 -b 1024 -O inline_data",
)
_ext_seed = functools.cache(seedimages.ext)
_fat_seed = functools.cache(seedimages.fat)


def _made(make: Callable[..., bytes], *arguments: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return make(Path(folder), *arguments)


_seed = functools.cache(_made)


def _ext(noise: random.Random) -> str:
    seed = _ext_seed(noise.choice(_EXT))
    data = mutated(seed, noise, somewhere(seed, noise))
    if noise.random() < 0.8:
        fix_ext(data)
    device, is_judged = MemoryDevice(data), noise.random() < _JUDGED
    try:
        with open_ext(device, writable=True, now=NOW) as file_system:
            read_all(file_system)
            was_clean = is_judged and fsck_ext(device)[0] == 0
            file_system.write("/etc/new", b"x" * noise.choice((1, 5000)))
            file_system.write("/etc/namenamenamenamename3", b"y" * 9000)
            file_system.remove("/etc/namenamenamenamename5")
            file_system.flush()
    except ImgkitError:
        return ""
    status, told = fsck_ext(device) if was_clean else (0, "")
    return f"clean to broken: {told[-300:]}" if status else ""


def _fat(noise: random.Random) -> str:
    seed = _fat_seed()
    device = MemoryDevice(mutated(seed, noise, somewhere(seed, noise)))
    is_judged = noise.random() < _JUDGED
    try:
        with open_fat(device, writable=True, now=NOW) as file_system:
            read_all(file_system)
            was_clean = is_judged and fsck_fat(device)[0] == 0
            file_system.write("/EFI/new.cfg", b"x" * 5000)
            file_system.write("/EFI/a long name 3.cfg", b"y" * 9000)
            file_system.flush()
    except ImgkitError:
        return ""
    status, told = fsck_fat(device) if was_clean else (0, "")
    return f"clean to broken: {told[-300:]}" if status else ""


def _partitions(noise: random.Random) -> str:
    seed = _seed(seedimages.table, noise.choice(("dos", "gpt")))
    data = mutated(seed, noise, somewhere(seed, noise))
    if noise.random() < 0.8:
        fix_gpt(data)
    table = read_table(MemoryDevice(data))
    wrong = [partition for partition in table.partitions if not 0 <= partition.where.start <= partition.where.stop]
    return f"not a range: {wrong}" if wrong else ""


def _qcow2(noise: random.Random) -> str:
    seed = _seed(seedimages.qcow2)
    tables = noise.random() < 0.9
    where = (lambda: noise.randrange(320 << 10) & ~7) if tables else somewhere(seed, noise)
    data = mutated(seed, noise, where if noise.random() < 0.5 else lambda: noise.randrange(112))
    is_judged = noise.random() < _JUDGED
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "disk.qcow2"
        image.write_bytes(data)
        with open_image(image, image_format=Format.QCOW2) as opened:
            opened.disk.read_at(0, min(opened.disk.size, 1 << 20))
            opened.disk.write_at(min(5000, max(opened.disk.size - 10, 0)), b"edited"[: opened.disk.size])
            plan = opened.plan()
        if not is_judged or oracle.run("qemu-img", "check", image, check=False).returncode:
            return ""
        with image.open("r+b") as file:
            file.truncate(plan.size_after)
            for patch in plan.patches:
                file.seek(patch.offset)
                file.write(patch.after)
        checked = oracle.run("qemu-img", "check", image, check=False)
        return f"clean to broken: {checked.stdout[-300:]}" if checked.returncode else ""


def _iso(noise: random.Random) -> str:
    seed = _seed(seedimages.iso, noise.choice(("plain", "joliet", "genisoimage")))
    data = mutated(seed, noise, lambda: noise.randrange(16 * 2048, min(len(seed), 80 * 2048)))
    read_all(isos.open_tree(bytes(data)))
    return ""


KINDS: dict[str, Callable[[random.Random], str]] = {
    "ext": _ext,
    "fat": _fat,
    "partitions": _partitions,
    "qcow2": _qcow2,
    "iso": _iso,
}
