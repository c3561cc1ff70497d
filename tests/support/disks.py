"""Disks for block-level tests: known contents in every qcow2 dialect, made and read back by qemu-img."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

from tests.support import oracle

_CHUNK = 1 << 20
DISK_SIZE = 3 * 1024 * 1024 + 512 * 5  # not a multiple of any cluster size


def contents(seed: int = 1, size: int = DISK_SIZE) -> bytes:
    """Data, zeros and data again: a third of the disk is holes."""
    noise = random.Random(seed)
    blocks = [noise.randbytes(65536) if index % 3 else bytes(65536) for index in range(-(-size // 65536))]
    return b"".join(blocks)[:size]


def make_qcow2(folder: Path, data: bytes, *options: str, name: str = "disk.qcow2", compress: bool = False) -> Path:
    """A qcow2 image with `data`, made by qemu-img with the given creation options."""
    raw, image = folder / f"{name}.source", folder / name
    raw.write_bytes(data)
    flags = ["-c"] if compress else []
    flags += [word for option in options for word in ("-o", option)]
    oracle.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *flags, raw, image)
    raw.unlink()
    return image


def read_back(image: Path, *options: str) -> bytes:
    """The disk in an image, as QEMU sees it."""
    raw = image.with_suffix(".raw-copy")
    oracle.run("qemu-img", "convert", *options, "-O", "raw", image, raw)
    data = raw.read_bytes()
    raw.unlink()
    return data


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fingerprint(path: Path) -> str:
    """A sum over size and contents, as `sha256` is one, that does not read a sparse image's holes."""
    summed, size = hashlib.sha256(), path.stat().st_size
    summed.update(f"{size}".encode())
    with path.open("rb", buffering=0) as file:
        start = 0
        while start < size:
            try:
                start = os.lseek(file.fileno(), start, os.SEEK_DATA) // _CHUNK * _CHUNK
            except OSError:  # ENXIO: only a hole is left
                break
            file.seek(start)
            chunk = file.read(_CHUNK)
            if chunk.strip(b"\0"):
                summed.update(b"%d:" % start + chunk)
            start += _CHUNK
    return summed.hexdigest()
