"""Directory blocks: iterating over entries, with every record checked before it is used.

Indexed directories are read like linear ones: an index block looks like one empty record, which is how the format
stays compatible. The index itself is looked at in `htree`, and single names are found by `names`.

Specification: https://docs.kernel.org/filesystems/ext4/directory.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imgkit.filesystem.ext import layout
from imgkit.filesystem.ext.layout import InodeFlag
from imgkit.filesystem.ext.mapping import map_blocks
from imgkit.filesystem.ext.volume import damaged_block, damaged_inode, inode_seed
from imgkit.filesystem.ext.xattr import inline_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.filesystem.ext.volume import ExtVolume, Inode

STRUCTURE = "ext directory block"
_HEADER = layout.DIRECTORY_ENTRY.size
_TAIL_FILE_TYPE = 0xDE


class ExtEntry(NamedTuple):
    """One name: the inode it leads to, the file type as the entry has it, and where its record begins in the block."""

    name: bytes
    inode: int
    type: int
    offset: int


def iterate(volume: ExtVolume, inode: Inode) -> Iterator[ExtEntry]:
    """All entries of a directory but "." and "..", in disk order."""
    for _, block, data in blocks(volume, inode):
        for entry in entries(volume, inode, block, data):
            if entry.name not in (b".", b".."):
                yield entry


def blocks(volume: ExtVolume, inode: Inode) -> Iterator[tuple[int, int, bytes]]:
    """Logical number, block number and contents of each block of a directory, in logical order, checksums verified.

    Inline directories give one or two blocks, made to look as if they were on disk, with number 0.
    """
    if inode.has_inline_data:
        for logical, data in enumerate(_inline_blocks(volume, inode)):
            yield logical, 0, data
        return
    reader = BlockReader(volume, inode)
    for logical in range(reader.count):
        yield logical, *reader.read(logical)


class BlockReader:
    """The blocks of one directory that is not inline, by their logical numbers."""

    __slots__ = ("_blocks", "_inode", "_seed", "_volume")

    def __init__(self, volume: ExtVolume, inode: Inode) -> None:
        size, found = volume.superblock.block_size, map_blocks(volume, inode)
        if inode.size % size or found.end * size != inode.size or not found.is_plain:
            raise damaged_inode(volume, inode.number, "a directory whose size is not that of its blocks", "i_size")
        self._volume, self._inode, self._blocks = volume, inode, found
        self._seed = inode_seed(volume, inode.number, inode.generation)

    @property
    def count(self) -> int:
        """How many blocks there are; their logical numbers begin with 0."""
        return self._blocks.end

    def read(self, logical: int) -> tuple[int, bytes]:
        """Block number and contents of a block below `count`. FormatError for a wrong checksum."""
        block = self._blocks.physical(logical)
        data = self._volume.read_block(block)
        if self._volume.superblock.has_metadata_csum:
            _verify(self._volume, self._inode, block, data, self._seed)
        return block, data


def entries(volume: ExtVolume, inode: Inode, block: int, data: bytes) -> list[ExtEntry]:
    """The used entries of one directory block. FormatError where a record is impossible."""
    found: list[ExtEntry] = []
    inodes = volume.superblock.inodes_count
    offset, size = 0, len(data)
    unpack = layout.DIRECTORY_ENTRY.unpack_from
    while offset < size:
        if offset + _HEADER > size:
            raise damaged_block(volume, inode.number, block, "a directory entry leaves its block", STRUCTURE)
        number, length, name_length, kind = unpack(data, offset)
        if length in (0, 0xFFFF) and offset == 0 and size == 1 << 16:
            length = size  # 64 KiB do not fit 16 bits
        end = offset + length
        if length < _HEADER or length & 3 or name_length + _HEADER > length or end > size:
            message = f"the directory entry at byte {offset} has an impossible length"
            raise damaged_block(volume, inode.number, block, message, STRUCTURE)
        if number:
            if number > inodes or not name_length:
                message = f"the directory entry at byte {offset} leads to inode {number:,}, or has no name"
                raise damaged_block(volume, inode.number, block, message, STRUCTURE)
            found.append(ExtEntry(data[offset + _HEADER : offset + _HEADER + name_length], number, kind, offset))
        offset = end
    return found


def index_count_offset(data: bytes) -> int | None:
    """Where limit and count lie in an index block of an indexed directory, or None for a leaf."""
    size = len(data)
    length = int.from_bytes(data[4:6], "little")
    if length == size or (size == 1 << 16 and length in (0, 0xFFFF)):
        return 8 if data[:4] == b"\0\0\0\0" else None
    if length != 12:  # noqa: PLR2004  the record of ".", then the one of ".." up to the end, which hides the root
        return None
    if int.from_bytes(data[16:18], "little") != size - 12:
        return None
    reserved, _, info_length, _, _ = layout.DX_ROOT_INFO.unpack_from(data, layout.DX_ROOT_INFO_OFFSET)
    return 32 if reserved == 0 and info_length == 8 else None  # noqa: PLR2004


def _verify(volume: ExtVolume, inode: Inode, block: int, data: bytes, seed: int) -> None:
    """FormatError where the checksum of a directory block does not match or is missing."""
    # An index node first: one that was a leaf before keeps, but for the checksum, the bytes of the leaf's tail.
    offset = index_count_offset(data) if inode.flags & InodeFlag.INDEX else None
    if offset is not None:
        limit, count, _ = layout.DX_COUNT_LIMIT.unpack_from(data, offset)
        at = offset + limit * layout.DX_ENTRY.size
        if count > limit or at + 8 > len(data):
            raise damaged_block(volume, inode.number, block, "an index block with an impossible limit", STRUCTURE)
        used = offset + count * layout.DX_ENTRY.size
        stored = int.from_bytes(data[at + 4 : at + 8], "little")
        computed = volume.library.crc32c(seed, data[:used] + data[at : at + 4] + bytes(4))
    else:
        tail = len(data) - layout.DIRECTORY_TAIL.size
        zero, length, name_length, kind, stored = layout.DIRECTORY_TAIL.unpack_from(data, tail)
        if (zero, length, name_length, kind) != (0, layout.DIRECTORY_TAIL.size, 0, _TAIL_FILE_TYPE):
            raise damaged_block(volume, inode.number, block, "a directory block without a checksum", STRUCTURE)
        computed = volume.library.crc32c(seed, data[:tail])
    if computed != stored:
        raise damaged_block(volume, inode.number, block, "the checksum of a directory block does not match", STRUCTURE)


def _inline_blocks(volume: ExtVolume, inode: Inode) -> Iterator[bytes]:
    """The two places of an inline directory: after the number of the parent in `i_block`, and in an attribute."""
    contents = inline_data(volume, inode)
    if len(contents) < 60:  # noqa: PLR2004  i_block is always used in full
        raise damaged_inode(volume, inode.number, "an inline directory that is shorter than i_block", "i_size")
    parent = contents[:4]
    yield (
        layout.DIRECTORY_ENTRY.pack(inode.number, 12, 1, 2)
        + b".\0\0\0"
        + parent
        + layout.DIRECTORY_ENTRY.pack(0, 12, 2, 2)[4:]
        + b"..\0\0"
    )
    yield contents[4:60]
    if len(contents) > 60:  # noqa: PLR2004
        yield contents[60:]
