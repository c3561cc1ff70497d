"""A file of a file system that fsspec knows: s3://, sftp://, gs://, memory:// and many more.

https://filesystem-spec.readthedocs.io/en/latest/api.html
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from fsspec.core import url_to_fs

from imgkit.errors import StaleImageError, UnclassifiedImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.remote.url import Url

_PIECE = 8 << 20


class FilesystemObject:
    """A file by its fsspec URL; see RemoteObject. Raises UnclassifiedImageError if it cannot be had."""

    def __init__(self, url: Url) -> None:
        self._url = url
        with self._translated():
            self._files, self._path = url_to_fs(url.secret)
            self._key = self._files.ukey(self._path)
            self._size = self._files.size(self._path)
        if self._size is None:
            raise UnclassifiedImageError(
                f"{url}: is not a file, or its length is not known", hint="Download it, and use the file."
            )

    @property
    def size(self) -> int | None:
        """Length in bytes."""
        return int(self._size)

    @property
    def has_ranges(self) -> bool:
        """What fsspec serves can be read from anywhere."""
        return True

    @property
    def version(self) -> str:
        """What the file system gives: a hash of its size, time or sum."""
        return str(self._key)

    def stream(self, start: int, stop: int | None) -> Iterator[bytes]:
        """The bytes [start, stop)."""
        end = int(self._size) if stop is None else stop
        while start < end:
            wanted = min(_PIECE, end - start)
            with self._translated():
                data = self._files.cat_file(self._path, start=start, end=start + wanted)
            if len(data) != wanted:
                self.check_unchanged()
                raise UnclassifiedImageError(
                    f"{self._url}: {len(data):,} bytes arrived at byte {start:,}, where {wanted:,} were requested",
                    hint="Download it, and use the file.",
                )
            yield data
            start += wanted

    def check_unchanged(self) -> None:
        """Compare what the file system says of the file with what it said at first."""
        with self._translated():
            self._files.invalidate_cache()
            key = self._files.ukey(self._path)
        if key != self._key:
            raise StaleImageError(
                f"{self._url}: the file was replaced since it was opened",
                hint="Nothing was written. Run the command again.",
            )

    def close(self) -> None:
        """Nothing to let go: fsspec keeps its file systems."""

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What a back end raises is its own affair: OSError, or a class of a library that we have never heard of."""
        try:
            yield
        except FileNotFoundError as error:
            raise UnclassifiedImageError(f"{self._url}: no such file", hint="Check the URL.") from error
        except ImportError as error:
            raise UnclassifiedImageError(
                f"{self._url}: {self._url.scheme}:// needs a library that is missing",
                hint=f"Install it: {error}",
            ) from error
        except Exception as error:  # its text may hold a password
            raise UnclassifiedImageError(
                f"{self._url}: cannot be read ({type(error).__name__})",
                hint="Check the URL and its permissions, or download the file first.",
            ) from error
