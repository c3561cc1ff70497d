"""The atomic in-place commit, its recovery, and undo. With `output`, the only code that writes to an image.

Order of a commit; each arrow is an fsync:

    space reserved · undo file → journal → its directory → patches in the image → journal removed → its directory

Up to the journal's fsync a kill leaves the old image; after it, recovery rolls the journal forward to the new one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, OutputError, StaleImageError, UsageError
from imgkit.storage import durable, locks, patchfile
from imgkit.storage.host import HostFile, Identity, real_path
from imgkit.storage.patchfile import PatchFile
from imgkit.storage.syscalls import reserve

if TYPE_CHECKING:
    from pathlib import Path

    from imgkit.storage.overlay import Patch, PatchPlan

_SECTOR = 512


def journal_path(image: Path) -> Path:
    """Where the journal of a commit to `image` (a resolved path) lies."""
    return image.with_name(f".{image.name}.imgkit-journal")


def commit(host: HostFile, plan: PatchPlan, *, mtime_ns: int, undo: Path | None = None) -> None:
    """Write `plan` to the image, atomically; the image's modification time becomes `mtime_ns`.

    `host` was opened writable. With `undo`, an undo file is made first; it must not exist. After the return, `host`
    no longer describes the file: close it. Raises InUseError, StaleImageError or OutputError; the image is then as it
    was, unless a disk failed during the last step: then the next open recovers it.
    """
    locks.acquire(host.fd, locks.Access.WRITE, host.path)
    host.check_unchanged()
    for patch in plan.patches:
        if patch.before and host.read_at(patch.offset, len(patch.before)) != patch.before:
            raise StaleImageError(
                f"{host.path}: bytes at {patch.offset:,} are not what they were when the edit was planned",
                hint="Nothing was written. Run the command again.",
            )
    record = PatchFile(plan, host.path.name, mtime_ns)
    journal = journal_path(host.path)
    made: list[Path] = []
    try:
        if undo is not None:
            durable.create(undo, patchfile.serialise(record), made)
        _reserve(host, plan)
        durable.create(journal, patchfile.serialise(record), made)
    except BaseException:
        _abandon(host, plan, made)
        raise
    _apply(host, record, journal)


def recover(path: Path) -> bool:
    """Finish the commit that a kill interrupted, if there is one; True when there was.

    Raises StaleImageError when the image holds neither its old nor its new bytes, OutputError when it is read-only.
    """
    image = real_path(path)
    journal = journal_path(image)
    if not journal.exists():
        return False
    try:
        host = HostFile(image, writable=True)
    except OutputError as error:
        raise StaleImageError(
            f"{image}: a commit to it was interrupted and has to be finished, but the image cannot be written",
            hint="Run `imgkit recover` as a user who may write it.",
        ) from error
    with host:
        locks.acquire(host.fd, locks.Access.WRITE, image)
        try:
            record = patchfile.parse(journal.read_bytes(), str(journal))
        except FileNotFoundError:
            return False  # the commit that owned it ended between our two looks
        except FormatError as error:
            if error.field == "version":
                raise
            # A torn journal was never synced, so no byte of the image was written.
            durable.remove(journal)
            return True
        for patch in record.plan.patches:
            _check_either(host, patch, journal)
        _reserve(host, record.plan)
        _apply(host, record, journal)
    return True


def undo(path: Path, undo_file: Path, *, mtime_ns: int, force: bool = False) -> PatchPlan:
    """Take back the commit that wrote `undo_file`; the plan that did so. The image's time becomes `mtime_ns`.

    Raises StaleImageError unless the image is as that commit left it. A copy has another modification time: `force`
    accepts that, but never other bytes.
    """
    recover(path)
    try:
        record = patchfile.parse(undo_file.read_bytes(), str(undo_file))
    except OSError as error:
        raise UsageError(f"{undo_file}: cannot be read ({error.strerror})") from error
    with HostFile(path, writable=True) as host:
        if host.size != record.plan.size_after:
            raise StaleImageError(
                f"{path}: size is {host.size:,}, not the {record.plan.size_after:,} bytes that the commit left",
                hint=f"{undo_file} belongs to {record.name}, as it was right after the commit.",
            )
        if host.identity.mtime_ns != record.mtime_ns and not force:
            raise StaleImageError(
                f"{path}: was written to after the commit, undoing only our bytes may damage it",
                hint="If it is merely a copy, or was only touched, use --force.",
            )
        plan = record.plan.inverse
        commit(host, plan, mtime_ns=mtime_ns)
    return plan


def _apply(host: HostFile, record: PatchFile, journal: Path) -> None:
    """Write all patches, make them durable, drop the journal."""
    try:
        for patch in record.plan.patches:
            durable.write_all(host.fd, patch.after, patch.offset)
        os.ftruncate(host.fd, record.plan.size_after)
        os.utime(host.fd, ns=(record.mtime_ns, record.mtime_ns))
        os.fsync(host.fd)
    except OSError as error:
        raise OutputError(
            f"{host.path}: cannot be written ({error.strerror}); the commit is half done and its journal is kept",
            hint=f"When the disk is well again, `imgkit recover {host.path}` finishes it.",
        ) from error
    durable.remove(journal)


def _check_either(host: HostFile, patch: Patch, journal: Path) -> None:
    """A commit can stop at any byte: each byte has to be the old one or the new one, in every sector."""
    inside = max(0, min(max(len(patch.before), len(patch.after)), host.size - patch.offset))
    held = host.read_at(patch.offset, inside) if inside else b""
    before, after = patch.before.ljust(inside, b"\0"), patch.after.ljust(inside, b"\0")
    for start in range(0, inside, _SECTOR):
        now, old, new = (data[start : min(start + _SECTOR, inside)] for data in (held, before, after))
        if now not in (old, new) and any(n not in (o, w) for n, o, w in zip(now, old, new, strict=True)):
            raise StaleImageError(
                f"{host.path}: a commit was interrupted, and the image was changed since, at byte "
                f"{patch.offset + start:,}; finishing the commit would damage it",
                hint=f"If the image is whole without that commit, remove {journal}.",
            )


def _reserve(host: HostFile, plan: PatchPlan) -> None:
    """Have the file system set blocks aside for every byte that will be written, so that none can fail for space."""
    try:
        for patch in plan.patches:
            if patch.after:
                reserve(host.fd, patch.offset, len(patch.after))
    except OSError as error:
        raise durable.no_space(host.path, error) from error


def _abandon(host: HostFile, plan: PatchPlan, made: list[Path]) -> None:
    for path in made:
        path.unlink(missing_ok=True)
    if Identity.of(host.fd).size != plan.size_before:
        os.ftruncate(host.fd, plan.size_before)
