"""The few Linux calls that Python's `os` module lacks, through libc. Each raises OSError as `os` would."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FALLOC_FL_KEEP_SIZE = 0x01
_AT_FDCWD = -100
_RENAME_NOREPLACE = 0x01
_SYNC_FILE_RANGE_WRITE = 0x02
_NOT_SERVED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def reserve(fd: int, offset: int, length: int) -> None:
    """fallocate(2): set blocks aside for a range, size and contents unchanged. File systems without it are let be."""
    call = _libc().fallocate
    result = call(fd, _FALLOC_FL_KEEP_SIZE, ctypes.c_longlong(offset), ctypes.c_longlong(length))
    if result and ctypes.get_errno() not in _NOT_SERVED:
        raise _error()


def start_writing(fd: int, offset: int, length: int) -> None:
    """sync_file_range(2): have the kernel write a range to the disk from now on, and return.

    A later fsync waits for less. It promises nothing by itself, so that it does not matter where it has no effect.
    """
    _libc().sync_file_range(fd, ctypes.c_longlong(offset), ctypes.c_longlong(length), _SYNC_FILE_RANGE_WRITE)


def rename_without_clobber(source: Path, target: Path) -> None:
    """renameat2(2) with RENAME_NOREPLACE: FileExistsError if `target` exists, and then nothing has happened.

    File systems without that flag get link(2) and unlink(2), which have the same guarantee.
    """
    call = _libc().renameat2
    if not call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE):
        return
    if ctypes.get_errno() not in _NOT_SERVED:
        raise _error(target)
    os.link(source, target)
    source.unlink()


def _error(path: Path | None = None) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), str(path) if path else None)
