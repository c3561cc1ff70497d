"""Edits through libext2fs, by inode number: everything that allocates, frees, links or writes an inode.

It knows no paths. What it is told to edit has been read and validated by the other modules first, so that the library
only ever walks structures that were found sound. The library is opened at the first edit, and its bitmaps are read
when something is allocated or freed: rewriting a file within its blocks needs neither.

Nothing is undone after an error: the caller throws the overlay away.
"""

from __future__ import annotations

import stat
from ctypes import byref, c_uint, c_uint32, c_void_p, string_at
from typing import TYPE_CHECKING, Any

from imgkit.errors import EngineError, OutputError
from imgkit.filesystem.ext import layout, library
from imgkit.filesystem.ext.contents import has_block_map
from imgkit.filesystem.ext.groups import clear_stale_counts
from imgkit.filesystem.ext.inodefields import InodeFields
from imgkit.filesystem.ext.inodes import refuse_misjudged_link
from imgkit.filesystem.ext.iomanager import IoManager
from imgkit.filesystem.ext.layout import DirectoryType, Incompat, InodeFlag, ReadOnlyCompat
from imgkit.filesystem.ext.mapping import map_blocks
from imgkit.filesystem.ext.superblock import GUESTFS_HINT
from imgkit.filesystem.ext.volume import read_inode
from imgkit.filesystem.ext.xattr import attributes

if TYPE_CHECKING:
    from imgkit.filesystem.ext.mapping import BlockMap
    from imgkit.filesystem.ext.volume import ExtVolume, Inode

_MAGIC = 2133571329
_DEFAULT_UMASK = 0o022
_EMPTY_EXTENT_ROOT = layout.EXTENT_HEADER.pack(layout.EXTENT_MAGIC, 0, 4, 0, 0)
_INLINE_ROOM = 60
_LINK_MAX = 65000
_SECTOR = 512
_XATTR_RAW = 1
_FULL = {
    library.ERROR_BLOCK_ALLOC_FAIL: "no free blocks are left in the file system",
    library.ERROR_INODE_ALLOC_FAIL: "no free inodes are left in the file system",
    library.ERROR_EA_NO_SPACE: "there is no room for another extended attribute",
}


class Editor:
    """One file system, open in libext2fs for writing. `now` is in seconds since the epoch."""

    __slots__ = ("_bitmaps_read", "_changed", "_fs", "_library", "_manager", "_now", "_volume")

    def __init__(self, volume: ExtVolume, now: int) -> None:
        self._volume, self._library, self._now = volume, volume.library, now
        self._bitmaps_read = self._changed = False
        self._manager = IoManager(volume.device)
        self._fs: Any = library.FileSystemPointer()
        flags = library.OPEN_RW | library.OPEN_64BITS | library.OPEN_SKIP_MMP
        clear_stale_counts(volume.device, volume.superblock)
        self._call("open2", b"imgkit", None, flags, 0, 0, self._manager.pointer, byref(self._fs))
        self._check_abi()
        # 0 would mean the clock of the machine.
        self._fs.contents.now = max(now, 1)
        self._fs.contents.default_bitmap_type = library.BITMAP_RBTREE

    def flush(self) -> None:
        """Write bitmaps, group descriptors and superblock, where anything changed since the last time."""
        if self._changed:
            self._call("flush", self._fs)
            self._changed = False

    def close(self) -> None:
        """Let go of the library's memory. Edits that were not flushed stay half written on the block device."""
        if self._fs:
            self._library.free(self._fs)
            self._fs = library.FileSystemPointer()

    def rewrite(self, inode: Inode, data: bytes) -> None:
        """Replace the contents of a regular file. Its blocks stay where they are if their number stays or grows."""
        if inode.has_inline_data:
            if self._set_inline(inode.number, data):
                self._touch(inode.number, size=len(data))
                return
            self._call("inline_data_expand", self._fs, inode.number)
            inode = read_inode(self._volume, inode.number)
        found = map_blocks(self._volume, inode)
        needed = -(-len(data) // self._volume.superblock.block_size)
        if not found.is_plain or found.end > needed:
            self._release_blocks(inode, found)
        elif found.end < needed:
            self._read_bitmaps()
        self._write_data(inode.number, data)
        self._touch(inode.number)

    def create_file(self, parent: Inode, name: bytes, data: bytes) -> int:
        """Make a regular file with mode 0644 that belongs to its directory's owner. Returns its number."""
        number = self._allocate_inode(parent)
        fields = InodeFields.empty(self._volume.superblock.inode_size)
        fields.mode, fields.links = stat.S_IFREG | 0o644, 1
        if Incompat.EXTENTS in self._volume.superblock.incompat:
            fields.flags, fields.block = InodeFlag.EXTENTS, _EMPTY_EXTENT_ROOT
        self._write_inode(number, fields)
        self._library.inode_alloc_stats2(self._fs, number, 1, 0)
        self._add_name(parent, "link", name, number, int(DirectoryType.FILE))
        if data:
            self._write_data(number, data)
        self._adopt(number, parent)
        self._touch(parent.number)
        return number

    def create_directory(self, parent: Inode, name: bytes) -> int:
        """Make an empty directory with mode 0755 that belongs to its parent's owner. Returns its number."""
        links = self._links_with_one_more_child(parent)
        number = self._allocate_inode(parent)
        self._add_name(parent, "mkdir", number, name)
        self._adopt(number, parent)
        self._touch(parent.number, links=links)
        return number

    def create_link(self, parent: Inode, name: bytes, target: bytes) -> int:
        """Make a symbolic link that belongs to its directory's owner. Returns its number."""
        number = self._allocate_inode(parent)
        self._add_name(parent, "symlink", number, name, target)
        self._adopt(number, parent)
        self._touch(parent.number)
        return number

    def unlink(self, parent: Inode, name: bytes, inode: Inode) -> None:
        """Remove a name, and the inode with all that it holds when this was its last one."""
        self._read_bitmaps()
        self._call("unlink", self._fs, parent.number, name, inode.number, 0)
        is_directory = inode.type == stat.S_IFDIR
        if is_directory or inode.links <= 1:
            self._delete(inode)
        else:
            self._touch(inode.number, links=inode.links - 1, modified=False)
        # A directory with too many children to count has one link, and keeps it.
        one_less = is_directory and parent.links > 2  # noqa: PLR2004
        self._touch(parent.number, links=parent.links - one_less)

    def delete(self, inode: Inode) -> None:
        """Free an inode without names, with all that it holds."""
        self._read_bitmaps()
        self._delete(inode)

    def truncate(self, inode: Inode) -> None:
        """Cut an inode that is on the list of orphans to the size that it says, and take it off the list."""
        size, block_size = inode.size, self._volume.superblock.block_size
        if has_block_map(inode):
            self._read_bitmaps()
            self._call("punch", self._fs, inode.number, None, None, -(-size // block_size), (1 << 64) - 1)
            self._clear_tail(read_inode(self._volume, inode.number))
        fields = self._read_fields(inode.number)
        fields.dtime = 0
        self._write_inode(inode.number, fields)

    def _clear_tail(self, inode: Inode) -> None:
        """Zero what follows the end of a file in its last block."""
        logical, inside = divmod(inode.size, self._volume.superblock.block_size)
        for extent in map_blocks(self._volume, inode).extents:
            if inside and not extent.unwritten and extent.logical <= logical < extent.logical + extent.length:
                offset = (extent.physical + logical - extent.logical) * self._volume.superblock.block_size
                self._volume.device.write_at(offset + inside, bytes(self._volume.superblock.block_size - inside))

    def set_owner(self, number: int, mode: int, uid: int, gid: int) -> None:
        """Set permission bits, owner and group."""
        fields = self._read_fields(number)
        fields.mode = stat.S_IFMT(fields.mode) | stat.S_IMODE(mode)
        fields.uid, fields.gid = uid, gid
        fields.touch(self._now, modified=False)
        self._write_inode(number, fields)

    def set_attribute(self, number: int, name: bytes, value: bytes) -> None:
        """Set an extended attribute to a value in on-disk form."""
        before = self._value_sectors(number)
        self._change_attributes(number, "xattr_set", name, value, len(value))
        more = self._value_sectors(number) - before
        if more:
            inode = read_inode(self._volume, number)
            refuse_misjudged_link(inode)
            fields = InodeFields(inode.raw)
            fields.set_sectors(inode.blocks + more)
            self._write_inode(number, fields)
        self._touch(number, modified=False)

    def _value_sectors(self, number: int) -> int:
        """Sectors that an inode counts for attribute values in other inodes, which libext2fs forgets to do."""
        cluster_size = self._volume.superblock.block_size * self._volume.superblock.cluster_ratio
        found = attributes(self._volume, read_inode(self._volume, number))
        clusters = sum(-(-attribute.value_size // cluster_size) for attribute in found if attribute.value_inode)
        return clusters * cluster_size // _SECTOR

    def _write_data(self, number: int, data: bytes) -> None:
        handle, written = c_void_p(), c_uint()
        self._call("file_open", self._fs, number, library.FILE_WRITE, byref(handle))
        try:
            self._call("file_write", handle, data, len(data), byref(written))
            # Before the size is set: zeroing what follows the end works on the disk, not on the handle's buffer.
            self._call("file_flush", handle)
            self._call("file_set_size2", handle, len(data))
        finally:
            code = self._library.file_close(handle)
        self._raise_for("file_close", code)

    def _set_inline(self, number: int, data: bytes) -> bool:
        """Whether the data found room in the inode."""
        self._read_bitmaps()  # other attributes may have to move between the inode and a block
        padded = data.ljust(_INLINE_ROOM, b"\0")
        code = self._library.inline_data_set(self._fs, number, None, padded, len(padded))
        if code == library.ERROR_INLINE_DATA_NO_SPACE:
            return False
        self._raise_for("inline_data_set", code)
        return True

    def _allocate_inode(self, parent: Inode) -> int:
        self._read_bitmaps()
        number = c_uint32()
        self._call("new_inode", self._fs, parent.number, 0, None, byref(number))
        return number.value

    def _add_name(self, parent: Inode, function: str, *arguments: Any) -> None:
        """Call a function that adds a name to `parent`, once more with a larger directory where it is full."""
        code = getattr(self._library, function)(self._fs, parent.number, *arguments)
        if code == library.ERROR_DIR_NO_SPACE:
            self._call("expand_dir", self._fs, parent.number)
            code = getattr(self._library, function)(self._fs, parent.number, *arguments)
        self._raise_for(function, code)

    def _links_with_one_more_child(self, parent: Inode) -> int:
        if 1 < parent.links < _LINK_MAX - 1:
            return parent.links + 1
        if ReadOnlyCompat.DIR_NLINK not in self._volume.superblock.ro_compat:
            raise OutputError("this directory cannot have another subdirectory", hint="Put it elsewhere.")
        return 1

    def _adopt(self, number: int, parent: Inode) -> None:
        """Give a new inode its directory's owner, flags and project, and its times."""
        fields = self._read_fields(number)
        fields.uid, fields.gid = parent.uid, parent.gid
        if stat.S_ISDIR(fields.mode):
            fields.mode |= parent.mode & stat.S_ISGID
            fields.flags |= parent.flags & layout.INHERITED_FLAGS
        elif stat.S_ISREG(fields.mode):
            fields.flags |= parent.flags & layout.INHERITED_BY_FILES
        if parent.flags & InodeFlag.PROJINHERIT:
            fields.project = InodeFields(parent.raw).project
        fields.create(self._now)
        self._write_inode(number, fields)

    def _delete(self, inode: Inode) -> None:
        number = inode.number
        for attribute in attributes(self._volume, inode):
            if attribute.value_inode:
                self._change_attributes(number, "xattr_remove", attribute.name.encode(errors="surrogateescape"))
        if read_inode(self._volume, number).xattr_block:
            self._call("free_ext_attr", self._fs, number, None)
        inode = read_inode(self._volume, number)
        if has_block_map(inode):
            self._release_blocks(inode, map_blocks(self._volume, inode))
        fields = self._read_fields(number)
        fields.links = fields.size = 0
        # A deletion time that is small enough to be an inode number would look like a list of orphans.
        fields.dtime = max(self._now & 0xFFFFFFFF, self._volume.superblock.inodes_count)
        fields.touch(self._now, modified=False)
        self._write_inode(number, fields)
        self._library.inode_alloc_stats2(self._fs, number, -1, int(inode.type == stat.S_IFDIR))

    def _release_blocks(self, inode: Inode, found: BlockMap) -> None:
        """Free all blocks of an inode and empty its map.

        Not ext2fs_punch: it refuses a range that ends with the last block of the file system (1.46.6 to 1.47).
        """
        self._read_bitmaps()
        ratio, block_size = self._volume.superblock.cluster_ratio, self._volume.superblock.block_size
        if ratio == 1:
            for extent in found.extents:
                self._library.block_alloc_stats_range(self._fs, extent.physical, extent.length, -1)
            for block in found.tree:
                self._library.block_alloc_stats2(self._fs, block, -1)
            freed = found.data_blocks + len(found.tree)
        else:
            clusters = {block // ratio for block in found.tree}
            for extent in found.extents:
                clusters.update(range(extent.physical // ratio, (extent.physical + extent.length - 1) // ratio + 1))
            for cluster in sorted(clusters):
                self._library.block_alloc_stats2(self._fs, cluster * ratio, -1)
            freed = len(clusters) * ratio
        fields = self._read_fields(inode.number)
        fields.set_sectors(max(inode.blocks - freed * (block_size // _SECTOR), 0))
        fields.block = _EMPTY_EXTENT_ROOT if inode.flags & InodeFlag.EXTENTS else b""
        fields.size = 0
        self._write_inode(inode.number, fields)

    def _change_attributes(self, number: int, function: str, *arguments: Any) -> None:
        self._read_bitmaps()
        handle = c_void_p()
        self._call("xattrs_open", self._fs, number, byref(handle))
        try:
            self._call("xattrs_flags", handle, byref(c_uint(_XATTR_RAW)), None)
            self._call("xattrs_read", handle)
            self._call(function, handle, *arguments)
        finally:
            code = self._library.xattrs_close(byref(handle))
        self._raise_for("xattrs_close", code)

    def _touch(self, number: int, *, links: int | None = None, size: int | None = None, modified: bool = True) -> None:
        fields = self._read_fields(number)
        if links is not None:
            fields.links = links
        if size is not None:
            fields.size = size
        fields.touch(self._now, modified=modified)
        self._write_inode(number, fields)

    def _read_fields(self, number: int) -> InodeFields:
        return InodeFields(read_inode(self._volume, number).raw)

    def _write_inode(self, number: int, fields: InodeFields) -> None:
        raw = fields.to_bytes()
        self._call("write_inode_full", self._fs, number, raw, len(raw))
        self._changed = True

    def _read_bitmaps(self) -> None:
        if not self._bitmaps_read:
            self._call("read_bitmaps", self._fs)
            self._bitmaps_read = True

    def _check_abi(self) -> None:
        """Compare what the library says of itself with what we know, before anything is written to its structures."""
        fs, superblock = self._fs.contents, self._volume.superblock
        if (
            (fs.magic, fs.blocksize, fs.group_desc_count) != (_MAGIC, superblock.block_size, superblock.group_count)
            or (fs.umask, 1 << (fs.cluster_ratio_bits & 31)) != (_DEFAULT_UMASK, superblock.cluster_ratio)
            or string_at(fs.super, layout.SUPERBLOCK_SIZE) != superblock.raw
        ):
            raise EngineError(
                f"libext2fs {self._library.version} has structures that are unknown here", hint=GUESTFS_HINT
            )

    def _call(self, function: str, *arguments: Any) -> None:
        self._raise_for(function, getattr(self._library, function)(*arguments))

    def _raise_for(self, function: str, code: int) -> None:
        self._manager.raise_failure()
        if code in _FULL:
            raise OutputError(_FULL[code], hint="Free some space in it, or enlarge it, for example with virt-resize.")
        if code:
            raise EngineError(f"ext2fs_{function}: {self._library.error_text(code)}", hint=GUESTFS_HINT)
