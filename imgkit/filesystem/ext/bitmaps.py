"""Block and inode bitmaps: read with their checksums verified, counted, and compared with what should be in use.

A set bit means in use. With bigalloc a bit of the block bitmap stands for a cluster. Bits past the last block or inode
of a group are set, so that nothing is ever allocated there.

Specification: https://docs.kernel.org/filesystems/ext4/bitmaps.html
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from imgkit.errors import FormatError
from imgkit.filesystem.ext.groups import blocks_in, damage
from imgkit.filesystem.ext.layout import GroupFlag
from imgkit.filesystem.ext.superblock import REPAIR_HINT

if TYPE_CHECKING:
    from imgkit.filesystem.ext.mapping import BlockMap
    from imgkit.filesystem.ext.volume import ExtVolume, Inode


def block_bits(volume: ExtVolume, number: int) -> int | None:
    """The block bitmap of a group as an integer of as many bits as the group has clusters, or None if uninitialised.

    FormatError for a wrong checksum or padding.
    """
    group = volume.groups[number]
    if group.flags & GroupFlag.BLOCK_UNINIT:
        return None
    superblock = volume.superblock
    clusters = -(-blocks_in(superblock, number) // superblock.cluster_ratio)
    size = superblock.clusters_per_group // 8
    return _bits(volume, group.block_bitmap, size, clusters, group.block_bitmap_checksum, f"block bitmap {number}")


def inode_bits(volume: ExtVolume, number: int) -> int | None:
    """The inode bitmap of a group as an integer, or None if uninitialised. FormatError as for `block_bits`."""
    group = volume.groups[number]
    if group.flags & GroupFlag.INODE_UNINIT:
        return None
    inodes = volume.superblock.inodes_per_group
    return _bits(volume, group.inode_bitmap, inodes // 8, inodes, group.inode_bitmap_checksum, f"inode bitmap {number}")


def check_counts(volume: ExtVolume) -> None:
    """FormatError unless every bitmap has as many free bits as its descriptor says, and all together the superblock."""
    free_clusters = free_inodes = 0
    superblock = volume.superblock
    for number, group in enumerate(volume.groups):
        clusters = -(-blocks_in(superblock, number) // superblock.cluster_ratio)
        bits = block_bits(volume, number)
        if bits is not None and clusters - bits.bit_count() != group.free_blocks:
            raise damage(f"the block bitmap of group {number} has another number of free blocks", group.offset)
        bits = inode_bits(volume, number)
        used = 0 if bits is None else bits.bit_count()
        if superblock.inodes_per_group - used != group.free_inodes:
            raise damage(f"the inode bitmap of group {number} has another number of free inodes", group.offset)
        if bits is not None and bits >> superblock.inodes_per_group - group.unused_inodes:
            raise damage(f"inodes of group {number} are in use that should never have been", group.offset)
        free_clusters += group.free_blocks
        free_inodes += group.free_inodes
    if free_clusters * superblock.cluster_ratio != superblock.free_blocks_count:
        raise damage("the superblock has another number of free blocks than the groups together", 1024)
    if free_inodes != superblock.free_inodes_count:
        raise damage("the superblock has another number of free inodes than the groups together", 1024)


def require_in_use(volume: ExtVolume, inode: Inode, found: BlockMap) -> None:
    """FormatError unless an inode and its blocks are marked as used, and none of the blocks is fixed metadata.

    This is what guards an edit where not the whole file system was checked.
    """
    superblock = volume.superblock
    group, index = divmod(inode.number - 1, superblock.inodes_per_group)
    if not (inode_bits(volume, group) or 0) >> index & 1:
        raise damage(f"inode {inode.number} is marked as free", volume.groups[group].offset)
    runs = [(extent.physical, extent.length) for extent in found.extents] + [(block, 1) for block in found.tree]
    if inode.xattr_block:
        runs.append((inode.xattr_block, 1))
    runs.sort()
    held, bits = -1, 0
    for start, length in runs:
        _refuse_metadata(volume, inode, start, length)
        block, stop = start, start + length
        while block < stop:
            group, offset = divmod(block - superblock.first_data_block, superblock.blocks_per_group)
            if group != held:
                held, bits = group, block_bits(volume, group) or 0
            count = min(stop - block, superblock.blocks_per_group - offset)
            first = offset // superblock.cluster_ratio
            mask = (1 << (offset + count - 1) // superblock.cluster_ratio - first + 1) - 1
            if bits >> first & mask != mask:
                raise damage(f"blocks of inode {inode.number} are marked as free", volume.groups[group].offset)
            block += count


def _refuse_metadata(volume: ExtVolume, inode: Inode, start: int, length: int) -> None:
    after = bisect_right(volume.metadata, (start + length - 1, volume.superblock.blocks_count, "~"))
    if after and volume.metadata[after - 1][1] > start:
        raise FormatError(
            f"inode {inode.number} claims blocks of the {volume.metadata[after - 1][2]}",
            structure="ext inode",
            offset=volume.inode_offset(inode.number),
            field="i_block",
            hint=REPAIR_HINT,
        )


def _bits(volume: ExtVolume, block: int, size: int, used: int, checksum: int, what: str) -> int:
    superblock = volume.superblock
    raw = volume.read_block(block)
    if superblock.has_metadata_csum:
        computed = volume.library.crc32c(superblock.checksum_seed, raw[:size])
        # 32-byte descriptors have room for the low half only.
        if computed & (0xFFFFFFFF if superblock.descriptor_size >= 64 else 0xFFFF) != checksum:  # noqa: PLR2004
            raise _damaged_bitmap(volume, block, f"the checksum of {what} does not match")
    bits = int.from_bytes(raw, "little")
    if bits >> used != (1 << 8 * len(raw) - used) - 1:
        raise _damaged_bitmap(volume, block, f"the padding of {what} is not set")
    return bits & (1 << used) - 1


def _damaged_bitmap(volume: ExtVolume, block: int, message: str) -> FormatError:
    return FormatError(message, structure="ext bitmap", offset=block * volume.superblock.block_size, hint=REPAIR_HINT)
