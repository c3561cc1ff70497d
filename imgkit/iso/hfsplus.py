"""The HFS+ volume for Macs that grub-mkrescue has xorriso lay over an ISO: its catalogue names the same file data.

The catalogue follows a file that keeps within the HFS+ volume, which is most often its own extent. It does not follow
one that moves out of it, nor files that come and go: that the two differ then is for the caller to tell. Nothing in it
is trusted; a catalogue that cannot be read is not followed.

TN1150, https://developer.apple.com/library/archive/technotes/tn/tn1150.html
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from imgkit.units import MIB, ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.storage.device import BlockDevice, BlockReader

_HEADER, _HEADER_SIZE = 1024, 512
_SIGNATURES = (b"H+", b"HX")
_BLOCKS = struct.Struct(">40xII")  # size and number of allocation blocks
_CATALOG = 272  # where its fork stands in the header
_FORK = struct.Struct(">QII16I")  # length, clump size, blocks, and eight extents of start and number
_LARGEST_CATALOG = 64 * MIB
_NODE_SIZE = struct.Struct(">32xH")  # in the first node: its descriptor, then the header record
_LEAF, _KIND, _COUNT = 0xFF, 8, 10
_FILE, _FORK_IN_FILE = 2, 88


def is_hfs_plus(device: BlockReader, start: int) -> bool:
    """Whether an HFS+ volume begins at a byte position."""
    return start + _HEADER + _HEADER_SIZE <= device.size and device.read_at(start + _HEADER, 2) in _SIGNATURES


def follow(device: BlockDevice, volume_start: int, old: ByteRange, new: ByteRange) -> bool:
    """Have all that names a file's data at its old place name it at the new one. False where that cannot be."""
    header = device.read_at(volume_start + _HEADER, _HEADER_SIZE)
    block_size, blocks = _BLOCKS.unpack_from(header)
    catalog = _extents(header, _CATALOG, volume_start, block_size)
    if block_size < 512 or not catalog or sum(catalog_part.size for catalog_part in catalog) > _LARGEST_CATALOG:  # noqa: PLR2004
        return False
    if any(part.stop > device.size for part in catalog):
        return False
    inside = ByteRange(volume_start, volume_start + blocks * block_size)
    for position in _forks(device, catalog):
        fork = _FORK.unpack(device.read_at(position, _FORK.size))
        if fork[0] != old.size or volume_start + fork[3] * block_size != old.start:
            continue
        if not inside.contains(new) or (new.start - volume_start) % block_size or any(fork[5:]):
            return False
        count = -(-new.size // block_size)
        first = (new.start - volume_start) // block_size if count else 0
        device.write_at(position, _FORK.pack(new.size, fork[1], count, first, count, *fork[5:]))
    return True


def _extents(header: bytes, at: int, volume_start: int, block_size: int) -> list[ByteRange]:
    numbers = _FORK.unpack_from(header, at)[3:]
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    starts = ((volume_start + start * block_size, count * block_size) for start, count in pairs if count)
    return [ByteRange(start, start + size) for start, size in starts]


def _forks(device: BlockReader, catalog: list[ByteRange]) -> Iterator[int]:
    """Byte position of the data fork of each file of a catalogue."""
    (node_size,) = _NODE_SIZE.unpack(device.read_at(catalog[0].start, _NODE_SIZE.size))
    if node_size < 512 or node_size & (node_size - 1):  # noqa: PLR2004
        return
    for part in catalog:
        for start in range(part.start, part.stop - node_size + 1, node_size):
            node = device.read_at(start, node_size)
            if node[_KIND] == _LEAF:
                yield from (start + at for at in _forks_in(node))


def _forks_in(node: bytes) -> Iterator[int]:
    """Where in a leaf node the data forks of files are; the offsets of its records stand at its end, backwards."""
    count = min(int.from_bytes(node[_COUNT : _COUNT + 2]), len(node) // 2 - 8)
    for number in range(count):
        end = len(node) - 2 * number
        record = int.from_bytes(node[end - 2 : end])
        data = record + 2 + int.from_bytes(node[record : record + 2])
        if data + _FORK_IN_FILE + _FORK.size <= len(node) and int.from_bytes(node[data : data + 2]) == _FILE:
            yield data + _FORK_IN_FILE
