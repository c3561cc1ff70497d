"""An ext2, ext3 or ext4 file system as a tree: paths to inodes, and the verbs on them.

Reading uses our own validated structures; libext2fs is opened at the first edit. No link is followed: a caller that
joins several file systems resolves paths itself.
"""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from imgkit.errors import TreeError, UnsupportedError
from imgkit.filesystem.base import Check
from imgkit.filesystem.ext import directory, library
from imgkit.filesystem.ext.bitmaps import check_counts
from imgkit.filesystem.ext.busy import refuse_busy
from imgkit.filesystem.ext.check import check_fully, check_touched
from imgkit.filesystem.ext.contents import read_chunks, read_link
from imgkit.filesystem.ext.editor import Editor
from imgkit.filesystem.ext.inodes import refuse_bad_blocks
from imgkit.filesystem.ext.journal.recovery import recover
from imgkit.filesystem.ext.layout import ROOT_INODE, Compat, DirectoryType, InodeFlag
from imgkit.filesystem.ext.lookup import Lookup, decoded, encoded, refuse_encrypted
from imgkit.filesystem.ext.volume import modification_time, open_volume, read_inode
from imgkit.filesystem.ext.xattr import attribute_value, attributes
from imgkit.tree import FileType, Stat, refuse_large, relabelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.filesystem.ext.superblock import Superblock
    from imgkit.filesystem.ext.volume import ExtVolume, Inode
    from imgkit.storage.device import BlockDevice
    from imgkit.storage.overlay import Overlay
    from imgkit.tree import Attributes

_SELINUX = "security.selinux"
_INLINE_DATA = "system.data"
_NAME_MAX = 255
_SMALL = 128
"""Inodes in use up to which the full check takes no more than some milliseconds."""

_TYPES = {
    stat.S_IFREG: FileType.FILE,
    stat.S_IFDIR: FileType.DIRECTORY,
    stat.S_IFLNK: FileType.LINK,
    stat.S_IFCHR: FileType.DEVICE,
    stat.S_IFBLK: FileType.DEVICE,
}


def open_ext(
    device: BlockDevice,
    *,
    writable: bool,
    now: int,
    check: Check = Check.AUTO,
    on_notice: Callable[[str], None] | None = None,
) -> ExtFileSystem:
    """Open a file system. One whose journal has to be replayed is as it would be afterwards, and `on_notice` is told.

    The replay reaches the device with the first edit.

    FormatError where a structure contradicts itself, UnsupportedError for what is not clean, busy or has features
    that are not served here, EngineError without libext2fs.
    """
    replayed = recover(device, library.load(), now=now)
    volume = open_volume(replayed or device, library.load(), writable=writable)
    refuse_busy(volume)
    if writable:
        refuse_bad_blocks(volume)
    if check is Check.FULL:
        check_fully(volume)
    if replayed is not None and on_notice is not None:
        on_notice("was not unmounted; its journal is replayed, as mounting it would do")
    return ExtFileSystem(volume, replayed, device, writable=writable, now=now, checked=check is Check.FULL)


class ExtFileSystem:
    """The verbs of `FileSystem`, and extended attributes. All raise TreeError for what a path does not allow.

    The first edit is preceded by a check (see `docs/decisions/021-checking-before-editing.md`): it raises FormatError
    or UnsupportedError before a byte is written.
    """

    __slots__ = (
        "_checked",
        "_checked_inodes",
        "_device",
        "_editor",
        "_lookup",
        "_now",
        "_replayed",
        "_stale",
        "_volume",
        "_writable",
    )

    def __init__(
        self,
        volume: ExtVolume,
        replayed: Overlay | None,
        device: BlockDevice,
        *,
        writable: bool,
        now: int,
        checked: bool,
    ) -> None:
        self._volume, self._writable, self._now, self._checked = volume, writable, now, checked
        self._replayed, self._device = replayed, device
        self._checked_inodes: set[int] = set()
        self._editor: Editor | None = None
        self._lookup = Lookup(volume)
        self._stale = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def kind(self) -> str:
        """ext2, ext3 or ext4, as blkid tells them apart."""
        return self._volume.superblock.kind

    @property
    def uuid(self) -> str:
        """UUID, or "" for the nil one."""
        return self._volume.superblock.uuid

    @property
    def label(self) -> str:
        """Volume label."""
        return self._volume.superblock.label

    def flush(self) -> None:
        """Write bitmaps, group descriptors and superblock of all edits so far."""
        if self._editor is not None:
            self._editor.flush()
            self.close()
            self._stale = True

    def close(self) -> None:
        """Let go of the library; what was not flushed is abandoned."""
        if self._editor is not None:
            self._editor.close()
            self._editor = None

    def read(self, path: str, /) -> bytes:
        """Contents of a regular file of at most READ_LIMIT bytes; `read_chunks` has no limit."""
        inode = self._lookup.regular_file(path)
        refuse_large(inode.size, path)
        return b"".join(read_chunks(self._volume, inode))

    def read_chunks(self, path: str, /) -> Iterator[bytes]:
        """Contents of a regular file of any size in pieces of at most 1 MiB; holes are zeros."""
        return read_chunks(self._volume, self._lookup.regular_file(path))

    def exists(self, path: str, /) -> bool:
        """Whether the path leads to anything."""
        return self._lookup.find(path) is not None

    def listdir(self, path: str, /) -> list[str]:
        """Sorted names in a directory, without "." and ".."."""
        return sorted(map(decoded, self._lookup.names.listing(self._lookup.directory(path))))

    def stat(self, path: str, /, *, follow: bool = True) -> Stat:  # noqa: ARG002  no link is followed
        """Metadata of what is at the path, a symbolic link included."""
        inode = self._lookup.inode(path)
        kind = _TYPES.get(inode.type, FileType.OTHER)
        return Stat(kind, stat.S_IMODE(inode.mode), inode.uid, inode.gid, inode.size, modification_time(inode))

    def readlink(self, path: str, /) -> str:
        """Target of a symbolic link, as stored."""
        inode = self._lookup.inode(path)
        if inode.type != stat.S_IFLNK:
            raise TreeError("not a symbolic link", path=path)
        refuse_encrypted(inode, path)
        return decoded(read_link(self._volume, inode))

    def list_xattrs(self, path: str, /) -> list[str]:
        """Sorted names of the extended attributes of what is at the path."""
        names = {attribute.name for attribute in attributes(self._volume, self._lookup.inode(path))}
        return sorted(names - {_INLINE_DATA})

    def get_xattr(self, path: str, name: str, /) -> bytes | None:
        """Value of an extended attribute in on-disk form (which differs for ACLs), or None."""
        return self._attribute(self._lookup.inode(path), name)

    def set_xattr(self, path: str, name: str, value: bytes, /) -> None:
        """Set an extended attribute to a value in on-disk form."""
        self._begin_edits()
        inode = self._lookup.inode(path)
        self._refuse_uneditable(inode, path)
        self._edit().set_attribute(inode.number, encoded(name), value)

    def write(self, path: str, data: bytes, /) -> None:
        """Replace the contents of a regular file, or create it, with its directory's owner and a sibling's label."""
        self._begin_edits()
        inode = self._lookup.find(path)
        if inode is None:
            parent, name = self._new_name(path)
            number = self._edit().create_file(parent, name, data)
            self._checked_inodes.add(number)
            self._label(parent, number, DirectoryType.FILE)
            return
        if inode.type != stat.S_IFREG:
            raise TreeError("not a regular file", path=path)
        self._refuse_uneditable(inode, path)
        self._edit().rewrite(inode, data)

    def symlink(self, target: str, path: str, /) -> None:
        """Make a symbolic link at `path`."""
        self._begin_edits()
        parent, name = self._new_name(path)
        raw = encoded(target)
        if not 0 < len(raw) < self._volume.superblock.block_size or b"\0" in raw:
            raise TreeError("a link cannot have this target", path=path)
        number = self._edit().create_link(parent, name, raw)
        self._checked_inodes.add(number)
        self._label(parent, number, DirectoryType.LINK)

    def mkdir(self, path: str, /) -> None:
        """Make one directory, mode 0755."""
        self._begin_edits()
        parent, name = self._new_name(path)
        number = self._edit().create_directory(parent, name)
        self._checked_inodes.add(number)
        self._label(parent, number, DirectoryType.DIRECTORY)

    def remove(self, path: str, /) -> None:
        """Remove a file, a link, or an empty directory."""
        self._begin_edits()
        inode = self._lookup.inode(path)
        if inode.number == ROOT_INODE:
            raise TreeError("the root directory cannot be removed", path=path)
        parent, name = self._lookup.parent(path)
        self._refuse_uneditable(parent, path)
        self._refuse_uneditable(inode, path)
        if inode.type == stat.S_IFDIR and next(directory.iterate(self._volume, inode), None) is not None:
            raise TreeError("the directory is not empty", path=path)
        self._edit().unlink(parent, name, inode)

    def set_attributes(self, path: str, attributes: Attributes, /) -> None:
        """Set mode, owner and, where there is one, the SELinux label's type."""
        self._begin_edits()
        inode = self._lookup.inode(path)
        self._refuse_uneditable(inode, path)
        self._edit().set_owner(inode.number, attributes.mode, attributes.uid, attributes.gid)
        label = self._attribute(inode, _SELINUX) if attributes.label else None
        if label:
            self._edit().set_attribute(inode.number, encoded(_SELINUX), relabelled(label, attributes.label))

    def _edit(self) -> Editor:
        """The editor, for an edit of what was found editable."""
        if self._editor is None:
            self._editor = Editor(self._volume, self._now)
        self._forget()
        return self._editor

    def _forget(self) -> None:
        """Look everything up anew: it is about to change, or has."""
        self._lookup = Lookup(self._volume)

    def _begin_edits(self) -> None:
        """Before the first edit: make sure that nothing contradicts what edits build on."""
        if not self._writable:
            raise UnsupportedError("the file system was opened for reading only")
        if self._editor is not None:
            return
        if self._stale:
            self._volume = open_volume(self._volume.device, self._volume.library, writable=True)
            self._stale = False
            self._forget()
        if not self._checked:
            if _needs_full_check(self._volume.superblock):
                check_fully(self._volume)
                self._checked = True
            else:
                check_counts(self._volume)
        if self._replayed is not None:
            for patch in self._replayed.plan().patches:
                self._device.write_at(patch.offset, patch.after)
            self._volume, self._replayed = replace(self._volume, device=self._device), None
            self._forget()

    def _refuse_uneditable(self, inode: Inode, path: str) -> None:
        """Refuse what a kernel would refuse even to root, and what contradicts itself."""
        refuse_encrypted(inode, path)
        if inode.flags & InodeFlag.VERITY:
            raise TreeError("its contents are sealed by fs-verity", path=path)
        if inode.flags & (InodeFlag.IMMUTABLE | InodeFlag.APPEND):
            raise TreeError("it is immutable or append-only (chattr +i or +a)", path=path)
        if not self._checked and inode.number not in self._checked_inodes:
            check_touched(self._volume, inode)
            self._checked_inodes.add(inode.number)

    def _new_name(self, path: str) -> tuple[Inode, bytes]:
        if self.exists(path):
            raise TreeError("it exists already", path=path)
        parent, name = self._lookup.parent(path)
        if len(name) > _NAME_MAX:
            raise TreeError(f"a name has at most {_NAME_MAX} bytes", path=path)
        self._refuse_uneditable(parent, path)
        return parent, name

    def _label(self, parent: Inode, number: int, kind: DirectoryType) -> None:
        """Give a new inode the SELinux label of a sibling of its type, or of its directory, where labels are used."""
        if Compat.EXT_ATTR not in self._volume.superblock.compat:
            return
        label = self._attribute(parent, _SELINUX)
        if label is None:
            return
        parent = read_inode(self._volume, parent.number)
        for entry in directory.iterate(self._volume, parent):
            if entry.type == kind and entry.inode != number:
                siblings = self._attribute(read_inode(self._volume, entry.inode), _SELINUX)
                if siblings is not None:
                    label = siblings
                    break
        self._edit().set_attribute(number, encoded(_SELINUX), label)

    def _attribute(self, inode: Inode, name: str) -> bytes | None:
        for attribute in attributes(self._volume, inode):
            if attribute.name == name:
                return attribute_value(self._volume, inode, attribute)
        return None


def _needs_full_check(superblock: Superblock) -> bool:
    """Whether no checksums guard the structures, or there are so few that looking at all of them costs next to nothing.

    Elsewhere the checksums of what is read and a check of every inode that is edited have to do.
    """
    in_use = superblock.inodes_count - superblock.free_inodes_count
    return not superblock.has_metadata_csum or in_use <= _SMALL
