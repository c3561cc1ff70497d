"""A remote file as the block reader at the bottom of the house, in the place of a host file.

    overlay ── RemoteFile ── blocks of 64 KiB, the last 32 MiB of them kept ── range requests
                        └─ a server without ranges: all of it, once, in an unnamed temporary file

Planning reads a directory here and a menu there: a block at a time, and twice as much each time that reading goes on
where it stopped. The copy streams once, beside the cache.
"""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from imgkit.errors import UnclassifiedImageError, UnsupportedError
from imgkit.remote.object import RetryPolicy
from imgkit.remote.place import missing_library
from imgkit.storage import durable
from imgkit.storage.copy import copy_to_file, copy_to_pipe, no_progress
from imgkit.storage.device import check_bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.remote.object import RemoteObject
    from imgkit.remote.url import Url
    from imgkit.storage.copy import Progress

_BLOCK = 64 << 10
_KEPT = 512  # blocks
_MOST_AHEAD = 16  # blocks
_MOST_UNANNOUNCED = 64 << 30  # bytes that a server may send without saying how many


class RemoteFile:
    """A file elsewhere; a block reader. It cannot be written to.

    `path` is its URL, `object` what it is read from. `notices` say what the user should hear. Raises
    UnclassifiedImageError if it cannot be had, UnsupportedError if the library for it is not installed.
    """

    writable = False
    mode = 0o644

    def __init__(self, url: Url, *, progress: Progress = no_progress, retry_policy: RetryPolicy | None = None) -> None:
        self.path = url
        self.notices: tuple[str, ...] = ()
        self.object = _open(url, retry_policy or RetryPolicy())
        self._whole: int | None = None
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._next, self._ahead = 0, 1
        try:
            size = self.object.size
            if not self.object.has_ranges or size is None:
                size = self._download(progress)
        except BaseException:
            self.close()
            raise
        self.size = size

    @property
    def version(self) -> str:
        """What its server tells it by."""
        return self.object.version

    def read_at(self, offset: int, length: int, /) -> bytes:
        """The `length` bytes at `offset`. Raises FormatError past the end, and what the connection raises."""
        if offset < 0 or offset + length > self.size:
            check_bounds(self, offset, length)
        if self._whole is not None:
            return os.pread(self._whole, length, offset)
        first, last = offset // _BLOCK, (offset + length - 1) // _BLOCK
        if last - first >= _KEPT:
            return b"".join(self.object.stream(offset, offset + length))
        parts = [self._block(number, last) for number in range(first, last + 1)]
        start = offset - first * _BLOCK
        return b"".join(parts)[start : start + length]

    def allocated(self) -> int:
        """Bytes that the file takes; elsewhere nobody says, so all of it."""
        return self.size

    def check_unchanged(self) -> None:
        """Raise StaleImageError if the file is another one by now."""
        self.object.check_unchanged()

    @contextmanager
    def copying_to(self, target: int, progress: Progress) -> Iterator[Callable[[], None]]:
        """The value copies all of it to the empty file `target`, and waits until it is on the disk.

        Not before: what the plan refuses need not be fetched.
        """
        yield lambda: self._copy(target, progress)

    def send(self, target: int, start: int, stop: int, progress: Progress) -> None:
        """Send bytes [start, stop) to a pipe, a socket or any other descriptor."""
        if self._whole is not None:
            copy_to_pipe(self._whole, target, start, stop, progress)
            return
        for piece in self.object.stream(start, stop):
            view = memoryview(piece)
            while view:
                view = view[os.write(target, view) :]
            start += len(piece)
            progress(start, stop)

    def close(self) -> None:
        """Let go of connections, and of the temporary file."""
        self.object.close()
        if self._whole is not None:
            os.close(self._whole)
            self._whole = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _block(self, number: int, last: int) -> bytes:
        """One block, from the cache or with those up to `last`, and with more if reading goes on where it stopped."""
        found = self._blocks.get(number)
        if found is not None:
            self._blocks.move_to_end(number)
            self._next += number == self._next
            return found
        self._ahead = min(2 * self._ahead, _MOST_AHEAD) if number == self._next else 1
        missing = next((n for n in range(number, last + 1) if n in self._blocks), last + 1) - number
        count = max(missing, self._ahead)
        start = number * _BLOCK
        data = b"".join(self.object.stream(start, min(start + count * _BLOCK, self.size)))
        for position in range(0, len(data), _BLOCK):
            self._blocks[number + position // _BLOCK] = data[position : position + _BLOCK]
        self._next = number + count
        while len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        return data[:_BLOCK]

    def _copy(self, target: int, progress: Progress) -> None:
        if self._whole is not None:
            copy_to_file(self._whole, target, self.size, progress)
        else:
            os.ftruncate(target, self.size)
            _write_sparsely(self.object.stream(0, self.size), target, self.size, progress)
        os.fsync(target)

    def _download(self, progress: Progress) -> int:
        """Fetch all of it into an unnamed file: a server without ranges gives it from the start or not at all."""
        announced = self.object.size
        folder = tempfile.gettempdir()
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                self._whole = os.dup(file.fileno())
            room = os.statvfs(self._whole)
            if announced is not None and announced > room.f_bavail * room.f_frsize:
                raise UnsupportedError(
                    f"{self.path}: the server does not support ranges, and {folder} has no room for the whole file",
                    hint="Set TMPDIR to a directory with more space.",
                )
            size = _write_sparsely(self.object.stream(0, announced), self._whole, announced, progress)
            os.ftruncate(self._whole, size)
        except OSError as error:
            raise UnclassifiedImageError(
                f"{self.path}: cannot be kept in {folder} ({error.strerror})",
                hint="Set TMPDIR to a directory with more space.",
            ) from error
        self.notices = (
            f"{self.path.name}: the server does not support ranges, so the whole file was downloaded first",
        )
        return size


def _open(url: Url, retry_policy: RetryPolicy) -> RemoteObject:
    try:
        if url.scheme in ("http", "https"):
            from imgkit.remote.http import HttpObject  # noqa: PLC0415 - an extra, and 0.1 s to import

            return HttpObject(url, retry_policy)
        if url.scheme == "s3":
            from imgkit.remote.s3 import S3Object  # noqa: PLC0415 - as above

            return S3Object(url, retry_policy)
        from imgkit.remote.filesystem import FilesystemObject  # noqa: PLC0415 - as above
    except ImportError as error:
        raise missing_library(url, error) from error
    return FilesystemObject(url)


def _write_sparsely(pieces: Iterator[bytes], target: int, size: int | None, progress: Progress) -> int:
    """Write a stream to an empty file; zeros become holes. Returns its length, which `size` announced."""
    position = 0
    zeros = bytes(_BLOCK)
    for piece in pieces:
        if size is None and position > _MOST_UNANNOUNCED:
            raise UnclassifiedImageError("the server sent more data than the file's size", hint="Check the URL.")
        for begin in range(0, len(piece), _BLOCK):
            part = piece[begin : begin + _BLOCK]
            if part != zeros[: len(part)]:
                durable.write_all(target, part, position + begin)
        position += len(piece)
        progress(position, size or position)
    return position
