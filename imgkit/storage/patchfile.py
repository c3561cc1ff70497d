"""A plan in a file. The journal of a commit and an undo file are the same thing.

It is complete or it is not there: it gets its name when it is durable, and a digest over the whole file tells a damaged
one from a good one. Whoever can write beside an image can make one too, so that `own_file` asks whose it is, and
`parse` whether a plan of imgkit's can be like that.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, StaleImageError
from imgkit.storage.overlay import Patch, PatchPlan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from imgkit.storage.host import HostFile

_LATEST = (1 << 63) - 1  # st_mtime in nanoseconds, as utimensat(2) takes it through Python
_HOLE = 1 << 30  # bytes of zeros by which an edit makes a file grow or shrink besides those that it writes


@dataclass(frozen=True, slots=True)
class PatchFile:
    """A plan and the image it belongs to: its file name, and the modification time (ns) that the commit gives it.

    `device` and `inode` are those of the file. `token` is random; it is in the image's mark too while the commit lasts
    (see `imgkit.storage.journal`).
    """

    plan: PatchPlan
    name: str
    mtime_ns: int
    device: int = 0
    inode: int = 0
    token: bytes = bytes(16)

    @classmethod
    def of(cls, host: HostFile, plan: PatchPlan, mtime_ns: int) -> Self:
        """The patch file of a commit to `host`."""
        identity = host.identity
        return cls(plan, host.path.name, mtime_ns, identity.device, identity.inode, os.urandom(16))


def serialise(patch_file: PatchFile) -> bytes:
    """The patch file as bytes."""
    from imgkit.storage.patchfile_layout import BODY  # noqa: PLC0415 - construct takes 25 ms to import

    name = os.fsencode(patch_file.name)
    fields = asdict(patch_file)
    body: bytes = BODY.build({**fields, **fields["plan"], "name": name})
    return body + _digest(body)


def parse(data: bytes, source: str) -> PatchFile:
    """Read a patch file back. Raises FormatError, naming `source`, for anything but a whole one of this version."""
    from construct import ConstructError  # noqa: PLC0415

    from imgkit.storage.patchfile_layout import BODY, DIGEST_SIZE, MAGIC  # noqa: PLC0415

    body, digest = data[:-DIGEST_SIZE], data[-DIGEST_SIZE:]
    if not body.startswith(MAGIC):
        raise _error("not a patch file of imgkit", 0, "magic", source)
    if _digest(body) != digest:
        raise _error("incomplete or damaged", len(body), "digest", source)
    try:
        fields = BODY.parse(body)
    except ConstructError as error:
        raise _error(f"written by another version of imgkit ({error})", len(MAGIC), "version", source) from error
    patches = tuple(Patch(item.offset, item.before, item.after) for item in fields.patches)
    plan = PatchPlan(patches, fields.size_before, fields.size_after)
    if wrong := impossible(plan) or ("mtime_ns" if not 0 <= fields.mtime_ns <= _LATEST else ""):
        raise _error("not a valid edit", len(MAGIC), wrong, source)
    return PatchFile(plan, os.fsdecode(fields.name), fields.mtime_ns, fields.device, fields.inode, fields.token)


@contextmanager
def own_file(path: Path, image_owner: int, *, follow: bool = False) -> Iterator[int]:
    """Open a patch file for reading, if it is one to believe; a descriptor.

    It has to be a regular file that belongs to us, to the image's owner or to root, and that nobody else may write. A
    symbolic link is followed only if it was named by the user (`follow`). Raises StaleImageError, or FileNotFoundError.
    """
    remedy = f"If you do not know it, remove {path}."
    try:
        status = path.stat(follow_symlinks=follow)  # before it is opened: opening a device may do something
        if not stat.S_ISREG(status.st_mode):
            raise StaleImageError(f"{path}: is {_kind(status.st_mode)}, not a patch file of imgkit", hint=remedy)
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
        fd = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        journal = "; whether the edit that it belongs to was interrupted cannot be told"
        raise StaleImageError(
            f"{path}: cannot be read ({error.strerror}){'' if follow else journal}",
            hint=f"Ask its owner, who `ls -ld {path}` names, or root.",
        ) from error
    except ValueError as error:  # a NUL in the name
        raise StaleImageError(f"{path}: not a valid file name", hint="Name another file.") from error
    try:
        status = os.fstat(fd)
        if status.st_uid not in (os.geteuid(), image_owner, 0):
            raise StaleImageError(
                f"{path}: belongs to {_user(status.st_uid)}, who is neither you nor the image's owner; it is not used",
                hint=f"{remedy} To use it, be {_user(status.st_uid)}, or make it yours with `chown`.",
            )
        if not stat.S_ISREG(status.st_mode) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise StaleImageError(
                f"{path}: may be written by others (mode {stat.filemode(status.st_mode)}); it is not used",
                hint=f"If nobody has changed it, `chmod go-w {path}`.",
            )
        yield fd
    finally:
        os.close(fd)


def read(fd: int, source: str) -> PatchFile:
    """The patch file behind a descriptor. Raises FormatError, naming `source`."""
    data = b""
    try:
        size = os.fstat(fd).st_size
        while len(data) < size and (more := os.pread(fd, size - len(data), len(data))):
            data += more
    except OSError as error:
        raise _error(f"cannot be read ({error.strerror})", len(data), "", source) from error
    return parse(data, source)


def read_own(path: Path, image_owner: int) -> PatchFile:
    """The patch file that a user named. Raises what `own_file` and `read` raise."""
    with own_file(path, image_owner, follow=True) as fd:
        return read(fd, str(path))


def impossible(plan: PatchPlan) -> str:
    """The field that no plan of an overlay, or its inverse, can have like that; "" where all can be."""
    end, both = 0, min(plan.size_before, plan.size_after)
    if not plan.patches and plan.size_after <= plan.size_before:
        return "patches"
    for patch in plan.patches:
        length = max(len(patch.before), len(patch.after))
        if patch.offset < end or not length:
            return "offset"
        end = patch.offset + length
        if len(patch.before) == len(patch.after):
            if end > both:
                return "offset"
        elif patch.offset < both or (patch.before and patch.after):
            return "before"
        for part, size in ((patch.before, plan.size_before), (patch.after, plan.size_after)):
            if part and patch.offset + len(part) > size:
                return "offset"
    grown = sum(abs(len(patch.after) - len(patch.before)) for patch in plan.patches)
    return "size_after" if abs(plan.size_after - plan.size_before) > grown + _HOLE else ""


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a FIFO",
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def _user(uid: int) -> str:
    import pwd  # noqa: PLC0415 - for an error only

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _digest(body: bytes) -> bytes:
    from hashlib import sha256  # noqa: PLC0415  it brings OpenSSL, and a new file needs none of it

    return sha256(body).digest()


def _error(message: str, offset: int, field: str, source: str) -> FormatError:
    return FormatError(message, structure="patch file", offset=offset, field=field, path=source)
