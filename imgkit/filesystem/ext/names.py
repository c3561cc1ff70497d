"""Finding names in directories without reading all of a directory for each of them.

A directory that was listed, or that has no index, is remembered by name until something changes. Elsewhere the index
(htree) tells which block a name lies in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.filesystem.ext import directory, htree
from imgkit.filesystem.ext.layout import InodeFlag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgkit.filesystem.ext.volume import ExtVolume, Inode

_MOST = 1 << 17
"""Names that are remembered of all directories but the one that came last."""

_LARGEST = 1 << 20
"""Names of a directory that is remembered at all."""

_MOST_READERS = 64


class Names:
    """The names of one file system, looked up and remembered."""

    __slots__ = ("_known", "_readers", "_volume")

    def __init__(self, volume: ExtVolume) -> None:
        self._volume = volume
        self._known: dict[int, dict[bytes, int]] = {}
        self._readers: dict[int, directory.BlockReader] = {}

    def listing(self, inode: Inode) -> Iterable[bytes]:
        """All names in a directory but "." and "..", in disk order."""
        known = self._remembered(inode)
        return known if known is not None else (entry.name for entry in directory.iterate(self._volume, inode))

    def find(self, inode: Inode, name: bytes) -> int | None:
        """The number of the inode that a name in a directory leads to, or None."""
        known = self._known.get(inode.number)
        if known is None and inode.flags & InodeFlag.INDEX and not inode.has_inline_data:
            reader = self._reader(inode)
            leaves = htree.leaves(self._volume, inode, reader, name)
            if leaves is not None:
                return self._search(inode, reader, leaves, name)
        known = self._remembered(inode)
        if known is not None:
            return known.get(name)
        found = (entry.inode for entry in directory.iterate(self._volume, inode) if entry.name == name)
        return next(found, None)

    def _search(self, inode: Inode, reader: directory.BlockReader, leaves: list[int], name: bytes) -> int | None:
        for logical in leaves:
            block, data = reader.read(logical)
            if name in data:  # one fast scan spares parsing the blocks that cannot hold it
                for entry in directory.entries(self._volume, inode, block, data):
                    if entry.name == name:
                        return entry.inode
        return None

    def _reader(self, inode: Inode) -> directory.BlockReader:
        if inode.number not in self._readers:
            if len(self._readers) >= _MOST_READERS:
                self._readers.clear()
            self._readers[inode.number] = directory.BlockReader(self._volume, inode)
        return self._readers[inode.number]

    def _remembered(self, inode: Inode) -> dict[bytes, int] | None:
        """The names of a directory with their inodes, the first of a name counts; None if there are too many."""
        known = self._known.get(inode.number)
        if known is not None:
            return known
        known = {}
        for entry in directory.iterate(self._volume, inode):
            known.setdefault(entry.name, entry.inode)
            if len(known) > _LARGEST:
                return None
        if sum(map(len, self._known.values())) > _MOST:
            self._known.clear()
        self._known[inode.number] = known
        return known
