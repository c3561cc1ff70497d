"""Persistent dirty bitmaps: who writes without keeping them right gives their clusters back.

They are read for that alone. Specification: docs/interop/qcow2.txt in QEMU's source, "Bitmaps extension" and "Bitmaps".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from imgkit.errors import FormatError
from imgkit.formats.qcow2 import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.formats.qcow2.refcount import Refcounts
    from imgkit.storage.overlay import Overlay

_EXTENSION = struct.Struct(">IIQQ")  # number of bitmaps, reserved, size of the directory, its offset
_ENTRY = struct.Struct(
    ">QIIBBHI"
)  # table's offset, its entries, flags, type, granularity, sizes of name and extra data
# QEMU's own bounds (block/qcow2-bitmap.c).
_MOST_BITMAPS = 65535
_LARGEST_DIRECTORY = 64 << 20
_LARGEST_TABLE = 128 << 20


def release(device: Overlay, refcounts: Refcounts, extension: bytes, cluster_size: int) -> None:
    """Give back all clusters of the bitmaps that the header's extension names. FormatError where it is damaged."""
    if len(extension) < _EXTENSION.size:
        raise _error("is too short", 0)
    count, _, size, offset = _EXTENSION.unpack_from(extension)
    if count > _MOST_BITMAPS or size > _LARGEST_DIRECTORY or offset % cluster_size:
        raise _error(f"names a directory of {count:,} bitmaps at {offset:,}", 0)
    directory = device.read_at(offset, size)
    # All is read before anything is given back.
    runs = [(offset, size), *_tables(device, directory, count, cluster_size)]
    for start, length in runs:
        for cluster in range(start // cluster_size, -(-(start + length) // cluster_size)):
            refcounts.release(cluster)


def _tables(device: Overlay, directory: bytes, count: int, cluster_size: int) -> Iterator[tuple[int, int]]:
    """Where the tables of the bitmaps lie, and the clusters that these name, as (offset, length) in bytes."""
    position = 0
    for _ in range(count):
        if position + _ENTRY.size > len(directory):
            raise _error("has fewer bitmaps in its directory than it says", position)
        table, entries, _, _, _, name, extra = _ENTRY.unpack_from(directory, position)
        if entries * 8 > _LARGEST_TABLE or table % cluster_size:
            raise _error(f"names a table of {entries:,} entries at {table:,}", position)
        yield table, entries * 8
        for (entry,) in struct.iter_unpack(">Q", device.read_at(table, entries * 8)):
            if entry & layout.OFFSET_MASK:
                yield entry & layout.OFFSET_MASK, cluster_size
        position += -(-(_ENTRY.size + name + extra) // 8) * 8


def _error(what: str, position: int) -> FormatError:
    return FormatError(
        f"the extension for persistent bitmaps {what}",
        structure="qcow2 bitmap directory",
        offset=position,
        hint="Remove the bitmaps first: `qemu-img bitmap --remove IMAGE NAME`.",
    )
