"""A tree in memory: an installer's files by path, without links, as an ISO without Rock Ridge has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imgkit.errors import PathNotFoundError, TreeError
from imgkit.tree import FileType, Stat
from tests.support import corpus, oracle


class MemoryTree:
    """The protocol `imgkit.tree.Tree` over a dictionary. Directories are there where a path leads through them."""

    def __init__(self, files: dict[str, str | bytes]) -> None:
        self.files = {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}
        self._folders: dict[str, set[str]] = {}
        self._listed = -1

    def read_chunks(self, path: str, /) -> Iterator[bytes]:
        yield self.read(path)

    def read(self, path: str, /) -> bytes:
        if path not in self.files:
            raise PathNotFoundError(f"{path}: no such file", path=path)
        return self.files[path]

    def write(self, path: str, data: bytes, /) -> None:
        self.files[path] = data

    def exists(self, path: str, /) -> bool:
        return path in self.files or self._is_directory(path)

    def listdir(self, path: str, /) -> list[str]:
        if not self._is_directory(path):
            raise PathNotFoundError(f"{path}: no such directory", path=path)
        return sorted(self._folders[path.rstrip("/")])

    def stat(self, path: str, /, *, follow: bool = True) -> Stat:
        if path in self.files:
            return Stat(FileType.FILE, 0o644, 0, 0, len(self.files[path]), 0)
        if self._is_directory(path):
            return Stat(FileType.DIRECTORY, 0o755, 0, 0, 0, 0)
        raise PathNotFoundError(f"{path}: no such file", path=path)

    def readlink(self, path: str, /) -> str:
        raise TreeError(f"{path}: no link", path=path)

    def symlink(self, target: str, path: str, /) -> None:
        raise TreeError(f"{path}: no links here", path=path)

    def mkdir(self, path: str, /) -> None:
        """Nothing: a directory is there as soon as a file is in it."""

    def remove(self, path: str, /) -> None:
        del self.files[path]
        self._listed = -1

    def _is_directory(self, path: str) -> bool:
        if self._listed != len(self.files):
            self._folders = {}
            for file in self.files:
                parts = file.split("/")
                for depth in range(1, len(parts)):
                    self._folders.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
            self._listed = len(self.files)
        return path.rstrip("/") in self._folders


def files_of_iso(name: str, folder: Path) -> dict[str, str | bytes]:
    """The files of an ISO of the corpus, as xorriso extracts them."""
    image = folder / "image.iso"
    image.write_bytes(corpus.content(name))
    oracle.run("xorriso", "-osirrox", "on", "-indev", image, "-extract", "/", folder / "tree")
    files = (path for path in (folder / "tree").rglob("*") if path.is_file())
    return {f"/{path.relative_to(folder / 'tree')}": path.read_bytes() for path in files}
