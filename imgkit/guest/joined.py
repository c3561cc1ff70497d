"""A guest's file systems joined to one tree at their mount points; links are followed, always inside the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.errors import PathNotFoundError, TreeError, naming
from imgkit.tree import FileType, Stat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from imgkit.filesystem.base import FileSystem
    from imgkit.tree import Attributes

_MAX_LINKS = 40  # as Linux has it (path_resolution(7))


class JoinedTree:
    """The tree of an installed guest (see `imgkit.tree.Tree`).

    `mounts` gives, for each mount point, what opens its file system; "/" has to be among them. A file system is opened
    when a path first leads into it, and whatever its opening raises goes to the caller. Nobody else may write to the
    file systems meanwhile: what was looked up is remembered until the next edit.
    """

    def __init__(self, mounts: Mapping[str, Callable[[], FileSystem]]) -> None:
        self._mounts = {("" if point == "/" else point): opener for point, opener in mounts.items()}
        self._stats: dict[str, Stat | None] = {}

    def read(self, path: str, /) -> bytes:
        """Contents of a regular file."""
        file_system, inner = self._locate(self.resolve(path))
        with naming(path):
            return file_system.read(inner)

    def read_chunks(self, path: str, /) -> Iterator[bytes]:
        """Contents of a regular file in pieces of at most 1 MiB."""
        file_system, inner = self._locate(self.resolve(path))
        with naming(path):
            yield from file_system.read_chunks(inner)

    def write(self, path: str, data: bytes, /) -> None:
        """Replace the contents of a regular file, or create it."""
        file_system, inner = self._to_edit(self.resolve(path, may_be_missing=True))
        with naming(path):
            file_system.write(inner, data)

    def exists(self, path: str, /) -> bool:
        """Whether the path leads to anything."""
        try:
            self.resolve(path)
        except PathNotFoundError:
            return False
        return True

    def listdir(self, path: str, /) -> list[str]:
        """Sorted names in a directory."""
        file_system, inner = self._locate(self.resolve(path))
        with naming(path):
            return file_system.listdir(inner)

    def stat(self, path: str, /, *, follow: bool = True) -> Stat:
        """Metadata of what is at the path."""
        stat = self._lstat(self.resolve(path, follow=follow))
        if stat is None:
            raise PathNotFoundError("no such file or directory", path=path)
        return stat

    def readlink(self, path: str, /) -> str:
        """Target of a symbolic link, as stored."""
        file_system, inner = self._locate(self.resolve(path, follow=False))
        with naming(path):
            return file_system.readlink(inner)

    def symlink(self, target: str, path: str, /) -> None:
        """Make a symbolic link."""
        file_system, inner = self._to_edit(self.resolve(path, follow=False, may_be_missing=True))
        with naming(path):
            file_system.symlink(target, inner)

    def mkdir(self, path: str, /) -> None:
        """Make one directory."""
        file_system, inner = self._to_edit(self.resolve(path, may_be_missing=True))
        with naming(path):
            file_system.mkdir(inner)

    def remove(self, path: str, /) -> None:
        """Remove a file, a link, or an empty directory."""
        resolved = self.resolve(path, follow=False)
        if resolved in self._mounts:
            raise TreeError("is a mount point", path=path)
        file_system, inner = self._to_edit(resolved)
        with naming(path):
            file_system.remove(inner)

    def set_attributes(self, path: str, attributes: Attributes, /) -> None:
        """Set mode, owner and label."""
        file_system, inner = self._to_edit(self.resolve(path))
        with naming(path):
            file_system.set_attributes(inner, attributes)

    def resolve(self, path: str, *, follow: bool = True, may_be_missing: bool = False) -> str:
        """The path without links, "." and ".."; "" is the root directory.

        `follow` says whether a link at the end is followed too. Raises PathNotFoundError, unless `may_be_missing` and
        only the last component is, and TreeError for a chain of more than 40 links.
        """
        if not path.startswith("/"):
            raise TreeError("path is not absolute", path=path, hint=f"Write it as /{path}.")
        pending = _components(path)
        done = ""
        links = 0
        while pending:
            name = pending.pop(0)
            if name == "..":
                done = done.rpartition("/")[0]
                continue
            here = f"{done}/{name}"
            stat = self._lstat(here)
            if stat is None:
                if may_be_missing and not pending:
                    return here
                hint = f"`imgkit ls IMAGE {done or '/'}` lists what exists."
                raise PathNotFoundError("no such file or directory", path=path, hint=hint)
            if stat.type is not FileType.LINK or not (pending or follow):
                if pending and stat.type is not FileType.DIRECTORY:
                    raise PathNotFoundError(f"{here} is not a directory", path=path)
                done = here
                continue
            links += 1
            if links > _MAX_LINKS:
                raise TreeError("too many levels of symbolic links", path=path)
            file_system, inner = self._locate(here)
            target = file_system.readlink(inner)
            done = "" if target.startswith("/") else done
            pending = _components(target) + pending
        return done

    def _lstat(self, path: str) -> Stat | None:
        """Metadata at a path without links in front of its last component; None where there is nothing."""
        if path not in self._stats:
            file_system, inner = self._locate(path)
            try:
                self._stats[path] = file_system.stat(inner, follow=False)
            except PathNotFoundError:
                self._stats[path] = None
        return self._stats[path]

    def _to_edit(self, path: str) -> tuple[FileSystem, str]:
        self._stats.clear()
        return self._locate(path)

    def _locate(self, path: str) -> tuple[FileSystem, str]:
        """The file system that holds a resolved path, and the path inside it."""
        point = path
        while point not in self._mounts:
            point = point.rpartition("/")[0]
        return self._mounts[point](), path[len(point) :] or "/"


def _components(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]
