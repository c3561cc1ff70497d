"""Directories of this host (a mounted CD, a mirror), and ISOs, which are read without mounting them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from imgkit.errors import LocationError, MissingFileError, PathNotFoundError, UnclassifiedImageError
from imgkit.formats.image import open_image
from imgkit.iso.medium import find_medium
from imgkit.location.source import CHUNK, EXAMPLE, Stream, missing, too_large
from imgkit.storage.host import real_path
from imgkit.tree import FileType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.location.source import Source
    from imgkit.remote import Address
    from imgkit.tree import Tree


@contextmanager
def open_local(location: str) -> Iterator[Source]:
    """A directory or an ISO. Raises LocationError for anything else, and what opening an image raises."""
    path = Path(location)
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:
        raise LocationError(
            f"{location}: cannot be reached ({error.strerror})", hint=f"Look at `ls -ld {path.parent}`."
        ) from error
    if is_folder:
        yield DirectorySource(path)
        return
    if not is_there:
        raise MissingFileError(f"{location}: there is no such directory or ISO", hint=EXAMPLE)
    with open_iso(path) as source:
        yield source


@contextmanager
def open_iso(address: Address) -> Iterator[Source]:
    """An ISO, on this host or at a URL. Raises UnclassifiedImageError for what is none, and what opening it raises."""
    with open_image(address) as image:
        medium = find_medium(image, now=0)
        if medium is None:
            raise UnclassifiedImageError(f"{address}: not an ISO", hint=EXAMPLE)
        yield IsoSource(str(address), medium.tree)


class DirectorySource:
    """The files below a directory. Links inside of it are followed; what they lead to outside is not of the tree."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = real_path(folder)

    def read(self, path: str, limit: int) -> bytes | None:
        """As `Source.read`."""
        size = self.size(path)
        if size is None:
            return None
        with self._open(path) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise too_large(str(self._folder / path), limit)
        return data

    def size(self, path: str) -> int | None:
        """As `Source.size`."""
        file = self._inside(path)
        try:
            return file.stat().st_size if file.is_file() else None
        except OSError as error:
            raise _unreadable(self._folder / path, error) from error

    @contextmanager
    def stream(self, path: str, offset: int, _version: str) -> Iterator[Stream]:
        """As `Source.stream`."""
        size = self.size(path)
        if size is None:
            raise missing(str(self._folder / path))
        with self._open(path) as file:
            file.seek(offset)
            yield Stream(offset, size, "", lambda: self._next(path, file))

    def _open(self, path: str) -> IO[bytes]:
        try:
            file = self._inside(path).open("rb", buffering=0)
            # A link may have been put there between our two looks.
            self._check(Path(f"/proc/self/fd/{file.fileno()}").readlink(), path)
        except OSError as error:
            raise _unreadable(self._folder / path, error) from error
        return file

    def _inside(self, path: str) -> Path:
        """Where a path of the tree leads. LocationError where that is outside of the tree."""
        found = real_path(self._folder / path)
        self._check(found, path)
        return found

    def _check(self, found: Path, path: str) -> None:
        if not found.is_relative_to(self._root):
            raise LocationError(
                f"{self._folder / path}: is a link to {found}, outside of the install tree",
                hint="Copy the file into the tree if it belongs there.",
            )

    def _next(self, path: str, file: IO[bytes]) -> bytes:
        try:
            return file.read(CHUNK)
        except OSError as error:
            raise _unreadable(self._folder / path, error) from error


class IsoSource:
    """The files of an ISO."""

    def __init__(self, location: str, tree: Tree) -> None:
        self._location = location
        self._tree = tree

    def read(self, path: str, limit: int) -> bytes | None:
        """As `Source.read`."""
        size = self.size(path)
        if size is None:
            return None
        if size > limit:
            raise too_large(f"{self._location}/{path}", limit)
        return b"".join(self._tree.read_chunks(f"/{path}"))

    def size(self, path: str) -> int | None:
        """As `Source.size`."""
        try:
            found = self._tree.stat(f"/{path}")
        except PathNotFoundError:
            return None
        return found.size if found.type is FileType.FILE else None

    @contextmanager
    def stream(self, path: str, offset: int, _version: str) -> Iterator[Stream]:
        """As `Source.stream`."""
        size = self.size(path)
        if size is None:
            raise missing(f"{self._location}/{path}")
        chunks = _from(offset, self._tree.read_chunks(f"/{path}"))
        yield Stream(offset, size, "", lambda: next(chunks, b""))


def _from(offset: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks from a position on; none is empty."""
    for chunk in chunks:
        if len(chunk) > offset:
            yield chunk[offset:]
        offset = max(offset - len(chunk), 0)


def _unreadable(path: Path, error: OSError) -> LocationError:
    return LocationError(f"{path}: cannot be read ({error.strerror})", hint="Get read access to it.")
