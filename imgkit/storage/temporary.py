"""Hidden files beside another one: their names, temporary files, and those that a kill has left behind."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from imgkit.errors import OutputError
from imgkit.storage.signals import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LONGEST = 255  # NAME_MAX, bytes
_KEPT = 120  # bytes of a longer name that are kept, for a person to recognise it
_RANDOM = 8
_FIRST = "1"
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
    name. Its own name is always the same, so that the next run finds and removes it without a look at the whole folder;
    a second process that writes the same file at the same time gets another one. Raises OutputError.
    """
    with ExitStack() as stack:
        with translated(target), uninterrupted(""):  # a signal may come as soon as the file is there
            fd, temporary = _open_new(target)
            stack.callback(os.close, fd)
            stack.callback(_remove, temporary)
        yield fd, temporary


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that only we may enter; gone afterwards unless it was renamed.

    As with `temporary_file`, one that a kill has left behind goes first, and a lock tells it from one in use.
    """
    with ExitStack() as stack:
        with uninterrupted(""):
            fd, work = _open_new_folder(target)
            stack.callback(os.close, fd)
            stack.callback(_remove_folder, fd, work)
        yield work


def _open_new_folder(target: Path) -> tuple[int, Path]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    first = _first_name(target)
    with suppress(OSError):  # none, or somebody else's
        fd = os.open(first, flags)
        try:
            if os.fstat(fd).st_uid == os.geteuid() and _locks(fd):
                _remove_folder(fd, first)
        finally:
            os.close(fd)
    with suppress(FileExistsError):
        first.mkdir(mode=0o700)
        fd = os.open(first, flags)
        if _locks(fd) and _is_at(fd, first):  # or it was taken for an abandoned one just now
            return fd, first
        os.close(fd)
    other = first.with_name(first.name.removesuffix(_FIRST) + os.urandom(_RANDOM).hex())
    other.mkdir(mode=0o700)
    fd = os.open(other, flags)
    lock(fd)
    return fd, other


def lock(fd: int) -> bool:
    """Take the lock of a file that is being written; False where another process has it. Where none are, go without."""
    try:
        return _lock(fd)
    except OSError as error:
        if error.errno not in NO_LOCKS_HERE:
            raise
    return True


def remove_abandoned(target: Path) -> int:
    """Remove the temporary files of `target` that a kill has left behind; their number."""
    prefix, removed = _first_name(target).name.removesuffix(_FIRST), 0
    with suppress(OSError), os.scandir(target.parent) as entries:  # a folder may be closed to looking, not to writing
        found = [target.with_name(entry.name) for entry in entries if entry.name.startswith(prefix)]
        removed = sum(map(_remove_if_abandoned, found))
    return removed


def _open_new(target: Path) -> tuple[int, Path]:
    first = _first_name(target)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with suppress(FileExistsError, _NotOursError):
        if first.is_symlink() or first.exists():
            _remove_if_abandoned(first)
        fd = os.open(first, flags, 0o600)
        with ExitStack() as stack:
            stack.callback(os.close, fd)
            # Without locks nobody could tell it from an abandoned one; and it may have been taken for one just now.
            if not _locks(fd) or not _is_at(fd, first):
                raise _NotOursError
            stack.pop_all()
        return fd, first
    other = first.with_name(first.name.removesuffix(_FIRST) + os.urandom(_RANDOM).hex())  # secrets takes 5 ms to import
    fd = os.open(other, flags, 0o600)
    lock(fd)
    return fd, other


class _NotOursError(Exception):
    """The usual name of a temporary file cannot be used."""


def _remove_if_abandoned(path: Path) -> bool:
    """Remove a temporary file unless somebody has it open: then, or where that cannot be told, it stays."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # somebody else's, or gone meanwhile
        return False
    try:
        abandoned = stat.S_ISREG(os.fstat(fd).st_mode) and _locks(fd)
        if abandoned:
            path.unlink()
    except OSError:
        return False
    finally:
        os.close(fd)
    return abandoned


def _locks(fd: int) -> bool:
    """Whether a file can be locked, and is by us now."""
    try:
        return _lock(fd)
    except OSError:
        return False


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except OSError:
        return False


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _remove_folder(fd: int, path: Path) -> None:
    """Remove a folder and what is in it, if that is the one that is open."""
    from shutil import rmtree  # noqa: PLC0415 - few commands make folders

    if _is_at(fd, path):
        rmtree(path, ignore_errors=True)


def _first_name(target: Path) -> Path:
    return hidden_beside(target, f".imgkit-new-{_FIRST}")


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
        hint = "The disk is failing: see `dmesg`, and write to another one with -o OUT."
    what = "no space left" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "cannot be written"
    return OutputError(f"{path}: {what} ({error.strerror}){so_that}", hint=hint)
