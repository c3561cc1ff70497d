"""Copying a host file to another one or to a pipe. The kernel moves the data; holes stay holes.

A reflink shares the blocks and costs nothing; else copy_file_range(2) copies each data extent, which file systems may
again do by sharing or on the server; else sendfile(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from imgkit.storage.syscalls import start_writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Progress = Callable[[int, int], None]
    """Called with bytes done and bytes in all."""

_FICLONE = 0x40049409
_CHUNK = 32 << 20  # one call's length: progress moves, and Ctrl-C is heard
_CANNOT = frozenset(
    {errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EBADF, errno.ETXTBSY}
)


def no_progress(_done: int, _total: int) -> None:
    """The progress callback of a caller who does not watch."""


def copy_to_file(source: int, target: int, size: int, progress: Progress = no_progress) -> None:
    """Make the empty file `target` hold the first `size` bytes of `source`."""
    if _reflink(source, target):
        os.ftruncate(target, size)
        progress(size, size)
        return
    os.ftruncate(target, size)
    for start, stop in _data_extents(source, size):
        position = start
        while position < stop:
            copied = _copy_some(source, target, position, min(_CHUNK, stop - position))
            start_writing(target, position, copied)
            position += copied
            progress(position, size)
    progress(size, size)


@contextmanager
def copying(source: int, target: int, size: int, progress: Progress = no_progress) -> Iterator[Callable[[], None]]:
    """Do what `copy_to_file` does in a thread, beside the `with` block: the kernel copies and needs no interpreter.

    The value is to be called when the copy is needed: it waits until it is on the disk (fsync), and raises what the
    copy raised. A block that ends without this call stops the copy where it is.
    """
    unwanted = Event()
    raised: list[BaseException] = []

    def watched(done: int, total: int) -> None:
        if unwanted.is_set():
            raise _UnwantedError
        progress(done, total)

    def copy() -> None:
        try:
            copy_to_file(source, target, size, watched)
            os.fsync(target)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the copy is waited for
            raised.append(error)

    thread = Thread(target=copy)

    def wait() -> None:
        thread.join()
        if raised:
            raise raised[0]

    thread.start()
    try:
        yield wait
    finally:
        unwanted.set()
        thread.join()


class _UnwantedError(Exception):
    """Nobody waits for the copy any more."""


def copy_to_pipe(source: int, target: int, start: int, stop: int, progress: Progress = no_progress) -> None:
    """Send bytes [start, stop) of `source` to a pipe, a socket or any other descriptor. Progress counts to `stop`."""
    position = start
    while position < stop:
        position += _send_some(source, target, position, min(_CHUNK, stop - position))
        progress(position, stop)


def _reflink(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    return True


def _data_extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The ranges of a sparse file that hold data. The file position moves."""
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                return
            raise
        stop = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        if start >= size:
            return
        yield start, stop
        position = stop


def _copy_some(source: int, target: int, position: int, length: int) -> int:
    try:
        copied = os.copy_file_range(source, target, length, position, position)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        os.lseek(target, position, os.SEEK_SET)
        copied = os.sendfile(target, source, position, length)
    return _some(copied)


def _send_some(source: int, target: int, position: int, length: int) -> int:
    try:
        return _some(os.sendfile(target, source, position, length))
    except OSError as error:
        if error.errno != errno.EINVAL:  # a target that sendfile does not serve, such as one opened with O_APPEND
            raise
        return os.write(target, os.pread(source, min(length, 1 << 20), position))


def _some(copied: int) -> int:
    if copied == 0:
        raise OSError(errno.EIO, "the source became shorter while it was copied")
    return copied
