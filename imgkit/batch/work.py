"""One image of a batch, done in a worker process: edited once, however often it is tried.

An image and the ledger cannot change in one step, so a kill may fall between the two. The undo file decides what was
done: a commit makes it durable before it touches the image, and before a new file gets its name. Where one is found,
and the image is as it says, the commit happened and only its outcome is told again; else nothing did, and it goes.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from imgkit.batch.jobs import sha256_of
from imgkit.batch.ledger import FileChange, Outcome, State
from imgkit.block import commit, patchfile
from imgkit.block.host import HostFile
from imgkit.block.output import InPlace, NewFile
from imgkit.editing import Source, clock, edit_image
from imgkit.errors import FormatError, ImgkitError, StaleImageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imgkit.batch.jobs import Job
    from imgkit.block.overlay import Plan
    from imgkit.editing import Contents, Edited
    from imgkit.tree import Change

_CHUNK = 1 << 20  # bytes that are compared at once


@dataclass(frozen=True, slots=True)
class Task:
    """A job with the place for its undo file; None is a dry run."""

    job: Job
    undo: Path | None


def carry_out(task: Task) -> Outcome:
    """Do one job. What goes wrong with the image is in the outcome."""
    started = time.monotonic()
    job = task.job
    try:
        if task.undo is not None and _was_committed(job, task.undo):
            engine, changes = _noted(task.undo)
            return Outcome(State.DONE, sha256_of(job.target), engine, time.monotonic() - started, changes)
        edited = _edit(task)
        written = task.undo is not None and (edited.changes or job.output is not None)
        return Outcome(
            State.DONE if edited.changes or job.output is not None else State.UNCHANGED,
            sha256_of(job.target) if written else "",
            edited.engine,
            time.monotonic() - started,
            _told(edited.changes),
            edited.notices,
        )
    except ImgkitError as error:
        return failure(error, time.monotonic() - started)


def failure(error: BaseException, seconds: float = 0.0) -> Outcome:
    """The outcome that tells of an error."""
    hint = (
        (error.hint or "")
        if isinstance(error, ImgkitError)
        else "Look at the log of the worker; if it is a fault of imgkit, please report it."
    )
    return Outcome(State.FAILED, error=type(error).__name__, message=str(error), hint=hint, seconds=seconds)


def take_back(job_input: Path, output: Path | None, undo: Path) -> Outcome:
    """Undo one image: its old bytes come back, or the new file goes. Doing so twice is doing so once."""
    try:
        record = patchfile.parse(undo.read_bytes(), str(undo))
        if output is None:
            commit.recover(job_input)
            if not _holds(job_input, record.plan.inverse):
                commit.undo(job_input, undo, mtime_ns=clock())
        elif output.exists():
            if _expected_sha256(job_input, record.plan) != sha256_of(output):
                raise StaleImageError(f"{output}: is not what the batch wrote", hint="Remove it yourself, if you wish.")
            output.unlink()
        return Outcome(State.UNDONE)
    except OSError as error:
        return failure(StaleImageError(f"{undo}: cannot be read ({error.strerror})"))
    except ImgkitError as error:
        return failure(error)


def _edit(task: Task) -> Edited:
    job = task.job
    selector = job.selector
    source = Source(
        path=job.input,
        image_format=selector.image_format,
        allow=selector.allow,
        engine=selector.engine,
        root=selector.root,
    )
    if task.undo is None:
        return edit_image(source, job.operation.edit, None)
    undo = task.undo

    def edit(contents: Contents) -> list[Change]:
        changes = job.operation.edit(contents)
        note = {"engine": contents.engine, "changes": [asdict(change) for change in _told(tuple(changes))]}
        note_path(undo).write_text(json.dumps(note))
        return changes

    return edit_image(source, edit, NewFile(job.output) if job.output else InPlace(), undo=undo)


def note_path(undo: Path) -> Path:
    """Where a worker notes, before it commits, what it is about to change."""
    return undo.with_suffix(".json")


def _noted(undo: Path) -> tuple[str, tuple[FileChange, ...]]:
    """Engine and changes of a commit whose outcome nobody heard. After a power failure the note may be torn."""
    try:
        note = json.loads(note_path(undo).read_text())
        return note["engine"], tuple(FileChange(**change) for change in note["changes"])
    except (OSError, ValueError):
        return "", ()


def _told(changes: tuple[Change, ...]) -> tuple[FileChange, ...]:
    return tuple(FileChange(change.path, change.diff()) for change in changes)


def _was_committed(job: Job, undo: Path) -> bool:
    """Whether an earlier try did the job; what it left is removed if not."""
    if not undo.exists():
        return False
    commit.recover(job.input)
    try:
        plan = patchfile.parse(undo.read_bytes(), str(undo)).plan
        if job.output is None:
            done = _holds(job.input, plan)
        else:
            done = job.output.exists() and sha256_of(job.output) == _expected_sha256(job.input, plan)
    except FormatError:  # torn: what follows it in a commit never happened
        done = False
    if not done:
        undo.unlink()
    return done


def _holds(image: Path, plan: Plan) -> bool:
    """Whether an image has the bytes that a plan puts there."""
    with HostFile(image) as host:
        return host.size == plan.size_after and all(
            host.read_at(patch.offset, len(patch.after)) == patch.after for patch in plan.patches
        )


def _expected_sha256(image: Path, plan: Plan) -> str:
    """SHA-256 of the new file that a plan makes of an image."""
    digest = hashlib.sha256()
    with HostFile(image) as host:
        position = 0
        for patch in plan.patches:
            for data in _unchanged(host, position, patch.offset):
                digest.update(data)
            digest.update(patch.after)
            position = patch.offset + len(patch.after)
        for data in _unchanged(host, position, plan.size_after):
            digest.update(data)
    return digest.hexdigest()


def _unchanged(host: HostFile, start: int, stop: int) -> Iterator[bytes]:
    """The bytes of a range, zeros past the file's end."""
    while start < stop:
        length = min(_CHUNK, stop - start)
        inside = max(0, min(length, host.size - start))
        yield (host.read_at(start, inside) if inside else b"").ljust(length, b"\0")
        start += length
