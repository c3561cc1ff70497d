"""What paths lead to in an ext file system. No link is followed: whoever joins file systems resolves paths itself."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from imgkit.errors import PathNotFoundError, TreeError, UnsupportedError
from imgkit.filesystem.ext.layout import ROOT_INODE, InodeFlag
from imgkit.filesystem.ext.names import Names
from imgkit.filesystem.ext.superblock import GUESTFS_HINT
from imgkit.filesystem.ext.volume import damaged_inode, read_inode
from imgkit.filesystem.paths import components

if TYPE_CHECKING:
    from imgkit.filesystem.ext.volume import ExtVolume, Inode

_REMEMBERED_NAMES = 4096


class Lookup:
    """The inodes that paths lead to, remembered: an edit makes a new one of these. Raises TreeError."""

    __slots__ = ("_children", "_root", "_volume", "names")

    def __init__(self, volume: ExtVolume) -> None:
        self._volume = volume
        self.names = Names(volume)
        self._root: Inode | None = None
        self._children: dict[tuple[int, bytes], Inode | None] = {}

    def find(self, path: str) -> Inode | None:
        """The inode at a path, or None where a component is missing or no directory."""
        inode = self._root_directory()
        for name in components(path):
            if inode.type != stat.S_IFDIR:
                return None
            refuse_encrypted(inode, path)
            child = self._child(inode, encoded(name))
            if child is None:
                return None
            inode = child
        return inode

    def inode(self, path: str) -> Inode:
        """The inode at a path. Raises PathNotFoundError."""
        inode = self.find(path)
        if inode is None:
            raise PathNotFoundError("no such file or directory", path=path)
        return inode

    def regular_file(self, path: str) -> Inode:
        """The inode of a regular file that can be read."""
        inode = self.inode(path)
        if inode.type != stat.S_IFREG:
            raise TreeError("not a regular file", path=path)
        refuse_encrypted(inode, path)
        return inode

    def directory(self, path: str) -> Inode:
        """The inode of a directory that can be read."""
        inode = self.inode(path)
        if inode.type != stat.S_IFDIR:
            raise TreeError("not a directory", path=path)
        refuse_encrypted(inode, path)
        return inode

    def parent(self, path: str) -> tuple[Inode, bytes]:
        """The directory of a path other than the root, and the last name."""
        *parents, name = components(path)
        return self.directory("/" + "/".join(parents)), encoded(name)

    def _root_directory(self) -> Inode:
        if self._root is None:
            self._root = read_inode(self._volume, ROOT_INODE)
        if self._root.type != stat.S_IFDIR:
            raise damaged_inode(self._volume, ROOT_INODE, "the root is not a directory", "i_mode")
        return self._root

    def _child(self, parent: Inode, name: bytes) -> Inode | None:
        """The inode that a name in a directory leads to, remembered."""
        key = parent.number, name
        if key not in self._children:
            if len(self._children) >= _REMEMBERED_NAMES:
                self._children.clear()
            number = self.names.find(parent, name)
            self._children[key] = None if number is None else read_inode(self._volume, number)
        return self._children[key]


def refuse_encrypted(inode: Inode, path: str) -> None:
    """Raise UnsupportedError for what fscrypt has encrypted."""
    if inode.flags & InodeFlag.ENCRYPT:
        raise UnsupportedError(f"{path}: it is encrypted (fscrypt)", hint=GUESTFS_HINT)


def decoded(name: bytes) -> str:
    """A name or target as text; what is not UTF-8 becomes surrogates."""
    return name.decode(errors="surrogateescape")


def encoded(name: str) -> bytes:
    """A name as its bytes."""
    return name.encode(errors="surrogateescape")
