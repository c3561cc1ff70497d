"""A folder of a file system as a file system of its own: ostree's deployments, and /boot inside another partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.filesystem.base import FileSystem
    from imgkit.tree import Attributes, Stat


class SubtreeFileSystem:
    """The part of a file system below `folder` (see `imgkit.filesystem.base.FileSystem`). Paths start there."""

    def __init__(self, whole: FileSystem, folder: str) -> None:
        self._whole = whole
        self._folder = folder.rstrip("/")

    @property
    def kind(self) -> str:
        """Its type as blkid says it."""
        return self._whole.kind

    @property
    def uuid(self) -> str:
        """Its UUID."""
        return self._whole.uuid

    @property
    def label(self) -> str:
        """Its label."""
        return self._whole.label

    def read(self, path: str, /) -> bytes:
        """Contents of a regular file."""
        return self._whole.read(self._inner(path))

    def read_chunks(self, path: str, /) -> Iterator[bytes]:
        """Contents of a regular file in pieces of at most 1 MiB."""
        return self._whole.read_chunks(self._inner(path))

    def write(self, path: str, data: bytes, /) -> None:
        """Replace the contents of a regular file, or create it."""
        self._whole.write(self._inner(path), data)

    def exists(self, path: str, /) -> bool:
        """Whether there is anything at the path, be it a link that leads nowhere."""
        return self._whole.exists(self._inner(path))

    def listdir(self, path: str, /) -> list[str]:
        """Sorted names in a directory."""
        return self._whole.listdir(self._inner(path))

    def stat(self, path: str, /, *, follow: bool = False) -> Stat:
        """Metadata of what is at the path."""
        return self._whole.stat(self._inner(path), follow=follow)

    def readlink(self, path: str, /) -> str:
        """Target of a symbolic link."""
        return self._whole.readlink(self._inner(path))

    def symlink(self, target: str, path: str, /) -> None:
        """Make a symbolic link."""
        self._whole.symlink(target, self._inner(path))

    def mkdir(self, path: str, /) -> None:
        """Make one directory."""
        self._whole.mkdir(self._inner(path))

    def remove(self, path: str, /) -> None:
        """Remove a file, a link, or an empty directory."""
        self._whole.remove(self._inner(path))

    def set_attributes(self, path: str, attributes: Attributes, /) -> None:
        """Set mode, owner and label."""
        self._whole.set_attributes(self._inner(path), attributes)

    def flush(self) -> None:
        """Bring everything that is staged onto the block device."""
        self._whole.flush()

    def close(self) -> None:
        """Nothing: the engine closes the whole."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _inner(self, path: str) -> str:
        return self._folder + path if path != "/" else self._folder or "/"
