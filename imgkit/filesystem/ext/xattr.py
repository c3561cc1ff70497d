"""Extended attributes: in the inode after its fields, in one block of their own, and values in inodes (ea_inode).

Specification: https://docs.kernel.org/filesystems/ext4/attributes.html
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from imgkit.filesystem.ext import layout
from imgkit.filesystem.ext.layout import Incompat, InodeFlag
from imgkit.filesystem.ext.mapping import map_blocks
from imgkit.filesystem.ext.volume import damaged_block, damaged_inode, read_inode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.errors import FormatError
    from imgkit.filesystem.ext.volume import ExtVolume, Inode

STRUCTURE = "ext extended attribute block"
_PREFIXES = {
    0: "",
    1: "user.",
    2: "system.posix_acl_access",
    3: "system.posix_acl_default",
    4: "trusted.",
    6: "security.",
    7: "system.",
    8: "system.richacl",
    10: "gnu.",
}
_MAX_VALUE = 64 * 1024
_INLINE_DATA = (7, b"data")
_ENTRY = layout.XATTR_ENTRY.size


class Attribute(NamedTuple):
    """One extended attribute. `value_inode` is the inode that holds its value, 0 where it lies beside its name.

    `name_index` stands for the prefix of the name.
    """

    name_index: int
    short_name: bytes
    value: bytes
    value_inode: int
    value_size: int
    hash: int

    @property
    def name(self) -> str:
        """Full name, such as `security.selinux`."""
        return _PREFIXES.get(self.name_index, "") + self.short_name.decode(errors="surrogateescape")


def attributes(volume: ExtVolume, inode: Inode) -> list[Attribute]:
    """All extended attributes of an inode; values in inodes are not read, see `attribute_value`."""
    found = list(inode_attributes(volume, inode))
    if inode.xattr_block:
        found += block_attributes(volume, inode.number, inode.xattr_block, read_attribute_block(volume, inode))
    return found


def attribute_value(volume: ExtVolume, owner: Inode, attribute: Attribute) -> bytes:
    """The value, wherever it lies. FormatError where the inode that should hold it does not."""
    if not attribute.value_inode:
        return attribute.value
    holder = read_inode(volume, attribute.value_inode)
    plain = holder.flags & InodeFlag.EA_INODE and not holder.has_inline_data and holder.links
    if not plain or holder.size != attribute.value_size:
        raise damaged_inode(volume, owner.number, f"{attribute.name} has no value in inode {holder.number}", "i_flags")
    size = volume.superblock.block_size
    value = bytearray(holder.size)
    for extent in map_blocks(volume, holder).extents:
        start = extent.logical * size
        length = min(extent.length * size, holder.size - start)
        if length > 0 and not extent.unwritten:
            value[start : start + length] = volume.device.read_at(extent.physical * size, length)
    return bytes(value)


def attribute_hashes(attribute: Attribute, holder_hash: int | None) -> tuple[int, int]:
    """The two valid hashes: with names as unsigned bytes, and as the signed ones that x86 kernels used for a while.

    `holder_hash` is the hash of the value's inode, None where the value lies beside its name.
    """
    words = struct.unpack(
        f"<{-(-len(attribute.value) // 4)}I", attribute.value.ljust(-(-len(attribute.value) // 4) * 4, b"\0")
    )
    if holder_hash is not None:
        words = (holder_hash,)
    hashes = []
    for signed in (False, True):
        result = 0
        for byte in attribute.short_name:
            value = byte - 256 if signed and byte > 127 else byte  # noqa: PLR2004
            result = (result << 5 ^ result >> 27 ^ value) & 0xFFFFFFFF
        for word in words:
            result = (result << 16 ^ result >> 16 ^ word) & 0xFFFFFFFF
        hashes.append(result)
    return hashes[0], hashes[1]


def inline_data(volume: ExtVolume, inode: Inode) -> bytes:
    """Contents that lie in the inode: `i_block`, then the attribute `system.data`."""
    rest = next(
        (each.value for each in inode_attributes(volume, inode) if (each.name_index, each.short_name) == _INLINE_DATA),
        None,
    )
    if rest is None:
        raise damaged_inode(volume, inode.number, "inline data without the attribute system.data", "i_flags")
    if inode.size > len(inode.block) + len(rest):
        raise damaged_inode(volume, inode.number, "inline data that is shorter than the size", "i_size")
    return (inode.block + rest)[: inode.size]


def inode_attributes(volume: ExtVolume, inode: Inode) -> Iterator[Attribute]:
    """Attributes inside an inode."""
    start = layout.INODE_SIZE_REV0 + inode.extra_size
    if not inode.extra_size or start + 4 > len(inode.raw):
        return
    if int.from_bytes(inode.raw[start : start + 4], "little") != layout.XATTR_MAGIC:
        return
    area = inode.raw[start + 4 :]
    for attribute in _parse(volume, area, 0):
        if isinstance(attribute, str):
            raise damaged_inode(volume, inode.number, f"an extended attribute in it {attribute}", "i_extra")
        yield attribute


def read_attribute_block(volume: ExtVolume, inode: Inode) -> bytes:
    """The attribute block of an inode, header and checksum verified."""
    block, superblock = inode.xattr_block, volume.superblock
    if not superblock.first_data_block <= block < superblock.blocks_count:
        raise damaged_inode(volume, inode.number, f"its attribute block {block:,} does not exist", "i_file_acl")
    data = volume.read_block(block)
    magic, references, blocks, _, checksum = layout.XATTR_HEADER.unpack_from(data)
    if magic != layout.XATTR_MAGIC or blocks != 1 or not 1 <= references <= 1024:  # noqa: PLR2004  the kernel's limit
        raise _damage(volume, inode.number, block, "an attribute block without a valid header")
    if superblock.has_metadata_csum:
        at = layout.XATTR_CHECKSUM_OFFSET
        seed = volume.library.crc32c(superblock.checksum_seed, block.to_bytes(8, "little"))
        if volume.library.crc32c(seed, data[:at] + bytes(4) + data[at + 4 :]) != checksum:
            raise _damage(volume, inode.number, block, "the checksum of an attribute block does not match")
    return data


def block_attributes(volume: ExtVolume, number: int, block: int, data: bytes) -> Iterator[Attribute]:
    """Attributes in an attribute block; value offsets count from the start of the block."""
    for attribute in _parse(volume, data, layout.XATTR_HEADER.size):
        if isinstance(attribute, str) or not attribute.name_index:
            wrong = attribute if isinstance(attribute, str) else "has no prefix"
            raise _damage(volume, number, block, f"an extended attribute {wrong}")
        yield attribute


def _parse(volume: ExtVolume, area: bytes, first: int) -> Iterator[Attribute | str]:
    """Entries from `first` on; a string says what is wrong with one, and ends the iteration."""
    entries, offset = [], first
    while offset + _ENTRY <= len(area) and area[offset : offset + 4] != bytes(4):
        name_length, *fields = layout.XATTR_ENTRY.unpack_from(area, offset)
        entries.append((area[offset + _ENTRY : offset + _ENTRY + name_length], *fields))
        offset += (_ENTRY + name_length + 3) & ~3
    if offset > len(area):
        yield "has a name that leaves its place"
        return
    taken = []
    for name, index, value_offset, inode, size, checksum in entries:
        if inode:
            if Incompat.EA_INODE not in volume.superblock.incompat or size > _MAX_VALUE or value_offset:
                yield "has an impossible value inode"
                return
            yield Attribute(index, name, b"", inode, size, checksum)
            continue
        if size and (value_offset < offset + 4 or value_offset + size > len(area)):
            yield "has a value outside its place"
            return
        if size:
            taken.append((value_offset, value_offset + ((size + 3) & ~3)))
        yield Attribute(index, name, area[value_offset : value_offset + size], 0, size, checksum)
    taken.sort()
    if any(before[1] > after[0] for before, after in pairwise(taken)):
        yield "has a value that overlaps another one"


def _damage(volume: ExtVolume, number: int, block: int, message: str) -> FormatError:
    return damaged_block(volume, number, block, message, STRUCTURE)
