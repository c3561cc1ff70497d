"""Whether a file system contradicts itself: all of it, as e2fsck would look, or what an edit touches. No repair.

The full check has the passes of e2fsck: inodes and the blocks they claim (`inodes`), directories, connectivity, link
counts, bitmaps. Memory is proportional to the number of inodes and extents in use, time to the size of the metadata.
"""

from __future__ import annotations

import stat
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgkit.errors import FormatError
from imgkit.filesystem.ext import directory, layout
from imgkit.filesystem.ext.bitmaps import block_bits, check_counts, inode_bits, require_in_use
from imgkit.filesystem.ext.groups import blocks_in, damage
from imgkit.filesystem.ext.htree import IndexCheck
from imgkit.filesystem.ext.inodes import LENGTH_BITS, check_inode, check_inodes
from imgkit.filesystem.ext.layout import DirectoryType, Incompat, InodeFlag, ReadOnlyCompat
from imgkit.filesystem.ext.superblock import REPAIR_HINT
from imgkit.filesystem.ext.volume import damaged_block, damaged_inode, read_inode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.filesystem.ext.directory import ExtEntry
    from imgkit.filesystem.ext.inodes import InodeTables
    from imgkit.filesystem.ext.volume import ExtVolume, Inode

_ENTRY_TYPES = {
    stat.S_IFREG: DirectoryType.FILE,
    stat.S_IFDIR: DirectoryType.DIRECTORY,
    stat.S_IFCHR: DirectoryType.CHARACTER_DEVICE,
    stat.S_IFBLK: DirectoryType.BLOCK_DEVICE,
    stat.S_IFIFO: DirectoryType.FIFO,
    stat.S_IFSOCK: DirectoryType.SOCKET,
    stat.S_IFLNK: DirectoryType.LINK,
}
_LINK_MAX = 65000


@dataclass(slots=True)
class _Names:
    """What names lead where: how many to each inode ("." and ".." included), and the parents of directories.

    `parents` has the directory that names each directory, `claimed` the one that its own ".." leads to.
    """

    references: Counter[int] = field(default_factory=Counter)
    parents: dict[int, int] = field(default_factory=dict)
    claimed: dict[int, int] = field(default_factory=dict)


def check_fully(volume: ExtVolume) -> None:
    """FormatError for the first contradiction, named by structure and byte offset; UnsupportedError for bad blocks."""
    check_counts(volume)
    tables = check_inodes(volume)
    names = _check_directories(volume, tables)
    _check_connectivity(volume, tables, names)
    _check_references(volume, tables, names)
    _check_inode_bitmaps(volume, tables)
    _check_block_bitmaps(volume, tables)


def check_touched(volume: ExtVolume, inode: Inode) -> None:
    """The part of the full check that concerns one inode, which is about to be edited."""
    require_in_use(volume, inode, check_inode(volume, inode))
    if inode.type == stat.S_IFDIR:
        for block, entry in _entries(volume, inode):
            _check_name(volume, inode, block, entry)


def _check_directories(volume: ExtVolume, tables: InodeTables) -> _Names:
    """Pass 2: the names."""
    names = _Names()
    for number in tables.directories:
        inode = read_inode(volume, number)
        for block, entry in _entries(volume, inode):
            names.references[entry.inode] += 1
            _check_entry(volume, inode, block, entry, tables)
            if entry.name == b"..":
                names.claimed[number] = entry.inode
            elif entry.name != b"." and stat.S_ISDIR(tables.modes[entry.inode]):
                if entry.inode in names.parents or entry.inode == layout.ROOT_INODE:
                    raise _bad_entry(volume, inode, block, entry, "leads to a directory that has another name already")
                names.parents[entry.inode] = number
    return names


def _entries(volume: ExtVolume, inode: Inode) -> Iterator[tuple[int, ExtEntry]]:
    """Block and entry of each name of a directory, after checking that "." and ".." come first and none comes twice."""
    seen: set[bytes] = set()
    index = IndexCheck(volume, inode) if inode.flags & InodeFlag.INDEX and not inode.has_inline_data else None
    for logical, block, data in directory.blocks(volume, inode):
        found = directory.entries(volume, inode, block, data)
        if logical == 0:
            dots = [(entry.name, entry.inode) for entry in found[:2]]
            if [name for name, _ in dots] != [b".", b".."] or dots[0][1] != inode.number:
                raise damaged_block(
                    volume, inode.number, block, "its first names are not . and ..", directory.STRUCTURE
                )
        if index:
            index.add_block(logical, data, found)
        for entry in found:
            if entry.name in seen:
                raise _bad_entry(volume, inode, block, entry, "occurs twice")
            seen.add(entry.name)
            yield block, entry
    if not seen:
        raise damaged_inode(volume, inode.number, "a directory without names", "i_size")
    if index:
        index.finish()


def _check_entry(volume: ExtVolume, inode: Inode, block: int, entry: ExtEntry, tables: InodeTables) -> None:
    superblock = volume.superblock
    mode = tables.modes.get(entry.inode)
    if mode is None or (entry.inode < superblock.first_inode and entry.inode != layout.ROOT_INODE):
        raise _bad_entry(volume, inode, block, entry, f"leads to inode {entry.inode}, which is not in use")
    _check_name(volume, inode, block, entry)
    # The names "." and ".." of an inline directory are not on disk.
    kind = _ENTRY_TYPES[stat.S_IFMT(mode)] if Incompat.FILETYPE in superblock.incompat else DirectoryType.UNKNOWN
    if entry.type != kind and block:
        raise _bad_entry(volume, inode, block, entry, f"has file type {entry.type} instead of {int(kind)}")


def _check_name(volume: ExtVolume, inode: Inode, block: int, entry: ExtEntry) -> None:
    if (b"/" in entry.name or b"\0" in entry.name) and not inode.flags & InodeFlag.ENCRYPT:
        raise _bad_entry(volume, inode, block, entry, "has a slash or NUL in its name")


def _check_connectivity(volume: ExtVolume, tables: InodeTables, names: _Names) -> None:
    """Pass 3: every directory hangs below the root, and knows its parent."""
    root = layout.ROOT_INODE
    if not stat.S_ISDIR(tables.modes.get(root, 0)) or names.claimed.get(root) != root:
        raise damaged_inode(volume, root, "the root is not a proper directory", "i_mode")
    children: dict[int, list[int]] = {}
    for number in tables.directories:
        if number == root:
            continue
        parent = names.parents.get(number)
        if parent is None or names.claimed.get(number) != parent:
            raise damaged_inode(
                volume, number, "a directory whose .. is not the directory that names it", "i_links_count"
            )
        children.setdefault(parent, []).append(number)
    waiting, reached = [root], 0
    while waiting:
        reached += 1
        waiting += children.pop(waiting.pop(), [])
    if reached != len(tables.directories):
        raise damaged_inode(volume, next(iter(children)), "a directory that is its own ancestor", "i_links_count")


def _check_references(volume: ExtVolume, tables: InodeTables, names: _Names) -> None:
    """Pass 4: link counts, and the counts of shared attribute blocks and values."""
    superblock = volume.superblock
    for number, links in tables.links.items():
        if number in tables.value_counts:
            continue
        if (number < superblock.first_inode and number != layout.ROOT_INODE) or number == superblock.orphan_file_inode:
            continue
        expected = names.references[number]
        many = expected > _LINK_MAX and ReadOnlyCompat.DIR_NLINK in superblock.ro_compat
        if links != expected and not (links == 1 and many and stat.S_ISDIR(tables.modes[number])):
            message = f"its link count is {links}, but {expected} names refer to it"
            raise damaged_inode(volume, number, message, "i_links_count")
    for number, count in tables.value_counts.items():
        if tables.value_references[number] != count or names.references[number]:
            raise damaged_inode(volume, number, "an attribute value whose users are not those it counts", "i_ctime")
    for number in tables.value_references.keys() - tables.value_counts.keys():
        raise damaged_inode(volume, number, "it does not hold an attribute value", "i_flags")
    for block, count in tables.attribute_block_counts.items():
        if tables.attribute_block_references[block] != count:
            message = "an attribute block whose users are not those it counts"
            raise damaged_block(volume, 0, block, message, "ext extended attribute block")


def _check_inode_bitmaps(volume: ExtVolume, tables: InodeTables) -> None:
    """Pass 5, inodes: bitmaps and the numbers of directories. Free counts were compared with the bitmaps before."""
    superblock = volume.superblock
    size = superblock.inodes_per_group
    expected = [bytearray(size // 8) for _ in volume.groups]
    directories = Counter((number - 1) // size for number in tables.directories)
    for inode in tables.modes.keys() | set(range(1, superblock.first_inode)):
        where, bit = divmod(inode - 1, size)
        expected[where][bit >> 3] |= 1 << (bit & 7)
    for number, group in enumerate(volume.groups):
        used = int.from_bytes(expected[number], "little")
        if used != (inode_bits(volume, number) or 0):
            raise damage(f"the inode bitmap of group {number} is not that of the inodes in use", group.offset)
        if directories[number] != group.used_directories:
            raise damage(f"block group {number} has another number of directories", group.offset, "bg_used_dirs_count")


def _check_block_bitmaps(volume: ExtVolume, tables: InodeTables) -> None:
    """Pass 5, blocks: no cluster is claimed twice, and the bitmaps mark what is claimed and nothing else."""
    superblock = volume.superblock
    metadata = [0] * len(volume.groups)
    for start, stop, _ in volume.metadata:
        first = start // superblock.cluster_ratio
        _mark(volume, metadata, first, (stop - 1) // superblock.cluster_ratio - first + 1)
    if Incompat.MMP in superblock.incompat:
        _mark(volume, metadata, superblock.mmp_block // superblock.cluster_ratio, 1)
    expected = metadata.copy()
    for first, length in _merged(volume, tables.claims):
        if _mark(volume, expected, first, length):
            raise _claimed_twice(volume, first, "a file, and by metadata of the file system")
    for number, group in enumerate(volume.groups):
        bits = block_bits(volume, number)
        if bits is None:
            # The bitmap is made up from the metadata alone when the group is first used.
            bits = metadata[number]
            clusters = -(-blocks_in(superblock, number) // superblock.cluster_ratio)
            if clusters - bits.bit_count() != group.free_blocks:
                raise damage(f"block group {number} has another number of free blocks", group.offset)
        if bits != expected[number]:
            raise damage(f"the block bitmap of group {number} is not that of the blocks in use", group.offset)


def _mark(volume: ExtVolume, bitmaps: list[int], first: int, length: int) -> bool:
    """Set the bits of a run of clusters. Returns whether one of them was set before."""
    per_group = volume.superblock.clusters_per_group
    start, clash = first - volume.superblock.first_data_block // volume.superblock.cluster_ratio, False
    while length:
        group, offset = divmod(start, per_group)
        count = min(length, per_group - offset)
        mask = (1 << count) - 1 << offset
        clash = clash or bool(bitmaps[group] & mask)
        bitmaps[group] |= mask
        start += count
        length -= count
    return clash


def _merged(volume: ExtVolume, claims: list[int]) -> Iterator[tuple[int, int]]:
    """Runs of clusters as (first, length), adjacent ones joined. FormatError where two overlap."""
    first = stop = 0
    for claim in sorted(claims):
        start, length = claim >> LENGTH_BITS, claim & (1 << LENGTH_BITS) - 1
        if start < stop:
            raise _claimed_twice(volume, start, "files")
        if start > stop:
            if stop > first:
                yield first, stop - first
            first = start
        stop = start + length
    if stop > first:
        yield first, stop - first


def _claimed_twice(volume: ExtVolume, cluster: int, by_whom: str) -> FormatError:
    block = cluster * volume.superblock.cluster_ratio
    return FormatError(
        f"block {block:,} is claimed twice, by {by_whom}",
        structure="ext block",
        offset=block * volume.superblock.block_size,
        hint=REPAIR_HINT,
    )


def _bad_entry(volume: ExtVolume, inode: Inode, block: int, entry: ExtEntry, message: str) -> FormatError:
    name = entry.name.decode(errors="backslashreplace")
    return damaged_block(volume, inode.number, block, f"the name {name!r} {message}", directory.STRUCTURE)
