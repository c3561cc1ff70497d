"""A file system that is open for reading: its device, superblock and groups, and the inodes in it.

Specification: https://docs.kernel.org/filesystems/ext4/inodes.html
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from imgkit.errors import FormatError
from imgkit.filesystem.ext import layout
from imgkit.filesystem.ext.groups import Group, metadata_ranges, read_groups
from imgkit.filesystem.ext.layout import InodeFlag
from imgkit.filesystem.ext.superblock import REPAIR_HINT, Superblock, read_superblock, refuse_unclean

if TYPE_CHECKING:
    from imgkit.filesystem.ext.library import Library
    from imgkit.storage.device import BlockDevice


@dataclass(frozen=True, slots=True)
class ExtVolume:
    """Where everything is. `metadata` holds the fixed metadata as sorted block ranges (start, stop, what)."""

    device: BlockDevice
    superblock: Superblock
    groups: tuple[Group, ...]
    metadata: list[tuple[int, int, str]]
    library: Library

    def read_block(self, block: int) -> bytes:
        """One block."""
        size = self.superblock.block_size
        return self.device.read_at(block * size, size)

    def inode_offset(self, number: int) -> int:
        """Byte position of an inode."""
        group, index = divmod(number - 1, self.superblock.inodes_per_group)
        return self.groups[group].inode_table * self.superblock.block_size + index * self.superblock.inode_size


class Inode(NamedTuple):
    """One inode. `block` is its 60 bytes of block map, extent root or inline data; `blocks` counts 512-byte sectors.

    `type` holds the file type bits of the mode, `extra_size` the bytes past 128 that are fields (extended attributes
    follow them), `raw` all of the inode, `number` its number.
    """

    number: int
    mode: int
    type: int
    uid: int
    gid: int
    size: int
    mtime: int
    dtime: int
    links: int
    blocks: int
    flags: int
    block: bytes
    generation: int
    xattr_block: int
    extra_size: int
    raw: bytes

    @property
    def has_inline_data(self) -> bool:
        """Whether the contents lie in the inode itself."""
        return bool(self.flags & InodeFlag.INLINE_DATA)

    @property
    def is_fast_link(self) -> bool:
        """Whether this is a symbolic link whose target lies in `block`."""
        return self.type == stat.S_IFLNK and not self.has_inline_data and self.size < len(self.block)


def open_volume(device: BlockDevice, library: Library, *, writable: bool) -> ExtVolume:
    """Read and validate superblock and groups.

    UnsupportedError for what is not clean or not understood, FormatError for what contradicts itself.
    """
    superblock = read_superblock(device, library)
    refuse_unclean(superblock, writable=writable)
    return volume_of(device, superblock, library)


def volume_of(device: BlockDevice, superblock: Superblock, library: Library) -> ExtVolume:
    """The volume with that superblock, clean or not. FormatError for groups that contradict it or each other."""
    groups = read_groups(device, superblock, library)
    return ExtVolume(device, superblock, groups, metadata_ranges(superblock, groups), library)


def read_inode(volume: ExtVolume, number: int) -> Inode:
    """One inode, its checksum verified where there are any. FormatError for a number that does not exist."""
    if not 1 <= number <= volume.superblock.inodes_count:
        raise FormatError(
            f"there is no inode {number:,}", structure="ext directory entry", offset=0, field="inode", hint=REPAIR_HINT
        )
    offset = volume.inode_offset(number)
    raw = volume.device.read_at(offset, volume.superblock.inode_size)
    verify_inode(volume, number, raw)
    return parse_inode(volume, number, raw)


def parse_inode(volume: ExtVolume, number: int, raw: bytes) -> Inode:
    """An inode from its bytes."""
    (mode, uid, size, _, _, mtime, dtime, gid, links, blocks, flags, block, generation, xattr, size_high, *high) = (
        layout.INODE.unpack_from(raw)
    )
    blocks_high, xattr_high, uid_high, gid_high = high
    superblock = volume.superblock
    kind = stat.S_IFMT(mode)
    if size_high and (kind != stat.S_IFDIR or superblock.has_large_directories):
        size |= size_high << 32
    if superblock.has_huge_files:
        blocks |= blocks_high << 32
        if flags & InodeFlag.HUGE_FILE:
            blocks *= superblock.block_size // 512
    if superblock.has_64bit:
        xattr |= xattr_high << 32
    extra = 0
    if len(raw) > layout.INODE_SIZE_REV0:
        at = layout.INODE_EXTRA_SIZE_OFFSET
        extra = raw[at] | raw[at + 1] << 8
    return Inode(
        number, mode, kind, uid | uid_high << 16, gid | gid_high << 16, size, mtime, dtime, links, blocks, flags, block,
        generation, xattr, extra, raw,
    )  # fmt: skip


def modification_time(inode: Inode) -> int:
    """Seconds since the epoch: 32 signed bits, and two more above them where the inode has room for them."""
    seconds = inode.mtime - (1 << 32) if inode.mtime >= 1 << 31 else inode.mtime
    if inode.extra_size < 12:  # noqa: PLR2004  i_mtime_extra lies at 8 to 11
        return seconds
    return seconds + ((inode.raw[layout.INODE_EXTRA_SIZE_OFFSET + 8] & 3) << 32)


def inode_seed(volume: ExtVolume, number: int, generation: int) -> int:
    """Seed of the checksums of an inode and of the blocks that belong to it."""
    data = number.to_bytes(4, "little") + generation.to_bytes(4, "little")
    return volume.library.crc32c(volume.superblock.checksum_seed, data)


def verify_inode(volume: ExtVolume, number: int, raw: bytes) -> None:
    """FormatError where an inode's checksum does not match."""
    if not volume.superblock.has_metadata_csum:
        return
    low, high = layout.INODE_CHECKSUM_LOW_OFFSET, layout.INODE_CHECKSUM_HIGH_OFFSET
    # Number, generation, and the inode with zeros in place of the checksum.
    stored, data = raw[low : low + 2], number.to_bytes(4, "little") + raw[0x64:0x68] + raw[:low] + b"\0\0"
    extra = raw[layout.INODE_EXTRA_SIZE_OFFSET : layout.INODE_EXTRA_SIZE_OFFSET + 2]
    if int.from_bytes(extra, "little") >= 4:  # noqa: PLR2004  the extra size covers i_checksum_hi
        stored += raw[high : high + 2]
        data += raw[low + 2 : high] + b"\0\0" + raw[high + 2 :]
    else:
        data += raw[low + 2 :]
    checksum = volume.library.crc32c(volume.superblock.checksum_seed, data)
    # mke2fs and the kernel leave inodes that were never used all zero.
    if checksum.to_bytes(4, "little")[: len(stored)] != stored and any(raw):
        raise damaged_inode(volume, number, "the checksum of the inode does not match", "i_checksum")


def damaged_inode(volume: ExtVolume, number: int, message: str, field: str = "") -> FormatError:
    """FormatError about an inode."""
    return FormatError(
        f"inode {number}: {message}",
        structure="ext inode",
        offset=volume.inode_offset(number),
        field=field,
        hint=REPAIR_HINT,
    )


def damaged_block(volume: ExtVolume, number: int, block: int, message: str, structure: str) -> FormatError:
    """FormatError about a metadata block of inode `number`; block 0 means that it lies in the inode itself."""
    return FormatError(
        f"inode {number}: {message}",
        structure=structure,
        offset=block * volume.superblock.block_size if block else volume.inode_offset(number),
        hint=REPAIR_HINT,
    )
