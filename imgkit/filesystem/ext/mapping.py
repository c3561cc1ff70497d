"""Where a file's blocks lie: extent trees and block maps, validated while they are walked.

Specification: https://docs.kernel.org/filesystems/ext4/dynamic.html#the-contents-of-inode-i-block
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from imgkit.filesystem.ext import layout
from imgkit.filesystem.ext.layout import InodeFlag
from imgkit.filesystem.ext.volume import damaged_block, damaged_inode, inode_seed

if TYPE_CHECKING:
    from imgkit.filesystem.ext.volume import ExtVolume, Inode

_DIRECT_BLOCKS = 12
_LEVELS = 3
_TREE_STRUCTURE = "ext4 extent tree block"
_MAP_STRUCTURE = "ext indirect block"


class Extent(NamedTuple):
    """A run of blocks of a file: logical blocks from `logical`, on disk from `physical`.

    `unwritten` blocks are allocated and read as zeros.
    """

    logical: int
    physical: int
    length: int
    unwritten: bool


_first_block = attrgetter("logical")


@dataclass(slots=True)
class BlockMap:
    """All blocks of a file: `extents` in logical order, and the `tree` blocks that hold the map itself."""

    extents: list[Extent] = field(default_factory=list)
    tree: list[int] = field(default_factory=list)
    data_blocks: int = 0

    @property
    def end(self) -> int:
        """One past the last logical block."""
        return self.extents[-1].logical + self.extents[-1].length if self.extents else 0

    def physical(self, logical: int) -> int:
        """Where a logical block lies that is mapped."""
        extent = self.extents[bisect_right(self.extents, logical, key=_first_block) - 1]
        return extent.physical + logical - extent.logical

    @property
    def is_plain(self) -> bool:
        """Whether the file has no hole before its end and no unwritten extent."""
        return self.data_blocks == self.end and not any(extent.unwritten for extent in self.extents)


def map_blocks(volume: ExtVolume, inode: Inode) -> BlockMap:
    """The block map of an inode that has one (no inline data, no fast link, no device).

    FormatError for a block outside the file system, extents out of order, or more blocks than there are: a hostile map
    costs no more than the metadata blocks that it names, each of which is read once.
    """
    walk = _Walk(volume, inode, BlockMap())
    if inode.flags & InodeFlag.EXTENTS:
        walk.extent_node(inode.block, None, 0, 1 << 32)
    else:
        walk.block_map()
    return walk.found


class _Walk:
    """One walk over one file's map."""

    __slots__ = ("block_size", "found", "inode", "limit", "low", "seen", "volume")

    def __init__(self, volume: ExtVolume, inode: Inode, found: BlockMap) -> None:
        self.volume, self.inode, self.found = volume, inode, found
        self.seen: set[int] = set()
        self.low, self.limit = volume.superblock.first_data_block, volume.superblock.blocks_count
        self.block_size = volume.superblock.block_size

    def extent_node(self, node: bytes, block: int | None, first: int, stop: int, depth: int | None = None) -> None:
        """Collect what one node of the tree holds; it may map logical blocks in [first, stop) only."""
        magic, entries, maximum, its_depth, _ = layout.EXTENT_HEADER.unpack_from(node)
        if magic != layout.EXTENT_MAGIC or its_depth > layout.EXTENT_MAX_DEPTH or depth not in (None, its_depth):
            raise self._damage(block, "an extent node without a valid header", "eh_magic")
        if (
            not maximum
            or not entries <= maximum <= len(node) // layout.EXTENT.size - 1
            or (block is not None and not entries)
        ):
            raise self._damage(block, "an extent node with an impossible number of entries", "eh_entries")
        if block is not None:
            if self.volume.superblock.has_metadata_csum:
                self._verify_node(node, block, maximum)
            if int.from_bytes(node[12:16], "little") != first:
                raise self._damage(block, "a node that begins elsewhere than the index says", "ei_block")
        if its_depth == 0:
            self._leaf(node, block, entries, first, stop)
            return
        children = [layout.EXTENT_INDEX.unpack_from(node, 12 + 12 * index)[:3] for index in range(entries)]
        for index, (logical, low, high) in enumerate(children):
            end = children[index + 1][0] if index + 1 < entries else stop
            if not first <= logical < end:
                raise self._damage(block, "extent index entries out of order", "ei_block")
            child = low | high << 32
            self._claim_tree(child, block)
            self.extent_node(self.volume.read_block(child), child, logical, end, its_depth - 1)

    def _leaf(self, node: bytes, block: int | None, entries: int, first: int, stop: int) -> None:
        extents, position, count = self.found.extents, first, 0
        for index in range(entries):
            logical, length, high, low = layout.EXTENT.unpack_from(node, 12 + 12 * index)
            unwritten = length > layout.EXTENT_MAX_LENGTH
            if unwritten:
                length -= layout.EXTENT_MAX_LENGTH
            physical = low | high << 32
            if logical < position or not length or logical + length > stop:
                raise self._damage(block, "extents out of order", "ee_block")
            if physical < self.low or physical + length > self.limit:
                raise self._damage(block, f"an extent lies outside the file system, at block {physical:,}", "ee_start")
            position = logical + length
            count += length
            extents.append(Extent(logical, physical, length, unwritten))
        self._count(count)

    def block_map(self) -> None:
        """Collect the direct blocks, then the single, double and triple indirect ones."""
        pointers = struct.unpack("<15I", self.inode.block)
        self._pointers(pointers[:_DIRECT_BLOCKS], 0)
        logical, per_block = _DIRECT_BLOCKS, self.block_size // 4
        for level in range(1, _LEVELS + 1):
            pointer = pointers[_DIRECT_BLOCKS + level - 1]
            if pointer:
                self._indirect(pointer, level, logical)
            logical += per_block**level

    def _indirect(self, block: int, level: int, logical: int) -> None:
        self._claim_tree(block, None)
        # Most of these blocks are nearly empty: the resize inode has hundreds, with a few pointers each.
        raw = self.volume.read_block(block).rstrip(b"\0")
        count = -(-len(raw) // 4)
        pointers = struct.unpack(f"<{count}I", raw.ljust(4 * count, b"\0"))
        if level == 1:
            self._pointers(pointers, logical)
            return
        span = (self.block_size // 4) ** (level - 1)
        for pointer in pointers:
            if pointer:
                self._indirect(pointer, level - 1, logical)
            logical += span

    def _pointers(self, pointers: tuple[int, ...], logical: int) -> None:
        """Add block pointers as extents, adjacent ones joined."""
        extents, count = self.found.extents, 0
        start = begin = expected = 0
        for position, pointer in enumerate((*pointers, 0), logical):
            if pointer and pointer == expected:
                expected += 1
                continue
            if start:
                if start < self.low or expected > self.limit:
                    raise self._damage(None, f"a block pointer leads outside the file system, to {start:,}", "i_block")
                extents.append(Extent(begin, start, expected - start, unwritten=False))
                count += expected - start
            start, begin, expected = pointer, position, pointer + 1 if pointer else 0
        self._count(count)

    def _claim_tree(self, child: int, parent: int | None) -> None:
        if not self.low <= child < self.limit:
            raise self._damage(parent, f"a map block lies outside the file system, at block {child:,}", "ei_leaf")
        if child in self.seen:
            raise self._damage(parent, f"the map leads to block {child:,} twice", "ei_leaf")
        self.seen.add(child)
        self.found.tree.append(child)

    def _count(self, blocks: int) -> None:
        """Stop bombs: no file has more blocks than the file system."""
        self.found.data_blocks += blocks
        if self.found.data_blocks > self.limit:
            raise damaged_inode(self.volume, self.inode.number, "it maps more blocks than there are", "i_block")

    def _verify_node(self, node: bytes, block: int, maximum: int) -> None:
        end = 12 + 12 * maximum
        seed = inode_seed(self.volume, self.inode.number, self.inode.generation)
        checksum = self.volume.library.crc32c(seed, node[:end])
        if checksum.to_bytes(4, "little") != node[end : end + 4]:
            raise self._damage(block, "the checksum of an extent block does not match", "et_checksum")

    def _damage(self, block: int | None, message: str, what: str) -> Exception:
        if block is None:
            return damaged_inode(self.volume, self.inode.number, message, what)
        structure = _TREE_STRUCTURE if self.inode.flags & InodeFlag.EXTENTS else _MAP_STRUCTURE
        return damaged_block(self.volume, self.inode.number, block, message, structure)
