"""Images with damage, made in memory, and how they have to be refused."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from imgkit.errors import FormatError, ImgkitError
from imgkit.iso.tree import IsoTree
from tests.iso import images

SECTOR = 2048
_PATIENCE = 20.0
_MEMORY = 64 << 20


@contextmanager
def bounded() -> Iterator[None]:
    """Little memory beside the image itself, and no more than a few seconds."""
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < _MEMORY
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < _PATIENCE


@cache
def made(name: str) -> bytes:
    with TemporaryDirectory() as folder:
        return images.load(name, Path(folder)).read_bytes()


def patched(name: str, *patches: tuple[int, bytes]) -> bytes:
    data = bytearray(made(name))
    for position, piece in patches:
        data[position : position + len(piece)] = piece
    return bytes(data)


def record_of(name: str, path: str) -> int:
    """Position of the directory record of a file."""
    node = images.open_tree(made(name))._resolve(path).node
    assert node is not None
    return node.records[0].position


def assert_refused(data: bytes, match: str | None, use: Callable[[IsoTree], object]) -> ImgkitError:
    with bounded(), pytest.raises(FormatError, match=match) as caught:
        use(images.open_tree(data))
    assert caught.value.hint
    return caught.value
