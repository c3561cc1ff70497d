"""QEMU's image locks: open file description locks on single bytes, one per permission.

QEMU takes a shared lock on byte 100 + p for each permission p that it uses, and on byte 200 + p for each that it does
not share with others; a conflict belongs to another user lock on the opposite byte. Nothing is stored in those bytes.

Source: QEMU, block/file-posix.c (raw_apply_lock_bytes, raw_check_lock_bytes) and docs/system/qemu-block-drivers.
"""

from __future__ import annotations

import errno
import fcntl
import struct
from enum import Enum
from typing import TYPE_CHECKING

from imgkit.errors import InUseError

if TYPE_CHECKING:
    from pathlib import Path

_USED, _UNSHARED = 100, 200
_CONSISTENT_READ, _WRITE, _RESIZE = 0, 1, 3

# struct flock; the trailing 0q pads it to the alignment of off_t, as C does.
_FLOCK = struct.Struct("hhqqi0q")

# Network and some FUSE file systems have no locks; QEMU's locking=auto goes on without them, and so do we.
_NO_LOCKS_HERE = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})


class Access(Enum):
    """What we do with an image: permissions used, permissions not shared.

    A reader's set lets QEMU read the image beside us (an appliance does); it fails while anybody may write.
    """

    READ = ((_CONSISTENT_READ,), (_WRITE, _RESIZE))
    WRITE = ((_CONSISTENT_READ, _WRITE, _RESIZE), (_WRITE, _RESIZE))


def acquire(fd: int, access: Access, path: Path) -> None:
    """Take the locks of `access` on `fd`; they go with the open file description.

    Raises InUseError when another process uses the image in a conflicting way. Locks already held stay held.
    """
    used, unshared = access.value
    try:
        for byte in [_USED + p for p in used] + [_UNSHARED + p for p in unshared]:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_RDLCK, byte))
        conflicts = [_UNSHARED + p for p in used] + [_USED + p for p in unshared]
        taken = [byte for byte in conflicts if _is_locked(fd, byte)]
    except OSError as error:
        if error.errno in _NO_LOCKS_HERE:
            return
        raise InUseError(f"{path}: cannot lock the image ({error.strerror})", hint=_HINT) from error
    if taken:
        doing = "has it open for writing" if _USED + _WRITE in taken else "does not let others write to it"
        raise InUseError(f"{path}: image is in use: another process {doing}", hint=_HINT)


_HINT = "Shut the virtual machine down (or wait for the other program), then try again; `lsof` names who has it open."


def _flock(kind: int, byte: int) -> bytes:
    return _FLOCK.pack(kind, 0, byte, 1, 0)


def _is_locked(fd: int, byte: int) -> bool:
    # An exclusive probe conflicts with any lock of another open file description; nothing is taken.
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, byte))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
