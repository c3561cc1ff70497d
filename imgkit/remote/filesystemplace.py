"""A new file of a file system that fsspec knows: written under a temporary name, moved when it is whole.

https://filesystem-spec.readthedocs.io/en/latest/api.html
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from fsspec.core import url_to_fs

from imgkit.errors import ImgkitError, OutputError
from imgkit.remote.place import exists
from imgkit.remote.url import Url
from imgkit.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.remote.begun import UploadNote
    from imgkit.storage.copy import Progress
    from imgkit.storage.result import Result

_PIECE = 8 * MIB


class FilesystemPlace:
    """Where a new file goes; see Place."""

    def __init__(self, url: Url) -> None:
        self._url = url
        with self._translated():
            self._files, self._path = url_to_fs(url.secret)

    def identity(self) -> str | None:
        """What the file system says of the file that is there: its size, and times or sums."""
        with self._translated():
            self._files.invalidate_cache()
            return str(self._files.ukey(self._path)) if self._files.exists(self._path) else None

    def check(self) -> None:
        """Nothing is known before writing is tried."""

    def remove(self) -> None:
        """Remove the file."""
        with self._translated():
            self._files.rm_file(self._path)

    def matching(self) -> list[Url]:
        """The files that match, as the file system itself understands patterns."""
        with self._translated():
            found = sorted(map(str, self._files.glob(self._path)))
            return [Url(self._files.unstrip_protocol(name)) for name in found]

    def clear_away(self, begun: UploadNote) -> None:
        """Remove files of temporary name."""
        with self._translated():
            for thing in begun.things():
                if self._files.exists(thing["path"]):
                    self._files.rm_file(thing["path"])
        begun.clear()

    def put(
        self, result: Result, *, ready: Callable[[], None], force: bool, progress: Progress, begun: UploadNote
    ) -> None:
        """Write the file beside its name, and move it there."""
        folder, slash, name = self._path.rpartition("/")
        temporary = f"{folder}{slash}.{name}.imgkit-new-{secrets.token_hex(8)}"
        begun.add({"path": temporary})
        try:
            with self._translated():
                if folder:
                    self._files.makedirs(folder, exist_ok=True)
                with self._files.open(temporary, "wb") as file:
                    done = 0
                    for piece in result.pieces(_PIECE):
                        file.write(piece)
                        done += len(piece)
                        progress(done, result.size)
                ready()
                self._make_room(force=force)
                self._files.mv(temporary, self._path)
        except BaseException:
            with suppress(Exception):  # what went wrong first is what is told
                self._files.rm_file(temporary)
            raise
        begun.clear()

    def _make_room(self, *, force: bool) -> None:
        if self._files.exists(self._path):
            if not force:
                raise exists(self._url)
            self._files.rm_file(self._path)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What a back end raises is its own affair: OSError, or a class of a library that we have never heard of."""
        try:
            yield
        except ImgkitError:
            raise
        except ImportError as error:
            raise OutputError(
                f"{self._url}: {self._url.scheme}:// needs a library that is missing", hint=f"Install it: {error}"
            ) from error
        except NotImplementedError as error:
            raise OutputError(
                f"{self._url}: writing is not supported over {self._url.scheme}", hint="Write a file: -o OUT."
            ) from error
        except Exception as error:  # its text may hold a password
            raise OutputError(
                f"{self._url}: cannot be written ({type(error).__name__})",
                hint="Check the URL and its permissions, or write a file: -o OUT.",
            ) from error
