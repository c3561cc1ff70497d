"""Pass 1 of the full check: every inode, what it says of itself, and the blocks that it claims.

The passes are those of e2fsck, and so is the order; unlike e2fsck, the first contradiction ends the check.

Specification: https://docs.kernel.org/filesystems/ext4/dynamic.html
"""

from __future__ import annotations

import stat
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgkit.errors import UnsupportedError
from imgkit.filesystem.ext import layout
from imgkit.filesystem.ext.contents import has_block_map, read_link
from imgkit.filesystem.ext.layout import Compat, Incompat, InodeFlag, ReadOnlyCompat
from imgkit.filesystem.ext.mapping import BlockMap, map_blocks
from imgkit.filesystem.ext.superblock import GUESTFS_HINT, REPAIR_HINT
from imgkit.filesystem.ext.volume import damaged_inode, parse_inode, read_inode, verify_inode
from imgkit.filesystem.ext.xattr import (
    attribute_hashes,
    attribute_value,
    block_attributes,
    inline_data,
    inode_attributes,
    read_attribute_block,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgkit.filesystem.ext.volume import ExtVolume, Inode
    from imgkit.filesystem.ext.xattr import Attribute

LENGTH_BITS = 24
"""Bits of a claim that hold its length."""

_CHUNK = 1 << 20
_TYPES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
_FLAG_OF_FEATURE = {
    Incompat.EXTENTS: InodeFlag.EXTENTS,
    Incompat.INLINE_DATA: InodeFlag.INLINE_DATA,
    Incompat.EA_INODE: InodeFlag.EA_INODE,
    Incompat.ENCRYPT: InodeFlag.ENCRYPT,
    Incompat.CASEFOLD: InodeFlag.CASEFOLD,
    ReadOnlyCompat.VERITY: InodeFlag.VERITY,
    ReadOnlyCompat.HUGE_FILE: InodeFlag.HUGE_FILE,
    Compat.DIR_INDEX: InodeFlag.INDEX,
}


@dataclass(slots=True)
class InodeTables:
    """What is in use.

    Inodes by number; `claims`, runs of clusters as `first << LENGTH_BITS | length`, in no order; attribute blocks, and
    inodes that hold attribute values, with the references that were seen and the counts that they have of them.
    """

    modes: dict[int, int] = field(default_factory=dict)
    links: dict[int, int] = field(default_factory=dict)
    claims: list[int] = field(default_factory=list)
    attribute_block_references: Counter[int] = field(default_factory=Counter)
    attribute_block_counts: dict[int, int] = field(default_factory=dict)
    attribute_block_clusters: dict[int, int] = field(default_factory=dict)
    value_references: Counter[int] = field(default_factory=Counter)
    value_counts: dict[int, int] = field(default_factory=dict)

    @property
    def directories(self) -> list[int]:
        """Numbers of all directories."""
        return [number for number, mode in self.modes.items() if stat.S_ISDIR(mode)]


@dataclass(frozen=True, slots=True)
class _Rules:
    """What the features of a file system mean for every inode."""

    forbidden_flags: int
    reserved_in_use: frozenset[int]
    room: int
    """Bytes of an inode past the first 128."""

    @classmethod
    def of(cls, volume: ExtVolume) -> _Rules:
        """The rules for one file system."""
        superblock = volume.superblock
        features = (*superblock.compat, *superblock.incompat, *superblock.ro_compat)
        forbidden = sum(flag for feature, flag in _FLAG_OF_FEATURE.items() if feature not in features)
        # An ext3 that was made an ext2 again may keep its journal in inode 8, which e2fsck accepts.
        reserved = {layout.ROOT_INODE, layout.JOURNAL_INODE, superblock.orphan_file_inode}
        if Compat.RESIZE_INODE in superblock.compat:
            reserved.add(layout.RESIZE_INODE)
        if ReadOnlyCompat.QUOTA in superblock.ro_compat:
            reserved.update(superblock.quota_inodes)
        return cls(forbidden | InodeFlag.IMAGIC, frozenset(reserved), superblock.inode_size - layout.INODE_SIZE_REV0)


def check_inodes(volume: ExtVolume) -> InodeTables:
    """Look at every inode that was ever used. FormatError for the first that contradicts itself."""
    refuse_bad_blocks(volume)
    tables, rules = InodeTables(), _Rules.of(volume)
    for number, raw in _inodes(volume):
        verify_inode(volume, number, raw)
        inode = parse_inode(volume, number, raw)
        if inode.links:
            _enter(volume, inode, rules, tables)
        elif number < volume.superblock.first_inode:
            if inode.mode or inode.size or inode.blocks or inode.xattr_block or any(inode.block):
                raise damaged_inode(volume, number, "it is reserved, but not empty", "i_mode")
        elif (inode.mode and not inode.dtime) or 0 < inode.dtime < volume.superblock.inodes_count:
            # A small number would be that of the next inode in a list of orphans.
            raise damaged_inode(volume, number, "it has neither links nor a time of deletion", "i_dtime")
    return tables


def refuse_bad_blocks(volume: ExtVolume) -> None:
    """UnsupportedError for a file system with a list of bad blocks, which belong to no file."""
    inode = read_inode(volume, layout.BAD_BLOCKS_INODE)
    if any(inode.block) or inode.blocks:
        raise UnsupportedError("this file system has a list of bad blocks", hint=REPAIR_HINT)


def check_inode(volume: ExtVolume, inode: Inode) -> BlockMap:
    """Look at one inode that is in use. Returns its block map, empty where it has none."""
    if not inode.links:
        raise damaged_inode(volume, inode.number, "a name leads to it, but it is not in use", "i_links_count")
    return _enter(volume, inode, _Rules.of(volume), InodeTables())


def _enter(volume: ExtVolume, inode: Inode, rules: _Rules, tables: InodeTables) -> BlockMap:
    tables.modes[inode.number], tables.links[inode.number] = inode.mode, inode.links
    _check_fields(volume, inode, rules)
    found = _check_contents(volume, inode)
    value_clusters = _check_attributes(volume, inode, tables)
    _claim(volume, inode, found, value_clusters, tables)
    return found


def _inodes(volume: ExtVolume) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of every inode that is not all zero, up to the part of each table that was never used."""
    superblock = volume.superblock
    size, zero = superblock.inode_size, bytes(superblock.inode_size)
    for group_number, group in enumerate(volume.groups):
        if group.flags & layout.GroupFlag.INODE_UNINIT:
            continue
        table = group.inode_table * superblock.block_size
        length = (superblock.inodes_per_group - group.unused_inodes) * size
        for start in range(0, length, _CHUNK):
            chunk = volume.device.read_at(table + start, min(_CHUNK, length - start))
            number = group_number * superblock.inodes_per_group + start // size + 1
            for at in range(0, len(chunk), size):
                raw = chunk[at : at + size]
                if raw != zero:
                    yield number + at // size, raw


def _check_fields(volume: ExtVolume, inode: Inode, rules: _Rules) -> None:
    number, kind, flags = inode.number, inode.type, inode.flags
    if kind not in _TYPES:
        raise damaged_inode(volume, number, f"its mode is {inode.mode:#o}", "i_mode")
    if number < volume.superblock.first_inode and number not in rules.reserved_in_use:
        raise damaged_inode(volume, number, "it is reserved, but in use", "i_links_count")
    if inode.dtime:
        raise damaged_inode(volume, number, "it is in use, but has a time of deletion", "i_dtime")
    if flags & rules.forbidden_flags:
        raise damaged_inode(volume, number, f"its flags {flags:#x} need features that are not enabled", "i_flags")
    mapped = kind in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
    if (
        (flags & InodeFlag.INDEX and kind != stat.S_IFDIR)
        or (flags & InodeFlag.INLINE_DATA and flags & InodeFlag.EXTENTS)
        or (not mapped and flags & (InodeFlag.EXTENTS | InodeFlag.INLINE_DATA))
    ):
        raise damaged_inode(volume, number, f"its flags {flags:#x} contradict its type or each other", "i_flags")
    _check_zeros(volume, inode, mapped=mapped)
    extra = inode.extra_size
    if extra and (not 4 <= extra <= rules.room or extra & 3):  # noqa: PLR2004  the size of the field itself
        raise damaged_inode(volume, number, f"an impossible extra size of {extra}", "i_extra_isize")


def _check_zeros(volume: ExtVolume, inode: Inode, *, mapped: bool) -> None:
    """Fields that have to be zero without the feature that gave them a meaning."""
    superblock, raw = volume.superblock, inode.raw
    if raw[0x70:0x78] == bytes(8) and mapped and inode.type != stat.S_IFDIR:
        return
    is_directory = inode.type == stat.S_IFDIR
    for unused, offset, length, name in (
        (True, 0x70, 4, "i_faddr"),
        (is_directory and not superblock.has_large_directories, 0x6C, 4, "i_size_high"),
        (not superblock.has_huge_files, 0x74, 2, "i_blocks_hi"),
        (not superblock.has_64bit, 0x76, 2, "i_file_acl_hi"),
        (not mapped, 0x28 + 16, 44, "i_block"),
    ):
        if unused and any(raw[offset : offset + length]):
            raise damaged_inode(volume, inode.number, "a field that should be zero is set", name)


def _check_contents(volume: ExtVolume, inode: Inode) -> BlockMap:
    """The block map, empty where there is none, after comparing it with size and type."""
    found = map_blocks(volume, inode) if has_block_map(inode) else BlockMap()
    if inode.flags & InodeFlag.INLINE_DATA:
        inline_data(volume, inode)
    if inode.type == stat.S_IFLNK:
        _check_link(volume, inode, found)
    elif inode.type == stat.S_IFREG:
        _check_size(volume, inode, found)
    return found


def _check_size(volume: ExtVolume, inode: Inode, found: BlockMap) -> None:
    block_size = volume.superblock.block_size
    last = found.extents[-1] if found.extents else None
    # Blocks past the end may be there if they were never written; fs-verity keeps its tree there.
    resize = inode.number == layout.RESIZE_INODE
    past_end = last is not None and not resize and inode.size < (last.logical + last.length - 1) * block_size
    if past_end and not inode.flags & InodeFlag.VERITY:
        written = [extent for extent in found.extents if not extent.unwritten]
        if written and inode.size < (written[-1].logical + written[-1].length - 1) * block_size:
            raise damaged_inode(volume, inode.number, "blocks lie past its end", "i_size")
    if inode.size > ((block_size << 32) - 1 if inode.flags & InodeFlag.EXTENTS else _largest_mapped_file(volume)):
        raise damaged_inode(volume, inode.number, "it is larger than its block map can be", "i_size")


def _check_link(volume: ExtVolume, inode: Inode, found: BlockMap) -> None:
    fast_with_extents = inode.is_fast_link and inode.flags & InodeFlag.EXTENTS
    if (
        fast_with_extents
        or found.data_blocks > 1
        or (not inode.flags & InodeFlag.ENCRYPT and not _is_target(volume, inode))
    ):
        raise damaged_inode(volume, inode.number, "a symbolic link without a proper target", "i_size")
    refuse_misjudged_link(inode)


def refuse_misjudged_link(inode: Inode) -> None:
    """UnsupportedError for a fast link with attribute values in inodes.

    Because it counts their blocks, and no attribute block explains them, libext2fs and e2fsck up to 1.47.2 take the
    link's target for block numbers.
    """
    if inode.is_fast_link and inode.blocks and not inode.xattr_block:
        message = f"inode {inode.number} is a symbolic link that libext2fs misjudges (values of attributes in inodes)"
        raise UnsupportedError(message, hint=GUESTFS_HINT)


def _is_target(volume: ExtVolume, inode: Inode) -> bool:
    """Whether the target is as long as the size says, and followed by zero where there is room."""
    target = read_link(volume, inode)
    after = inode.block[inode.size : inode.size + 1] if inode.is_fast_link else b""
    return b"\0" not in target and after in (b"", b"\0") and len(target) < volume.superblock.block_size


def _largest_mapped_file(volume: ExtVolume) -> int:
    per_block = volume.superblock.block_size // 4
    return (12 + per_block + per_block**2 + per_block**3) * volume.superblock.block_size


def _claim(volume: ExtVolume, inode: Inode, found: BlockMap, value_clusters: int, tables: InodeTables) -> None:
    """Record the clusters of an inode, and compare their number with the one that it has.

    Values of its attributes in other inodes count as its own, although those inodes count them as well.
    """
    superblock, ratio = volume.superblock, volume.superblock.cluster_ratio
    if ratio == 1:
        claims = [extent.physical << LENGTH_BITS | extent.length for extent in found.extents]
        claims += [block << LENGTH_BITS | 1 for block in found.tree]
        clusters = found.data_blocks + len(found.tree)
    else:
        claims = _cluster_claims(volume, inode, found)
        clusters = len(claims)
    clusters += value_clusters + bool(inode.xattr_block)
    if inode.number == layout.RESIZE_INODE and Compat.RESIZE_INODE in superblock.compat:
        claims = _resize_claims(volume, inode, found)
    if inode.xattr_block and tables.attribute_block_references[inode.xattr_block] == 1:
        claims.append(inode.xattr_block // ratio << LENGTH_BITS | 1)
    # mke2fs counts the blocks of the resize inode one by one, even where clusters are larger.
    counted = ratio == 1 or inode.number != layout.RESIZE_INODE
    if counted and inode.blocks != clusters * ratio * (superblock.block_size // 512):
        message = f"it counts {inode.blocks:,} sectors, but has {clusters:,} clusters"
        raise damaged_inode(volume, inode.number, message, "i_blocks")
    tables.claims += claims


def _cluster_claims(volume: ExtVolume, inode: Inode, found: BlockMap) -> list[int]:
    """Distinct clusters of one inode. Blocks have the same place in a cluster on disk as in the file."""
    ratio = volume.superblock.cluster_ratio
    clusters = {block // ratio for block in found.tree}
    for extent in found.extents:
        if (extent.physical - extent.logical) % ratio:
            raise damaged_inode(volume, inode.number, "an extent is not aligned to its cluster", "ee_start")
        clusters.update(range(extent.physical // ratio, (extent.physical + extent.length - 1) // ratio + 1))
    return [cluster << LENGTH_BITS | 1 for cluster in clusters]


def _resize_claims(volume: ExtVolume, inode: Inode, found: BlockMap) -> list[int]:
    """The resize inode owns one block of its own; the rest are the descriptor blocks reserved for growth."""
    own = int.from_bytes(inode.block[13 * 4 : 14 * 4], "little")
    reserved = [(start, stop) for start, stop, what in volume.metadata if what.startswith("superblock")]
    runs = [(extent.physical, extent.length) for extent in found.extents]
    runs += [(block, 1) for block in found.tree if block != own]
    for first, length in runs:
        after = bisect_left(reserved, (first, 0))
        if not after or first + length > reserved[after - 1][1]:
            raise damaged_inode(volume, inode.number, "the resize inode claims a block that is not reserved", "i_block")
    return [own // volume.superblock.cluster_ratio << LENGTH_BITS | 1] if own else []


def _check_attributes(volume: ExtVolume, inode: Inode, tables: InodeTables) -> int:
    """Check all attributes of an inode. Returns how many clusters their values have in other inodes."""
    if inode.flags & InodeFlag.EA_INODE:
        # The count of such an inode lies in its change time and version, which nobody needs there.
        high, low = inode.raw[0x0C:0x10], inode.raw[layout.INODE_VERSION_OFFSET : layout.INODE_VERSION_OFFSET + 4]
        tables.value_counts[inode.number] = int.from_bytes(low + high, "little")
    clusters = _check_values(volume, inode, inode_attributes(volume, inode), tables)
    block = inode.xattr_block
    if not block:
        return clusters
    if Compat.EXT_ATTR not in volume.superblock.compat:
        raise damaged_inode(volume, inode.number, "an attribute block without the feature ext_attr", "i_file_acl")
    if block not in tables.attribute_block_counts:
        data = read_attribute_block(volume, inode)
        tables.attribute_block_counts[block] = layout.XATTR_HEADER.unpack_from(data)[1]
        found = block_attributes(volume, inode.number, block, data)
        tables.attribute_block_clusters[block] = _check_values(volume, inode, found, tables)
    tables.attribute_block_references[block] += 1
    return clusters + tables.attribute_block_clusters[block]


def _check_values(volume: ExtVolume, inode: Inode, found: Iterable[Attribute], tables: InodeTables) -> int:
    clusters, cluster_size = 0, volume.superblock.block_size * volume.superblock.cluster_ratio
    for attribute in found:
        holder_hash = None
        if attribute.value_inode:
            tables.value_references[attribute.value_inode] += 1
            clusters += -(-attribute.value_size // cluster_size)
            attribute_value(volume, inode, attribute)
            holder_hash = int.from_bytes(read_inode(volume, attribute.value_inode).raw[0x08:0x0C], "little")
        # Inside an inode only attributes whose value has an inode of its own need a hash.
        if attribute.hash and attribute.hash not in attribute_hashes(attribute, holder_hash):
            raise damaged_inode(volume, inode.number, f"the hash of {attribute.name} does not match", "e_hash")
    return clusters
