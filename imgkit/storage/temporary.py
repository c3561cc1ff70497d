"""Hidden files beside another one: their names, temporary files, and those that a kill has left behind."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from imgkit.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LONGEST = 255  # NAME_MAX, bytes
_KEPT = 120  # bytes of a longer name that are kept, for a person to recognise it
_RANDOM = 8
NO_LOCKS_HERE = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})
"""What flock(2) and fcntl(2) say on a file system without locks."""


def hidden_beside(path: Path, suffix: str) -> Path:
    """The hidden file of `path` with this suffix. Where that name would be too long, a digest stands for its end."""
    if len(os.fsencode(path.name)) + len(suffix) + 2 * _RANDOM < _LONGEST:
        return path.with_name(f".{path.name}{suffix}")
    from hashlib import blake2b  # noqa: PLC0415 - it brings OpenSSL, and few names are that long

    start = os.fsencode(path.name)[:_KEPT].decode(errors="ignore")
    digest = blake2b(os.fsencode(path.name), digest_size=_RANDOM).hexdigest()
    return path.with_name(f".{start}-{digest}{suffix}")


@contextmanager
def temporary_file(target: Path) -> Iterator[tuple[int, Path]]:
    """A new file beside `target`, open for reading and writing; gone afterwards unless it was renamed.

    It is locked while it is open, so that others can tell it from one that a kill has left behind, also under its new
    name. Raises OutputError.
    """
    prefix = _prefix(target)
    temporary = prefix.with_name(prefix.name + os.urandom(_RANDOM).hex())  # secrets takes 5 ms to import
    fd = None
    try:  # around the opening too: a signal may come as soon as the file is there
        with translated(target):
            remove_abandoned(target)
            fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            lock(fd)
        yield fd, temporary
    finally:
        with suppress(OSError):
            temporary.unlink()
        if fd is not None:
            os.close(fd)


def lock(fd: int) -> bool:
    """Take the lock of a file that is being written; False where another process has it. Where none are, go without."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS_HERE:
            raise
    return True


def remove_abandoned(target: Path) -> int:
    """Remove the temporary files of `target` that a kill has left behind; their number."""
    prefix, removed = _prefix(target), 0
    with suppress(OSError), os.scandir(target.parent) as entries:  # a folder may be closed to looking, not to writing
        abandoned = [entry.path for entry in entries if entry.name.startswith(prefix.name)]
        for path in abandoned:
            with suppress(OSError):  # somebody else's, or gone meanwhile
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    if lock(fd):
                        os.unlink(path)  # noqa: PTH108 - a name from scandir
                        removed += 1
                finally:
                    os.close(fd)
    return removed


@contextmanager
def translated(target: Path) -> Iterator[None]:
    """Have the operating system's refusals say what they mean for `target`, a file that is being written."""
    try:
        yield
    except FileExistsError as error:
        raise OutputError(f"{target}: exists", hint="Name another output, or use --force to replace it.") from error
    except OSError as error:
        raise not_written(target, error) from error


def not_written(path: Path, error: OSError, so_that: str = "") -> OutputError:
    """The error for a file that cannot be written; `so_that` says what that means, after a semicolon."""
    hint = f"Get write access to {path.parent}, or write elsewhere with -o OUT."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "Free some space there, or write on another disk with -o OUT."
    elif error.errno == errno.EFBIG:
        hint = "Raise the limit (`ulimit -f`), or write on a disk whose file system holds larger files with -o OUT."
    elif error.errno == errno.EIO:
        hint = "The disk fails: look at `dmesg`, and write on another one with -o OUT."
    what = "no space left" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "cannot be written"
    return OutputError(f"{path}: {what} ({error.strerror}){so_that}", hint=hint)


def _prefix(target: Path) -> Path:
    return hidden_beside(target, ".imgkit-new-")
