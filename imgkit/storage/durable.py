"""Writing files so that they survive a power failure: contents, then directory entry."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from imgkit.storage.signals import uninterrupted
from imgkit.storage.syscalls import rename_without_clobber
from imgkit.storage.temporary import not_written, temporary_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imgkit.errors import OutputError
    from imgkit.storage.overlay import PatchPlan

# What fsync(2) says of a directory on file systems, several of FUSE and of networks, that cannot sync one.
_NO_SYNC_HERE = frozenset({errno.EINVAL, errno.EBADF, errno.ENOSYS, errno.EOPNOTSUPP, errno.EROFS})


@contextmanager
def created(
    path: Path, data: bytes, made: list[Path], *, replace: bool = False, readers_of: int | None = None
) -> Iterator[None]:
    """Create `path` with `data`, for a `with` block in which it stays open and locked.

    Only we may read it, or who may read the open file `readers_of` too.

    It has its name when all of it is durable; its directory entry is, too, when the block begins. It is added to `made`
    as soon as it has its name. Raises FileExistsError if that is taken and it is not to `replace` what is there,
    OutputError if it cannot be made, or there is no space.
    """
    with temporary_file(path) as (fd, temporary):
        try:
            write_all(fd, data, 0)
            if readers_of is not None:
                _share(fd, readers_of)
            os.fsync(fd)
            with uninterrupted(""):
                if replace:
                    temporary.replace(path)
                else:
                    rename_without_clobber(temporary, path)
                made.append(path)
            sync_directory(path.parent)
        except FileExistsError:
            raise
        except OSError as error:
            raise no_space(path, error) from error
        yield


def remove(path: Path) -> None:
    """Remove `path`, and make that durable."""
    path.unlink()
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make changes of a directory's entries durable, as far as its file system can."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # it may be written to, and not looked into: then everything is synced
        os.sync()
        return
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_SYNC_HERE:
            raise
    finally:
        os.close(fd)


def _share(fd: int, example: int) -> None:
    """Let a file of ours be read by those who may read another one."""
    status = os.fstat(example)
    with suppress(PermissionError):
        os.fchown(fd, -1, status.st_gid)
    readers = 0o044 if os.fstat(fd).st_gid == status.st_gid else 0o004
    set_mode(fd, 0o600 | status.st_mode & readers)


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`; pwrite(2) may stop short."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def write_plan(fd: int, plan: PatchPlan) -> None:
    """Make a file that holds what a plan starts from hold what it ends with."""
    for patch in plan.patches:
        write_all(fd, patch.after, patch.offset)
    os.ftruncate(fd, plan.size_after)


def set_time(fd: int, mtime_ns: int) -> None:
    """Set a file's times, if we may: whoever may write a file need not own it."""
    with suppress(PermissionError):
        os.utime(fd, ns=(mtime_ns, mtime_ns))


def set_mode(fd: int, mode: int) -> None:
    """Set a file's permissions, where its file system has them."""
    with suppress(PermissionError):
        os.fchmod(fd, mode)


def no_space(path: Path, error: OSError) -> OutputError:
    """The error for a write that failed while nothing of the image has been changed."""
    return not_written(path, error, "; nothing was changed")
