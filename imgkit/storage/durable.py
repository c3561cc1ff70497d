"""Writing small files so that they survive a power failure: contents, then directory entry."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from imgkit.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path


def create(path: Path, data: bytes, made: list[Path]) -> None:
    """Create `path` with `data`, synced, its directory entry too. It is added to `made` as soon as it exists.

    Raises OutputError if it exists already, cannot be made, or there is no space.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise OutputError(f"{path}: exists", hint="Name another file, or remove it.") from error
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be made ({error.strerror})",
            hint=f"Get write access to {path.parent}, or write a new file elsewhere with -o OUT.",
        ) from error
    made.append(path)
    try:
        write_all(fd, data, 0)
        os.fsync(fd)
    except OSError as error:
        raise no_space(path, error) from error
    finally:
        os.close(fd)
    sync_directory(path.parent)


def remove(path: Path) -> None:
    """Remove `path`, and make that durable."""
    path.unlink()
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make changes of a directory's entries durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`; pwrite(2) may stop short."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def no_space(path: Path, error: OSError) -> OutputError:
    """What a failed write means to the user, while nothing of the image has been changed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            f"{path}: no space left ({error.strerror}); nothing was changed",
            hint="Free some space there, or write a new file on another disk: -o OUT.",
        )
    return OutputError(f"{path}: cannot be written ({error.strerror}); nothing was changed")
