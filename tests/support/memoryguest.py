"""A guest's files in memory, links among them, under the joined tree that serves real images."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from imgkit.errors import PathNotFoundError, TreeError
from imgkit.filesystem.base import FileSystem
from imgkit.guest.joined import JoinedTree
from imgkit.guest.volume import GuestVolume
from imgkit.tree import Attributes, Change, FileType, Stat, apply_changes


class MemoryFileSystem:
    """One file system (see `imgkit.filesystem.base.FileSystem`): contents by path, a `str` is a link's target."""

    kind, uuid, label = "ext4", "", ""

    def __init__(self, files: Mapping[str, bytes | str]) -> None:
        self.files: dict[str, bytes | str] = dict(files)
        self.folders = {"/"}
        self.attributes: dict[str, Attributes] = {}
        for path in files:
            self.mkdir(posixpath.dirname(path))

    def read(self, path: str, /) -> bytes:
        data = self.files[path]
        assert isinstance(data, bytes)
        return data

    def read_chunks(self, path: str, /) -> Iterator[bytes]:
        yield self.read(path)

    def write(self, path: str, data: bytes, /) -> None:
        self.files[path] = data

    def exists(self, path: str, /) -> bool:
        return path in self.files or path in self.folders

    def listdir(self, path: str, /) -> list[str]:
        names = {*self.files, *self.folders} - {"/"}
        return sorted(posixpath.basename(name) for name in names if posixpath.dirname(name) == path)

    def stat(self, path: str, /, *, follow: bool = False) -> Stat:
        if path in self.folders:
            return Stat(FileType.DIRECTORY, 0o755, 0, 0, 0, 0)
        if path not in self.files:
            raise PathNotFoundError("no such file or directory", path=path)
        data = self.files[path]
        kind = FileType.LINK if isinstance(data, str) else FileType.FILE
        return Stat(kind, 0o644, 0, 0, len(data), 0)

    def readlink(self, path: str, /) -> str:
        target = self.files.get(path)
        if not isinstance(target, str):
            raise TreeError("is not a symbolic link", path=path)
        return target

    def symlink(self, target: str, path: str, /) -> None:
        self.files[path] = target

    def mkdir(self, path: str, /) -> None:
        while path not in self.folders:
            self.folders.add(path)
            path = posixpath.dirname(path)

    def set_attributes(self, path: str, attributes: Attributes, /) -> None:
        self.attributes[path] = attributes

    def remove(self, path: str, /) -> None:
        del self.files[path]

    def flush(self) -> None:
        """Nothing to write."""

    def close(self) -> None:
        """Nothing to let go of."""


class MemoryGuest(JoinedTree):
    """The tree of a guest whose only file system is in memory; changes can be made in it."""

    def __init__(self, files: Mapping[str, bytes | str]) -> None:
        self.root = MemoryFileSystem(files)
        super().__init__({"/": lambda: self.root})  # type: ignore[dict-item]

    def apply(self, changes: list[Change]) -> None:
        """Make the changes."""
        apply_changes(self, changes)


class MemoryEngine:
    """An engine (see `imgkit.guest.volume.Engine`) over file systems in memory, by volume."""

    name = "memory"
    notices: tuple[str, ...] = ()

    def __init__(self, file_systems: Mapping[GuestVolume, Mapping[str, bytes | str]]) -> None:
        self._open = {volume: MemoryFileSystem(files) for volume, files in file_systems.items()}

    def volumes(self) -> tuple[GuestVolume, ...]:
        return tuple(self._open)

    def open(self, volume: GuestVolume, /) -> FileSystem:
        return self._open[volume]  # type: ignore[return-value]

    def finish(self) -> None:
        """Nothing to bring anywhere."""

    def close(self) -> None:
        """Nothing to let go of."""
