"""The host file that holds an image: opened, locked, read. Nothing here writes."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from imgkit.errors import MissingFileError, OutputError, StaleImageError, UnclassifiedImageError, UsageError
from imgkit.storage import locks
from imgkit.storage.copy import copy_to_pipe, copying
from imgkit.storage.device import check_bounds

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from imgkit.remote import Address
    from imgkit.storage.copy import Progress


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells whether a file is still the one that was opened."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, fd: int) -> Self:
        """Identity of an open file."""
        status = os.fstat(fd)
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class ImageFile(Protocol):
    """The file at the bottom: a block reader that can be copied whole. HostFile is one, RemoteFile the other."""

    @property
    def path(self) -> Address:
        """Where it is."""
        ...

    @property
    def size(self) -> int:
        """Length in bytes when it was opened."""
        ...

    @property
    def mode(self) -> int:
        """Permission bits for a copy."""
        ...

    @property
    def version(self) -> str:
        """What tells it from other files that have had its name: an ETag, or size and time."""
        ...

    def read_at(self, offset: int, length: int, /) -> bytes:
        """The `length` bytes at `offset`."""
        ...

    def allocated(self) -> int:
        """Bytes that it takes where it is."""
        ...

    def check_unchanged(self) -> None:
        """Raise StaleImageError if the file is not as it was when it was opened."""
        ...

    def copying_to(self, target: int, progress: Progress) -> AbstractContextManager[Callable[[], None]]:
        """Copy all of it to an empty file; the value, called in the `with` block, waits until that is on the disk."""
        ...

    def send(self, target: int, start: int, stop: int, progress: Progress) -> None:
        """Send bytes [start, stop) to a pipe, a socket or any other descriptor. Progress counts to `stop`."""
        ...


class HostFile:
    """A regular file on the host, open under a reader's lock; a block reader.

    `writable` opens it for reading and writing, so that a commit can later write through the same open file
    description (locks belong to it). `path` is the resolved path: journals belong beside the file, not beside a link.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self.path: Path
        self.path, self.fd = _open(path, writable=writable)
        self._name = path
        self.writable = writable
        try:
            locks.acquire(self.fd, locks.Access.READ, path)
            self.identity = Identity.of(self.fd)
        except BaseException:
            os.close(self.fd)
            raise

    @property
    def size(self) -> int:
        """Length in bytes when it was opened."""
        return self.identity.size

    @property
    def version(self) -> str:
        """Size, and time of the last change in nanoseconds since 1970."""
        return f"{self.identity.size}-{self.identity.mtime_ns}"

    def read_at(self, offset: int, length: int, /) -> bytes:
        """The `length` bytes at `offset`. Raises FormatError past the end, StaleImageError if the file shrank."""
        if offset < 0 or offset + length > self.identity.size:
            check_bounds(self, offset, length)
        data = self._pread(offset, length)
        while len(data) < length:  # pread stops short at 2 GiB
            more = self._pread(offset + len(data), length - len(data))
            if not more:
                raise StaleImageError(f"{self.path}: file became shorter while it was read")
            data += more
        return data

    def _pread(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self.fd, length, offset)
        except OSError as error:
            raise UnclassifiedImageError(
                f"{self.path}: cannot be read at byte {offset:,} ({error.strerror})",
                hint="The disk that holds the file is failing: rescue the data with `ddrescue`, and edit the copy.",
            ) from error

    def allocated(self) -> int:
        """Bytes that the file takes on the disk, holes left out."""
        return os.fstat(self.fd).st_blocks * 512

    @property
    def mode(self) -> int:
        """Permission bits for a copy."""
        return os.fstat(self.fd).st_mode & 0o777

    def copying_to(self, target: int, progress: Progress) -> AbstractContextManager[Callable[[], None]]:
        """Copy to an empty file in a thread, while the `with` block makes the plan; see `copying`."""
        return copying(self.fd, target, self.size, progress)

    def send(self, target: int, start: int, stop: int, progress: Progress) -> None:
        """Send bytes [start, stop) to a pipe, a socket or any other descriptor. Progress counts to `stop`."""
        copy_to_pipe(self.fd, target, start, stop, progress)

    def check_unchanged(self) -> None:
        """Raise StaleImageError if the file is not as it was when it was opened."""
        if Identity.of(self.fd) != self.identity:
            raise StaleImageError(
                f"{self.path}: image was changed by another program since it was opened",
                hint="Nothing was written. Run the command again.",
            )

    def check_name(self) -> None:
        """Raise StaleImageError if the name under which the file was opened leads to another one by now, or to none."""
        try:
            found = self._name.stat()
            is_same = (found.st_dev, found.st_ino) == (self.identity.device, self.identity.inode)
        except OSError:
            is_same = False
        if not is_same:
            raise StaleImageError(
                f"{self._name}: image was replaced, moved or removed by another program since it was opened",
                hint="Check the file, and run the command again.",
            )

    def close(self) -> None:
        """Close the file, which drops its locks."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def real_path(path: Path) -> Path:
    """`path` without symbolic links; what they lead to may be missing.

    Raises UnclassifiedImageError for a loop, a folder that may not be entered, and a name that no file can have.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, OSError):
            why = error.strerror or ""
        elif isinstance(error, ValueError):
            why = "the name contains a NUL byte"
        else:  # before Python 3.13
            why = "symbolic links in a loop"
        raise UnclassifiedImageError(f"{path}: cannot be found ({why})", hint=f"Look at `ls -l {path}`.") from error


def exists(path: Path) -> bool:
    """Whether there is something at a path. Raises UnclassifiedImageError where that cannot be told."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "the name contains a NUL byte"
        raise UnclassifiedImageError(
            f"{path}: cannot be reached ({why})", hint=f"Look at `ls -ld {path.parent}`, and at the folders above it."
        ) from error
    return True


def is_file(path: Path) -> bool:
    """Whether there is a regular file at a path. Raises UnclassifiedImageError where that cannot be told."""
    return exists(path) and path.is_file()


def no_such_file(path: Path, hint: str | None = None) -> MissingFileError:
    """The error for a file that is not there."""
    return MissingFileError(f"{path}: no such file", hint=hint or f"`ls {path.parent}` lists what exists.")


def unreadable(path: Path, error: OSError) -> UsageError:
    """The error for a file, other than an image, that an option or argument names and that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return no_such_file(path)
    return UsageError(
        f"{path}: cannot be read ({error.strerror})", hint=f"Get read access, or look at `ls -ld {path}`."
    )


def read_file(path: Path) -> bytes:
    """The contents of a file, other than an image, that an option or argument names. Raises UsageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def read_text(path: Path) -> str:
    """The same as text. Raises UsageError where it is not UTF-8, too."""
    try:
        return read_file(path).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text", hint="Name another file.") from error


def _open(path: Path, *, writable: bool) -> tuple[Path, int]:
    resolved = real_path(path)
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer; it has no effect on regular files.
        fd = os.open(resolved, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise no_such_file(path) from error
    except OSError as error:
        raise _open_error(path, error, writable=writable) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UnclassifiedImageError(
            f"{path}: not a regular file", hint="Give the file that holds the image, not a device or a directory."
        )
    return resolved, fd


def _open_error(path: Path, error: OSError, *, writable: bool) -> Exception:
    if isinstance(error, IsADirectoryError):
        return UnclassifiedImageError(f"{path}: is a directory", hint="Give the file that holds the image.")
    if writable:
        return OutputError(
            f"{path}: cannot be written ({error.strerror})",
            hint="Write a new file with -o OUT, or get write access.",
        )
    return UnclassifiedImageError(
        f"{path}: cannot be read ({error.strerror})", hint=f"Get read access, or look at `ls -l {path}`."
    )
