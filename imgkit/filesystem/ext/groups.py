"""Block group descriptors: where each group's bitmaps and inode table lie, and that no two of these overlap.

Specification: https://docs.kernel.org/filesystems/ext4/group_descr.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imgkit.errors import FormatError
from imgkit.filesystem.ext import layout
from imgkit.filesystem.ext.layout import Compat, GroupFlag, ReadOnlyCompat
from imgkit.filesystem.ext.superblock import REPAIR_HINT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.filesystem.ext.library import Library
    from imgkit.filesystem.ext.superblock import Superblock
    from imgkit.storage.device import BlockDevice, BlockReader


_ALL_FLAGS = GroupFlag.INODE_UNINIT | GroupFlag.BLOCK_UNINIT | GroupFlag.INODE_ZEROED


class Group(NamedTuple):
    """One block group: locations are block numbers, `unused_inodes` counts the tail of its inode table never used.

    `offset` is the byte position of the descriptor; checksums are those of the bitmaps.
    """

    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    free_blocks: int
    free_inodes: int
    used_directories: int
    flags: int
    block_bitmap_checksum: int
    inode_bitmap_checksum: int
    unused_inodes: int
    offset: int


def has_superblock(superblock: Superblock, group: int) -> bool:
    """Whether a block group begins with a copy of the superblock."""
    if group == 0:
        return True
    if Compat.SPARSE_SUPER2 in superblock.compat:
        return group in superblock.backup_groups
    if group == 1 or ReadOnlyCompat.SPARSE_SUPER not in superblock.ro_compat:
        return True
    return any(_is_power(group, base) for base in (3, 5, 7))


def first_block(superblock: Superblock, group: int) -> int:
    """Number of the first block of a group."""
    return superblock.first_data_block + group * superblock.blocks_per_group


def blocks_in(superblock: Superblock, group: int) -> int:
    """Number of blocks of a group; the last one may be shorter."""
    return min(superblock.blocks_per_group, superblock.blocks_count - first_block(superblock, group))


def read_groups(device: BlockReader, superblock: Superblock, library: Library) -> tuple[Group, ...]:
    """All descriptors, in order. FormatError for a wrong checksum or a location outside the file system."""
    size = superblock.descriptor_size
    groups = []
    for index, offset in _descriptor_blocks(superblock):
        block = device.read_at(offset, superblock.block_size)
        first = index * superblock.descriptors_per_block
        count = min(superblock.descriptors_per_block, superblock.group_count - first)
        for number in range(count):
            raw = block[number * size : (number + 1) * size]
            group = _parse(superblock, raw, offset + number * size)
            if superblock.has_group_checksums and _checksum(superblock, library, first + number, raw) != _stored(raw):
                raise damage(
                    f"the checksum of block group {first + number} does not match", group.offset, "bg_checksum"
                )
            _check_locations(superblock, first + number, group)
            groups.append(group)
    return tuple(groups)


def clear_stale_counts(device: BlockDevice, superblock: Superblock) -> None:
    """Set bg_itable_unused to 0 where no feature gives it a meaning: the kernel passes over it, e2fsck believes it.

    It would miss what is put behind the inodes that were in use when it was written.
    """
    if superblock.has_group_checksums:
        return
    fields = [layout.GROUP_UNUSED_OFFSET]
    if superblock.descriptor_size >= 64:  # noqa: PLR2004
        fields.append(layout.GROUP_UNUSED_HIGH_OFFSET)
    for index, offset in _descriptor_blocks(superblock):
        first = index * superblock.descriptors_per_block
        for number in range(min(superblock.descriptors_per_block, superblock.group_count - first)):
            for field in fields:
                position = offset + number * superblock.descriptor_size + field
                if any(device.read_at(position, 2)):
                    device.write_at(position, bytes(2))


def metadata_ranges(superblock: Superblock, groups: tuple[Group, ...]) -> list[tuple[int, int, str]]:
    """Half-open block ranges of all fixed metadata as (start, stop, what), sorted. FormatError where two overlap."""
    ranges = []
    descriptor_blocks = -(-superblock.group_count // superblock.descriptors_per_block)
    plain = descriptor_blocks if superblock.first_meta_group < 0 else superblock.first_meta_group
    for number, group in enumerate(groups):
        first = first_block(superblock, number)
        if has_superblock(superblock, number):
            start = _superblock_block(superblock) if number == 0 else first
            in_meta_group = 0 <= superblock.first_meta_group <= number // superblock.descriptors_per_block
            copies = 0 if in_meta_group else plain + superblock.reserved_gdt_blocks
            ranges.append((first, start + 1 + copies, "superblock and group descriptors"))
        ranges += (
            (group.block_bitmap, group.block_bitmap + 1, "block bitmap"),
            (group.inode_bitmap, group.inode_bitmap + 1, "inode bitmap"),
            (group.inode_table, group.inode_table + superblock.inode_table_blocks, "inode table"),
        )
    for index in range(plain, descriptor_blocks):
        ranges += ((block, block + 1, "group descriptors") for block in _meta_group_copies(superblock, index))
    ranges.sort()
    end, owner = 0, ""
    for start, stop, what in ranges:
        if start < end:
            message = f"{what} overlaps {owner} in block {start:,}"
            raise damage(message, start * superblock.block_size)
        end, owner = stop, what
    if end > superblock.blocks_count:
        raise damage(f"the {owner} reaches past the last block", groups[-1].offset)
    return ranges


def _superblock_block(superblock: Superblock) -> int:
    """Block that holds the primary superblock: 1 with 1 KiB blocks, even where group 0 begins with block 0."""
    return layout.SUPERBLOCK_OFFSET // superblock.block_size


def _descriptor_blocks(superblock: Superblock) -> Iterator[tuple[int, int]]:
    """Index and byte offset of each block of descriptors."""
    total = -(-superblock.group_count // superblock.descriptors_per_block)
    for index in range(total):
        if superblock.first_meta_group < 0 or index < superblock.first_meta_group:
            block = _superblock_block(superblock) + 1 + index
        else:
            block = next(_meta_group_copies(superblock, index))
        yield index, block * superblock.block_size


def _meta_group_copies(superblock: Superblock, index: int) -> Iterator[int]:
    """Blocks that hold descriptor block `index` of a meta block group: its first, second and last group have a copy."""
    first = index * superblock.descriptors_per_block
    for group in (first, first + 1, first + superblock.descriptors_per_block - 1):
        if group < superblock.group_count:
            block = first_block(superblock, group)
            if group == 0:
                block = _superblock_block(superblock)
            yield block + has_superblock(superblock, group)


def _parse(superblock: Superblock, raw: bytes, offset: int) -> Group:
    (blocks, inodes, table, free_blocks, free_inodes, directories, flags, _, sum_b, sum_i, unused, _) = (
        layout.GROUP_DESCRIPTOR.unpack_from(raw)
    )
    if superblock.descriptor_size >= 64:  # noqa: PLR2004
        high = layout.GROUP_DESCRIPTOR_HIGH.unpack_from(raw, layout.GROUP_DESCRIPTOR.size)
        blocks, inodes, table = blocks | high[0] << 32, inodes | high[1] << 32, table | high[2] << 32
        free_blocks, free_inodes = free_blocks | high[3] << 16, free_inodes | high[4] << 16
        directories, unused = directories | high[5] << 16, unused | high[6] << 16
        sum_b, sum_i = sum_b | high[8] << 16, sum_i | high[9] << 16
    if not superblock.has_group_checksums:
        if flags & (GroupFlag.INODE_UNINIT | GroupFlag.BLOCK_UNINIT):
            raise damage("an uninitialised block group without the feature that allows it", offset, "bg_flags")
        unused = 0  # written by nobody: see `clear_stale_counts`
    return Group(blocks, inodes, table, free_blocks, free_inodes, directories, flags, sum_b, sum_i, unused, offset)


def _stored(raw: bytes) -> int:
    return int.from_bytes(raw[layout.GROUP_CHECKSUM_OFFSET : layout.GROUP_CHECKSUM_OFFSET + 2], "little")


def _checksum(superblock: Superblock, library: Library, number: int, raw: bytes) -> int:
    at = layout.GROUP_CHECKSUM_OFFSET
    index = number.to_bytes(4, "little")
    if superblock.has_metadata_csum:
        return library.crc32c(superblock.checksum_seed, index + raw[:at] + b"\0\0" + raw[at + 2 :]) & 0xFFFF
    uuid = superblock.raw[0x68:0x78]
    return library.crc16(0xFFFF, uuid + index + raw[:at] + raw[at + 2 :])


def _check_locations(superblock: Superblock, number: int, group: Group) -> None:
    low, high = superblock.first_data_block, superblock.blocks_count
    if not superblock.has_flexible_groups:
        low = first_block(superblock, number)
        high = low + blocks_in(superblock, number)
    for block, length, field in (
        (group.block_bitmap, 1, "bg_block_bitmap"),
        (group.inode_bitmap, 1, "bg_inode_bitmap"),
        (group.inode_table, superblock.inode_table_blocks, "bg_inode_table"),
    ):
        if not low <= block or block + length > high:
            raise damage(f"block {block:,} of block group {number} lies outside its place", group.offset, field)
    for value, limit, field in (
        (group.free_blocks, superblock.clusters_per_group, "bg_free_blocks_count"),
        (group.free_inodes, superblock.inodes_per_group, "bg_free_inodes_count"),
        (group.used_directories, superblock.inodes_per_group, "bg_used_dirs_count"),
        (group.unused_inodes, superblock.inodes_per_group, "bg_itable_unused"),
        (group.flags, _ALL_FLAGS, "bg_flags"),
    ):
        if value > limit:
            raise damage(f"{value:,} is out of range in block group {number}", group.offset, field)


def _is_power(number: int, base: int) -> bool:
    while number > base and number % base == 0:
        number //= base
    return number == base


def damage(message: str, offset: int, field: str = "") -> FormatError:
    """FormatError about a block group."""
    return FormatError(message, structure="ext block group descriptor", offset=offset, field=field, hint=REPAIR_HINT)
