"""The atomic in-place commit, its recovery, and undo. With `output`, the only code that writes to an image.

Order of a commit; each arrow is an fsync:

    space reserved · undo file → journal → its directory → mark, patches, mark off → journal removed → its directory

Up to the journal's name a kill leaves the old image; after the first patch, recovery rolls forward to the new one. In
between it removes the journal, so that one beside an image that was restored from a backup changes nothing. From the
mark on, signals wait.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from enum import StrEnum
from typing import TYPE_CHECKING

from imgkit.errors import ImgkitError, OutputError, StaleImageError
from imgkit.storage import durable, journal, locks, patchfile, temporary
from imgkit.storage.host import HostFile, Identity, no_such_file, real_path
from imgkit.storage.journal import State, find_pending, journal_path, state_of
from imgkit.storage.overlay import PatchPlan
from imgkit.storage.patchfile import PatchFile
from imgkit.storage.signals import uninterrupted
from imgkit.storage.syscalls import reserve

if TYPE_CHECKING:
    from pathlib import Path

    from imgkit.storage.host import ImageFile
    from imgkit.storage.journal import Pending


_KEPT = "; the edit is incomplete, and its journal was kept"


class Recovery(StrEnum):
    """What was to be done about an edit that was interrupted."""

    NOTHING = "nothing"
    FINISHED = "finished"
    DISCARDED = "discarded"


def commit(host: HostFile, plan: PatchPlan, *, mtime_ns: int, undo: Path | None = None) -> None:
    """Write `plan` to the image, atomically; the image's modification time becomes `mtime_ns`, if we may set it.

    `host` was opened writable. With `undo`, an undo file is made first; it must not exist, unless it has nothing to
    undo (see `leave_undo`). After the return, `host` no longer describes the file: close it. Raises InUseError,
    StaleImageError or OutputError; the image is then as it was, unless a disk failed during the last step: then
    recovery finishes it.
    """
    locks.acquire(host.fd, locks.Access.WRITE, host.path)
    host.check_unchanged()
    _check_as_planned(host, plan)
    record = PatchFile.of(host, plan, mtime_ns)
    path = journal_path(host.path)
    made: list[Path] = []
    with ExitStack() as stack:
        try:
            if undo is not None:
                leave_undo(undo, record, host, made)
            _reserve(host, plan)
            try:
                stack.enter_context(durable.created(path, patchfile.serialise(record), made, readers_of=host.fd))
            except FileExistsError as error:  # where there are record locks, nobody comes that far
                raise journal.in_use(host.path) from error
            # Again: without record locks another commit may have come and gone between our look and our journal.
            _check_as_planned(host, plan)
            stack.enter_context(uninterrupted(f"{host.path} is edited"))
        except BaseException:
            _abandon(host, plan, made)
            raise
        _apply(host, record, path)


def recover(path: Path) -> Recovery:
    """Finish the edit that a kill interrupted, if there is one, or take away what it left before it began.

    Raises what `find_pending` raises, StaleImageError too for the journal of another file, OutputError when the image
    may not be written.
    """
    image = real_path(path)
    with HostFile(path) as host:
        if find_pending(host) is None:
            return Recovery.NOTHING
    try:
        host = HostFile(image, writable=True)
    except OutputError as error:
        raise StaleImageError(
            f"{image}: an interrupted edit has to be finished, but the image cannot be written",
            hint="Run `imgkit recover` as a user who can write to it.",
        ) from error
    with host:
        locks.acquire(host.fd, locks.Access.WRITE, image)
        pending = find_pending(host)
        return Recovery.NOTHING if pending is None else _settle(host, pending)


def clear_strays(path: Path) -> int:
    """Remove the temporary files that killed runs left beside an image; how many there were."""
    image = real_path(path)
    return temporary.remove_abandoned(image) + temporary.remove_abandoned(journal_path(image))


def undo(path: Path, undo_file: Path, *, mtime_ns: int, force: bool = False) -> PatchPlan:
    """Take back the commit that wrote `undo_file`; the plan that did so, an empty one if there was nothing to undo.

    The image's modification time becomes `mtime_ns`. Bytes decide, not times: raises StaleImageError unless every range
    holds what that commit left. The image has to have the name that it had then, or `force` says that it is a copy.
    """
    recover(path)
    with HostFile(path, writable=True) as host:
        record = _undo_record(undo_file, host)
        if record.name != host.path.name and not force:
            raise StaleImageError(
                f"{undo_file}: undoes an edit of {record.name!r}, not of {host.path.name!r}",
                hint="If the image was renamed or copied since, use --force.",
            )
        state = state_of(host, record.plan)
        if state is State.OLD:
            return PatchPlan((), host.size, host.size)
        if state is not State.NEW:
            raise _used_since(host, record, undo_file, state)
        plan = record.plan.inverse
        commit(host, plan, mtime_ns=mtime_ns)
    return plan


def leave_undo(path: Path, record: PatchFile, host: ImageFile, made: list[Path]) -> None:
    """Make the undo file of an edit of `host`. One that a killed run of the same edit left there is replaced.

    That is one whose edit is not in the image: it has nothing to undo. Raises OutputError for any other that exists.
    """
    try:
        with durable.created(path, patchfile.serialise(record), made, replace=_has_nothing_to_undo(path, record, host)):
            pass
    except FileExistsError as error:
        raise OutputError(f"{path}: exists", hint="Name another file, or remove it.") from error


def _has_nothing_to_undo(path: Path, record: PatchFile, host: ImageFile) -> bool:
    try:
        found = patchfile.read_own(path, os.geteuid())
    except (ImgkitError, FileNotFoundError):
        return False
    return found.name == record.name and _reads(host, found.plan.inverse)


def _reads(host: ImageFile, plan: PatchPlan) -> bool:
    """Whether a file has the size and the bytes that a plan gives it."""
    return host.size == plan.size_after and all(
        host.read_at(patch.offset, len(patch.after)) == patch.after for patch in plan.patches
    )


def _undo_record(undo_file: Path, host: HostFile) -> PatchFile:
    try:
        return patchfile.read_own(undo_file, os.fstat(host.fd).st_uid)
    except FileNotFoundError as error:
        raise no_such_file(undo_file, "Give the file that --undo wrote.") from error


def _used_since(host: HostFile, record: PatchFile, undo_file: Path, state: State | int) -> StaleImageError:
    if host.size != record.plan.size_after:
        what = f"size is {host.size:,}, not the {record.plan.size_after:,} bytes that the edit left"
    elif isinstance(state, int):
        what = f"byte {state:,} is neither what it was before the edit nor what the edit left there"
    else:
        what = "part of it is as before the edit, and part of it is not"
    return StaleImageError(
        f"{host.path}: {what}; undoing the rest would damage it",
        hint=f"A system that boots from an image, or mounts it, writes to it; {undo_file} only works before that. "
        "Restore a backup, or change the files back with `imgkit edit`.",
    )


def _settle(host: HostFile, pending: Pending) -> Recovery:
    """Do what is left of an interrupted edit."""
    path, record = pending.journal, pending.record
    if pending.is_stale:
        raise StaleImageError(
            f"{path}: is the journal of another file that had the name of {host.path}; it is not used",
            hint=f"If the image was restored and is whole, remove {path}.",
        )
    with ExitStack() as stack:
        stack.enter_context(_held(path, host))
        stack.enter_context(uninterrupted(f"{host.path} is recovered"))
        if pending.state is State.OLD:
            _discard(host, path)
            return Recovery.DISCARDED
        _reserve(host, record.plan, so_that=_KEPT)
        _apply(host, record, path)
    return Recovery.FINISHED


def _discard(host: HostFile, path: Path) -> None:
    try:
        journal.clear_mark(host.fd)
    except OSError as error:
        raise temporary.not_written(host.path, error, "; the journal of an edit that had not begun is kept") from error
    _drop(path, host)


def _held(path: Path, host: HostFile) -> ExitStack:
    """The journal, open and locked as a running commit has it. Raises InUseError."""
    with ExitStack() as stack:
        fd = stack.enter_context(patchfile.own_file(path, os.fstat(host.fd).st_uid))
        if not temporary.lock(fd):
            raise journal.in_use(host.path)
        return stack.pop_all()


def _apply(host: HostFile, record: PatchFile, path: Path) -> None:
    """Write all patches, make them durable, drop the journal."""
    try:
        journal.set_mark(host.fd, record, path)
        durable.write_plan(host.fd, record.plan)
        durable.set_time(host.fd, record.mtime_ns)
        journal.clear_mark(host.fd)
        os.fsync(host.fd)
    except OSError as error:
        raise OutputError(
            f"{host.path}: cannot be written ({error.strerror}){_KEPT}",
            hint=f"When the disk works again, `imgkit recover {host.path}` finishes it.",
        ) from error
    _drop(path, host)
    host.check_name()


def _drop(path: Path, host: HostFile) -> None:
    try:
        durable.remove(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be removed ({error.strerror}); {host.path} is whole",
            hint=f"Remove {path}.",
        ) from error


def _check_as_planned(host: HostFile, plan: PatchPlan) -> None:
    """Raise StaleImageError unless the file still has its name, and holds what the plan was made for."""
    host.check_name()
    for patch in plan.patches:
        if patch.before and host.read_at(patch.offset, len(patch.before)) != patch.before:
            raise StaleImageError(
                f"{host.path}: bytes at {patch.offset:,} are not what they were when the edit was planned",
                hint="Nothing was written. Run the command again.",
            )


def _reserve(host: HostFile, plan: PatchPlan, so_that: str = "; nothing was changed") -> None:
    """Have the file system set blocks aside for every byte that will be written, so that none can fail for space."""
    try:
        for patch in plan.patches:
            if patch.after:
                reserve(host.fd, patch.offset, len(patch.after))
    except OSError as error:
        raise temporary.not_written(host.path, error, so_that) from error


def _abandon(host: HostFile, plan: PatchPlan, made: list[Path]) -> None:
    for path in made:
        with suppress(OSError):  # what stays is recognised by the next run
            path.unlink(missing_ok=True)
    with suppress(OSError):
        if Identity.of(host.fd).size != plan.size_before:
            os.ftruncate(host.fd, plan.size_before)
        durable.set_time(host.fd, host.identity.mtime_ns)  # fallocate(2) sets it
