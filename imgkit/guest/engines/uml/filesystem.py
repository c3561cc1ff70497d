"""One file system that the kernel has mounted; every verb is one question to the agent."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from imgkit.errors import PathNotFoundError, TreeError
from imgkit.guest.engines.uml.machine import Refused
from imgkit.guest.volume import read_only_error
from imgkit.tree import FileType, Stat, refuse_large

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.guest.engines.uml.machine import Machine
    from imgkit.guest.volume import GuestVolume
    from imgkit.tree import Attributes

_CHUNK = 1 << 20
_TYPES = {
    0o100000: FileType.FILE,
    0o040000: FileType.DIRECTORY,
    0o120000: FileType.LINK,
    0o020000: FileType.DEVICE,
    0o060000: FileType.DEVICE,
}


class UmlFileSystem:
    """The file system of a volume, mounted as number `mount` (see `imgkit.filesystem.base.FileSystem`).

    `now`, in seconds, stamps what is edited.
    """

    def __init__(self, machine: Machine, mount: int, volume: GuestVolume, now: int) -> None:
        self._machine = machine
        self._mount = mount
        self._volume = volume
        self._now = now

    @property
    def kind(self) -> str:
        """Its type as blkid says it."""
        return self._volume.kind

    @property
    def uuid(self) -> str:
        """Its UUID."""
        return self._volume.uuid

    @property
    def label(self) -> str:
        """Its label."""
        return self._volume.label

    def read(self, path: str, /) -> bytes:
        """Contents of a regular file of at most READ_LIMIT bytes; `read_chunks` has no limit."""
        refuse_large(self.stat(path).size, path)
        return b"".join(self.read_chunks(path))

    def read_chunks(self, path: str, /) -> Iterator[bytes]:
        """Contents of a regular file in pieces of 1 MiB."""
        offset = 0
        while True:
            (piece,) = self._ask("read", path, offset, _CHUNK)
            if piece or not offset:
                yield piece
            if len(piece) < _CHUNK:
                return
            offset += len(piece)

    def write(self, path: str, data: bytes, /) -> None:
        """Replace the contents of a regular file, or create it."""
        for offset in range(0, len(data) or 1, _CHUNK):
            self._ask("write", path, offset, self._now, data[offset : offset + _CHUNK])

    def exists(self, path: str, /) -> bool:
        """Whether there is anything at the path, be it a link that leads nowhere."""
        try:
            self.stat(path)
        except PathNotFoundError:
            return False
        return True

    def listdir(self, path: str, /) -> list[str]:
        """Sorted names in a directory."""
        (names,) = self._ask("list", path)
        return sorted(os.fsdecode(name) for name in names.split(b"\0") if name)

    def stat(self, path: str, /, *, follow: bool = False) -> Stat:  # noqa: ARG002 - no link is followed here
        """Metadata of what is at the path."""
        mode, uid, gid, size, mtime = map(int, self._ask("stat", path))
        return Stat(_TYPES.get(mode & 0o170000, FileType.OTHER), mode & 0o7777, uid, gid, size, mtime)

    def readlink(self, path: str, /) -> str:
        """Target of a symbolic link."""
        (target,) = self._ask("readlink", path)
        return os.fsdecode(target)

    def symlink(self, target: str, path: str, /) -> None:
        """Make a symbolic link."""
        self._ask("symlink", path, os.fsencode(target), self._now)

    def mkdir(self, path: str, /) -> None:
        """Make one directory."""
        self._ask("mkdir", path, self._now)

    def remove(self, path: str, /) -> None:
        """Remove a file, a link, or an empty directory."""
        self._ask("remove", path)

    def set_attributes(self, path: str, attributes: Attributes, /) -> None:
        """Set mode, owner and, where there is one, the SELinux label's type."""
        label = attributes.label.encode()
        self._ask("attributes", path, attributes.mode, attributes.uid, attributes.gid, label)

    def flush(self) -> None:
        """Nothing to do: the engine unmounts before anybody looks at the disk."""

    def close(self) -> None:
        """Nothing to let go of: the kernel ends with its engine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, verb: str, path: str, *arguments: bytes | int) -> list[bytes]:
        with self._errors(path):
            return self._machine.call(verb, self._mount, os.fsencode(path), *arguments)

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except Refused as error:
            if error.code in (errno.ENOENT, errno.ENOTDIR):
                raise PathNotFoundError("no such file or directory", path=path) from error
            if error.code == errno.EROFS:
                raise read_only_error(self._volume, path) from error
            raise TreeError(error.message, path=path) from error
