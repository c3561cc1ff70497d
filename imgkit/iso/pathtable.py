"""Path tables: all directories of a tree by number, for readers that do not want to walk it (ECMA-119, 10.4).

There are two, little-endian (L) and big-endian (M), and perhaps a copy of each. They are made anew from the extents
after directories came, went or moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from imgkit.errors import UnsupportedError
from imgkit.iso.extentmap import whole_sectors
from imgkit.iso.newrecord import both_32
from imgkit.iso.placement import find_room

if TYPE_CHECKING:
    from imgkit.iso.descriptors import Descriptor
    from imgkit.iso.extentmap import Directory
    from imgkit.iso.volume import IsoVolume

    ByteOrder = Literal["little", "big"]

# In the volume descriptor: the size, then the blocks of L, its copy, M, and its copy.
_SIZE = 132
_BLOCKS: tuple[tuple[int, ByteOrder], ...] = ((140, "little"), (144, "little"), (148, "big"), (152, "big"))
_MOST = 0xFFFF


def rewrite_path_tables(volume: IsoVolume) -> None:
    """Bring the path tables of all trees up to date; a table that outgrows its sectors moves."""
    for position in [descriptor.position for each in volume.sets for descriptor in each.descriptors]:
        _rewrite(volume, position)
        volume.refresh()


def build_table(volume: IsoVolume, descriptor: Descriptor, byteorder: ByteOrder) -> bytes:
    """A descriptor's table: directories by level, then by number of the parent, then by identifier."""
    children: dict[int, list[int]] = {}
    directories = volume.extents.directories
    for number, directory in enumerate(directories):
        children.setdefault(directory.parent, []).append(number)
    roots = [number for number in children[-1] if directories[number].where.start == descriptor.root.start]
    table: list[bytes] = []
    level = [(1, number) for number in roots]
    while level:
        following = []
        for parent, number in level:
            directory = directories[number]
            table.append(_record(_identifier(directory), descriptor.block(directory.where.start), parent, byteorder))
            below = sorted(children.get(number, ()), key=lambda each: _identifier(directories[each]))
            following += [(len(table), child) for child in below]
        level = following
    if len(table) > _MOST:
        raise UnsupportedError(
            f"{volume.name}: more than {_MOST:,} directories", hint="Rebuild the image with xorriso."
        )
    return b"".join(table)


def _rewrite(volume: IsoVolume, position: int) -> None:
    """The tables of the descriptor at a position."""
    device = volume.device
    descriptor = next(each for one in volume.sets for each in one.descriptors if each.position == position)
    old_size = int.from_bytes(device.read_at(position + _SIZE, 4), "little")
    size = 0
    for at, byteorder in _BLOCKS:
        block = int.from_bytes(device.read_at(position + at, 4), byteorder)
        if not block:
            continue
        table = build_table(volume, descriptor, byteorder)
        size = len(table)
        start = descriptor.address(block)
        if size > whole_sectors(old_size):
            start = find_room(volume, size)
            device.write_at(position + at, descriptor.block(start).to_bytes(4, byteorder))
        device.write_at(start, table.ljust(min(old_size, whole_sectors(size)), b"\0"))
    device.write_at(position + _SIZE, both_32(size))


def _record(identifier: bytes, block: int, parent: int, byteorder: ByteOrder) -> bytes:
    fixed = bytes([len(identifier), 0]) + block.to_bytes(4, byteorder) + parent.to_bytes(2, byteorder)
    return fixed + identifier + b"\0" * (len(identifier) % 2)


def _identifier(directory: Directory) -> bytes:
    return directory.record.identifier if directory.record is not None else b"\0"
