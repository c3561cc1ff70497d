"""The journal of a commit, and the mark on the image that says there is one.

    .IMAGE.imgkit-journal        a patch file beside the image, from before the first write to it until after the last
    user.imgkit.edit             an extended attribute of the image for the same time: the journal's token and path

The mark is found where the journal is not: through another hard link, or after the image was moved. File systems
without extended attributes have none; there, and after a power cut that came before the attribute was on the disk, an
interrupted edit is seen only under the name that it was made under.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, InUseError, StaleImageError
from imgkit.storage import patchfile
from imgkit.storage.temporary import NO_LOCKS_HERE, hidden_beside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.storage.host import HostFile
    from imgkit.storage.overlay import Patch, PatchPlan
    from imgkit.storage.patchfile import PatchFile

_MARK = "user.imgkit.edit"
_SECTOR = 512
_CHUNK = 1 << 20


class State(Enum):
    """How far an image is from the old bytes of a plan to the new ones."""

    OLD = "old"
    BETWEEN = "between"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class Pending:
    """An edit that was interrupted: its journal, and how far it came.

    `is_of_this_file` says whether the journal was written for this very file. One that was not may lie beside an image
    that was restored from a backup, or beside a copy of both.
    """

    journal: Path
    record: PatchFile
    state: State
    is_of_this_file: bool

    @property
    def is_stale(self) -> bool:
        """Whether it is the journal of another file: nothing of its edit is in this one."""
        return self.state is State.OLD and not self.is_of_this_file


def journal_path(image: Path) -> Path:
    """Where the journal of a commit to `image` (a resolved path) lies."""
    return hidden_beside(image, ".imgkit-journal")


def find_pending(host: HostFile) -> Pending | None:
    """The edit of an open image that was interrupted, if there is one. Nothing is written.

    Raises InUseError while the edit is still going on, StaleImageError where what lies in the journal's place is not to
    be believed, does not belong to the image, or is missing although the image is marked.
    """
    mark = _read_mark(host.fd)
    for path in _places(host, mark):
        with suppress(FileNotFoundError), patchfile.own_file(path, os.fstat(host.fd).st_uid) as fd:
            if not _take_shared_lock(fd):
                raise in_use(host.path)
            return _pending(host, path, _record(fd, path, host), mark)
    if mark is not None:
        raise StaleImageError(
            f"{host.path}: an edit of it was interrupted, and {mark[1]}, the journal that could finish it, is missing",
            hint=f"Restore the image, or put the journal back. If the image is whole: `setfattr -x {_MARK} IMAGE`.",
        )
    return None


def in_use(image: Path) -> InUseError:
    """The error where another process is in the middle of a commit to the image."""
    return InUseError(f"{image}: image is in use: another imgkit is writing to it", hint="Wait for it, and try again.")


def set_mark(fd: int, record: PatchFile, journal: Path) -> None:
    """Mark an image as being written to; where the file system has no such attributes, it is not."""
    with suppress(OSError):
        os.setxattr(fd, _MARK, record.token + os.fsencode(journal))


def clear_mark(fd: int) -> None:
    """Take the mark away, if there is one. Raises OSError where it stays: then the journal has to stay too."""
    if _has_mark(fd):
        os.removexattr(fd, _MARK)


def state_of(host: HostFile, plan: PatchPlan) -> State | int:
    """How far an image is on the way of a plan, or the offset of the first byte that is neither old nor new.

    A commit can stop at any byte: each byte has to be the old one or the new one.
    """
    low, high = sorted((plan.size_before, plan.size_after))
    if not low <= host.size <= high:
        return min(low, host.size)
    may_be_old, may_be_new = host.size == plan.size_before, host.size == plan.size_after
    for patch in plan.patches:
        for start, now, old, new in _sectors(host, patch):
            if now not in (old, new) and any(n not in (o, w) for n, o, w in zip(now, old, new, strict=True)):
                return start
            may_be_old, may_be_new = may_be_old and now == old, may_be_new and now == new
    for start, stop in _gaps(plan, low, host.size):
        for at in range(start, stop, _CHUNK):
            if any(host.read_at(at, min(_CHUNK, stop - at))):
                return at
    return State.OLD if may_be_old else State.NEW if may_be_new else State.BETWEEN


def _places(host: HostFile, mark: tuple[bytes, Path] | None) -> Iterator[Path]:
    yield journal_path(host.path)
    if mark is not None:
        yield mark[1]


def _record(fd: int, path: Path, host: HostFile) -> PatchFile:
    try:
        return patchfile.read(fd, str(path))
    except FormatError as error:
        if error.field == "version":
            raise
        raise StaleImageError(
            f"{path}: is not a complete journal ({error.message}), and lies where one of {host.path} would",
            hint=f"If the image is whole, remove {path}.",
        ) from error


def _pending(host: HostFile, path: Path, record: PatchFile, mark: tuple[bytes, Path] | None) -> Pending:
    status = os.fstat(host.fd)
    marked = mark is not None and mark[0] == record.token
    is_this = marked or (status.st_dev, status.st_ino) == (record.device, record.inode)
    if not is_this and (record.name != host.path.name or path != journal_path(host.path)):
        raise StaleImageError(
            f"{path}: is the journal of an edit of another file, {record.name!r}; it is not used",
            hint=f"If that file is gone, or whole, remove {path}.",
        )
    state = state_of(host, record.plan)
    if isinstance(state, int):
        raise StaleImageError(
            f"{host.path}: an edit was interrupted, and the image was changed since, at byte {state:,}; finishing the "
            "edit would damage it",
            hint=f"If the image is whole without that edit, remove {path}.",
        )
    return Pending(path, record, state, is_this)


def _sectors(host: HostFile, patch: Patch) -> Iterator[tuple[int, bytes, bytes, bytes]]:
    """The sectors of a patch that the file has: offset, and what they hold, held and shall hold."""
    inside = max(0, min(max(len(patch.before), len(patch.after)), host.size - patch.offset))
    held = host.read_at(patch.offset, inside) if inside else b""
    before, after = patch.before.ljust(inside, b"\0"), patch.after.ljust(inside, b"\0")
    for start in range(0, inside, _SECTOR):
        part = slice(start, min(start + _SECTOR, inside))
        yield patch.offset + start, held[part], before[part], after[part]


def _gaps(plan: PatchPlan, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The ranges between `start` and `stop` that no patch covers."""
    for patch in plan.patches:
        if start < min(patch.offset, stop):
            yield start, min(patch.offset, stop)
        start = max(start, patch.offset + max(len(patch.before), len(patch.after)))
    if start < stop:
        yield start, stop


def _has_mark(fd: int) -> bool:
    try:
        os.getxattr(fd, _MARK)
    except OSError:  # none, or a file system that has no such attributes
        return False
    return True


def _read_mark(fd: int) -> tuple[bytes, Path] | None:
    try:
        value = os.getxattr(fd, _MARK)
    except OSError:
        return None
    size = 16
    return (value[:size], Path(os.fsdecode(value[size:]))) if len(value) > size and b"\0" not in value[size:] else None


def _take_shared_lock(fd: int) -> bool:
    """Whether nobody is writing: a commit holds the lock of its journal, also where there are no record locks."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in {*NO_LOCKS_HERE, errno.EBADF}:
            raise
    return True
