"""Orphans: inodes that were deleted while open, or truncated, when the system stopped. Mounting deals with them.

They are in a list (the superblock names the first, each inode's deletion time the next) or in the orphan file. An inode
without links is deleted, one with links is cut to its size.

Specification: https://docs.kernel.org/filesystems/ext4/orphan.html
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, UnsupportedError
from imgkit.filesystem.ext import layout
from imgkit.filesystem.ext.bitmaps import check_counts
from imgkit.filesystem.ext.check import check_touched
from imgkit.filesystem.ext.contents import has_block_map
from imgkit.filesystem.ext.editor import Editor
from imgkit.filesystem.ext.layout import ReadOnlyCompat
from imgkit.filesystem.ext.mapping import map_blocks
from imgkit.filesystem.ext.superblock import GUESTFS_HINT, change_superblock, has_orphans, read_superblock
from imgkit.filesystem.ext.volume import damaged_block, damaged_inode, inode_seed, read_inode, volume_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.filesystem.ext.library import Library
    from imgkit.filesystem.ext.volume import ExtVolume, Inode
    from imgkit.storage.device import BlockDevice

_STRUCTURE = "ext4 orphan file"


def release_orphans(device: BlockDevice, library: Library, *, now: int) -> None:
    """Delete or truncate all orphans. The file system is clean but for them.

    FormatError where they contradict the rest: then the device is left half edited, for the caller to throw away.
    UnsupportedError for what is not done here.
    """
    superblock = read_superblock(device, library)
    if not has_orphans(superblock):
        return
    volume = volume_of(device, superblock, library)
    check_counts(volume)
    orphans = [*_listed(volume), *_filed(volume)]
    change_superblock(
        device,
        superblock,
        library,
        {
            layout.LAST_ORPHAN_OFFSET: 0,
            layout.RO_COMPAT_OFFSET: int(superblock.ro_compat & ~ReadOnlyCompat.ORPHAN_PRESENT),
        },
    )
    if not orphans:
        return
    volume = volume_of(device, read_superblock(device, library), library)
    editor = Editor(volume, now)
    try:
        for number in orphans:
            _release(volume, editor, read_inode(volume, number))
        editor.flush()
    finally:
        editor.close()


def _release(volume: ExtVolume, editor: Editor, inode: Inode) -> None:
    size = volume.superblock.block_size
    found = map_blocks(volume, inode) if has_block_map(inode) else None
    # While it is being deleted or cut, it may be shorter than its blocks; its deletion time is the list.
    longest = max(inode.size, found.end * size) if found else inode.size
    check_touched(volume, inode._replace(links=inode.links or 1, dtime=0, size=longest))
    if not inode.links:
        editor.delete(inode)
        return
    if found and found.end * size > -(-inode.size // size) * size:
        last = max((extent.physical + extent.length for extent in found.extents), default=0)
        # libext2fs (1.46.6 to 1.47) refuses to cut what ends with the last block of the file system.
        if inode.type != stat.S_IFREG or last >= volume.superblock.blocks_count:
            raise UnsupportedError(
                f"inode {inode.number} was being truncated, which is not done here", hint=GUESTFS_HINT
            )
    editor.truncate(inode)


def _listed(volume: ExtVolume) -> Iterator[int]:
    """The numbers in the list. FormatError for one that runs in a circle or leads to no orphan."""
    seen: set[int] = set()
    number = volume.superblock.last_orphan
    while number:
        _check_number(volume, number, seen, layout.SUPERBLOCK_OFFSET, "s_last_orphan")
        yield number
        number = read_inode(volume, number).dtime


def _filed(volume: ExtVolume) -> Iterator[int]:
    """The numbers in the orphan file, which is empty afterwards."""
    superblock = volume.superblock
    if ReadOnlyCompat.ORPHAN_PRESENT not in superblock.ro_compat:
        return
    inode = read_inode(volume, superblock.orphan_file_inode)
    found = map_blocks(volume, inode) if inode.type == stat.S_IFREG and has_block_map(inode) else None
    if found is None or not found.is_plain or found.end * superblock.block_size != inode.size:
        raise damaged_inode(volume, inode.number, "it is no orphan file", "i_size")
    seen: set[int] = set()
    for logical in range(found.end):
        block = found.physical(logical)
        data = volume.read_block(block)
        magic, checksum = layout.ORPHAN_TAIL.unpack_from(data, len(data) - layout.ORPHAN_TAIL.size)
        entries = data[: -layout.ORPHAN_TAIL.size]
        if magic != layout.ORPHAN_MAGIC:
            raise damaged_block(volume, inode.number, block, "it has no magic number", _STRUCTURE)
        if superblock.has_metadata_csum and checksum != _checksum(volume, inode, block, entries):
            raise damaged_block(volume, inode.number, block, "its checksum does not match", _STRUCTURE)
        if not any(entries):
            continue
        for at in range(0, len(entries), 4):
            if number := int.from_bytes(entries[at : at + 4], "little"):
                _check_number(volume, number, seen, block * superblock.block_size + at, "ob_ino")
                yield number
        empty = bytes(len(entries))
        tail = layout.ORPHAN_TAIL.pack(magic, _checksum(volume, inode, block, empty))
        volume.device.write_at(block * superblock.block_size, empty + tail)


def _checksum(volume: ExtVolume, inode: Inode, block: int, entries: bytes) -> int:
    if not volume.superblock.has_metadata_csum:
        return 0
    seed = inode_seed(volume, inode.number, inode.generation)
    return volume.library.crc32c(seed, block.to_bytes(8, "little") + entries)


def _check_number(volume: ExtVolume, number: int, seen: set[int], offset: int, field: str) -> None:
    if not volume.superblock.first_inode <= number <= volume.superblock.inodes_count or number in seen:
        raise FormatError(
            f"the list of orphans leads to inode {number:,}, twice or where no orphan can be",
            structure="ext superblock" if offset == layout.SUPERBLOCK_OFFSET else _STRUCTURE,
            offset=offset,
            field=field,
            hint="Repair it with e2fsck on a copy of the image.",
        )
    seen.add(number)
