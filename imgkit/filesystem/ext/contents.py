"""Contents of files: runs of blocks joined, holes and unwritten extents as zeros, in bounded chunks."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from imgkit.filesystem.ext.mapping import map_blocks
from imgkit.filesystem.ext.volume import damaged_inode
from imgkit.filesystem.ext.xattr import inline_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.filesystem.ext.volume import ExtVolume, Inode

_CHUNK = 1 << 20
_LINK_LIMIT = 4096


def read_chunks(volume: ExtVolume, inode: Inode) -> Iterator[bytes]:
    """Contents of a regular file or slow link, in pieces of at most 1 MiB. FormatError for an impossible block map."""
    if inode.has_inline_data:
        yield inline_data(volume, inode)
        return
    block_size, position = volume.superblock.block_size, 0
    for extent in map_blocks(volume, inode).extents:
        start = min(extent.logical * block_size, inode.size)
        stop = min((extent.logical + extent.length) * block_size, inode.size)
        yield from _zeros(start - position)
        if extent.unwritten:
            yield from _zeros(stop - start)
        else:
            offset = extent.physical * block_size
            for at in range(0, stop - start, _CHUNK):
                yield volume.device.read_at(offset + at, min(_CHUNK, stop - start - at))
        position = stop
    yield from _zeros(inode.size - position)


def read_link(volume: ExtVolume, inode: Inode) -> bytes:
    """Target of a symbolic link. FormatError for one that is empty or too long."""
    if not 0 < inode.size < min(volume.superblock.block_size + 1, _LINK_LIMIT + 1):
        raise damaged_inode(volume, inode.number, "a symbolic link of an impossible length", "i_size")
    if inode.is_fast_link:
        return inode.block[: inode.size]
    return b"".join(read_chunks(volume, inode))


def has_block_map(inode: Inode) -> bool:
    """Whether `i_block` maps blocks: not for devices, fast links and inline data."""
    if inode.has_inline_data or inode.is_fast_link:
        return False
    return inode.type in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)


def _zeros(length: int) -> Iterator[bytes]:
    for at in range(0, length, _CHUNK):
        yield bytes(min(_CHUNK, length - at))
