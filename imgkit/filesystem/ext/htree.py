"""The index of a directory: a tree of hashes over the blocks that hold the names.

Specification: https://docs.kernel.org/filesystems/ext4/directory.html#hash-tree-directories
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.filesystem.ext import layout
from imgkit.filesystem.ext.directory import STRUCTURE, index_count_offset
from imgkit.filesystem.ext.layout import InodeFlag
from imgkit.filesystem.ext.volume import damaged_inode

if TYPE_CHECKING:
    from imgkit.errors import FormatError
    from imgkit.filesystem.ext.directory import BlockReader, ExtEntry
    from imgkit.filesystem.ext.volume import ExtVolume, Inode

_MAX_HASH = 0xFFFFFFFF
_BLOCK_MASK = 0x0FFFFFFF
_ROOT_OFFSET = 32
_UNSIGNED = 3
_SIGNED_VERSIONS = (0, 1, 2)
_MAX_LEVELS = {False: 1, True: 2}


def leaves(volume: ExtVolume, inode: Inode, reader: BlockReader, name: bytes) -> list[int] | None:
    """Logical numbers of the blocks that a name's hash leads to, mostly one; None for an index that is not understood.

    Every block is read once at most, whatever the index says.
    """
    _, root = reader.read(0)
    if index_count_offset(root) != _ROOT_OFFSET or inode.flags & InodeFlag.CASEFOLD:
        return None
    _, version, _, levels, _ = layout.DX_ROOT_INFO.unpack_from(root, layout.DX_ROOT_INFO_OFFSET)
    superblock = volume.superblock
    if version not in _SIGNED_VERSIONS or levels > _MAX_LEVELS[superblock.has_large_directories]:
        return None
    version += _UNSIGNED if superblock.unsigned_hash else 0
    wanted = volume.library.directory_hash(version, name, superblock.hash_seed)
    found, seen = [0], {0}
    for _ in range(levels + 1):
        following: list[int] = []
        for logical in found:
            children = _children_of(reader.read(logical)[1], wanted or 0)
            if children is None or any(child in seen or child >= reader.count for child in children):
                return None
            seen.update(children)
            following += children
        found = following
    return found


def _children_of(node: bytes, wanted: int) -> list[int] | None:
    """The blocks below one node in which names of that hash may lie."""
    offset = index_count_offset(node)
    if offset is None:
        return None
    limit, count, first = layout.DX_COUNT_LIMIT.unpack_from(node, offset)
    if not 0 < count <= limit or offset + count * layout.DX_ENTRY.size > len(node):
        return None
    pairs = [layout.DX_ENTRY.unpack_from(node, offset + index * layout.DX_ENTRY.size) for index in range(1, count)]
    starts, children = [0, *(start for start, _ in pairs), _MAX_HASH], [first, *(child for _, child in pairs)]
    # Hashes are even. An odd boundary says that names with the hash below it begin in the block before.
    return [
        child & _BLOCK_MASK
        for child, start, stop in zip(children, starts, starts[1:], strict=False)
        if start & ~1 <= wanted < stop
    ]


class IndexCheck:
    """Fed with the blocks of one indexed directory in order, it verifies the tree over them at the end."""

    __slots__ = ("_inode", "_nodes", "_ranges", "_seen", "_version", "_volume")

    def __init__(self, volume: ExtVolume, inode: Inode) -> None:
        self._volume, self._inode, self._version = volume, inode, -1
        self._nodes: dict[int, bytes] = {}
        self._ranges: dict[int, tuple[int, int]] = {}
        self._seen: set[int] = set()

    def add_block(self, logical: int, data: bytes, entries: list[ExtEntry]) -> None:
        """Note one block: a node of the tree (which has no entry but "." and ".."), or a leaf and its hashes."""
        if logical == 0:
            self._nodes[0] = data
            self._version = self._hash_version(data)
            return
        if not entries:
            self._nodes[logical] = data
        seed = self._volume.superblock.hash_seed
        hashes = [self._volume.library.directory_hash(self._version, entry.name, seed) or 0 for entry in entries]
        self._ranges[logical] = (min(hashes), max(hashes)) if hashes else (_MAX_HASH, 0)

    def finish(self) -> None:
        """FormatError unless the tree reaches every block once, and every name lies where its hash belongs."""
        root = self._nodes[0]
        _, _, _, levels, _ = layout.DX_ROOT_INFO.unpack_from(root, layout.DX_ROOT_INFO_OFFSET)
        if levels > _MAX_LEVELS[self._volume.superblock.has_large_directories]:
            raise self._damage("a directory index that is too deep")
        self._seen.add(0)
        self._visit(0, levels, 0, _MAX_HASH)
        missing = set(self._ranges) - self._seen
        if missing:
            raise self._damage(f"its index does not reach block {min(missing):,}")

    def _hash_version(self, root: bytes) -> int:
        if index_count_offset(root) != _ROOT_OFFSET:
            raise self._damage("a directory index without a root")
        version = int(layout.DX_ROOT_INFO.unpack_from(root, layout.DX_ROOT_INFO_OFFSET)[1])
        if version not in _SIGNED_VERSIONS:
            raise self._damage(f"a directory index with the unknown hash version {version}")
        return version + _UNSIGNED if self._volume.superblock.unsigned_hash else version

    def _visit(self, logical: int, levels: int, low: int, high: int) -> None:
        data = self._nodes.get(logical, b"")
        offset = index_count_offset(data) if data else None
        if offset is None or (offset == 8) != (logical != 0):  # noqa: PLR2004
            raise self._damage(f"block {logical:,} is no node of its index")
        limit, count, first = layout.DX_COUNT_LIMIT.unpack_from(data, offset)
        room = (len(data) - offset) // layout.DX_ENTRY.size - self._volume.superblock.has_metadata_csum
        if limit != room or not 0 < count <= limit:
            raise self._damage(f"an index node in block {logical:,} with an impossible limit or count")
        children = [(low, first)] + [
            layout.DX_ENTRY.unpack_from(data, offset + index * layout.DX_ENTRY.size) for index in range(1, count)
        ]
        for index, (start, child) in enumerate(children):
            stop = children[index + 1][0] if index + 1 < count else high
            if start > stop:
                raise self._damage(f"an index node in block {logical:,} with hashes out of order")
            self._enter(child & _BLOCK_MASK, levels, start, stop)

    def _enter(self, child: int, levels: int, start: int, stop: int) -> None:
        if child in self._seen or child not in self._ranges:
            raise self._damage(f"its index leads to block {child:,}, twice or where there is none")
        self._seen.add(child)
        if levels:
            self._visit(child, levels - 1, start, stop)
            return
        # The lowest bit of a boundary says that names with this very hash begin in the block before.
        low, high = self._ranges[child]
        if low <= high and not (start & ~1 <= low and high <= stop | 1):
            raise self._damage(f"names in block {child:,} have hashes that belong elsewhere")

    def _damage(self, message: str) -> FormatError:
        return damaged_inode(self._volume, self._inode.number, message, STRUCTURE)
