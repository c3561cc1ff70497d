"""What a worker did to an image, told from what it left beside the ledger: the undo file and the note.

An image and the ledger cannot change in one step, so a kill may fall between the two. The undo file decides what was
done: a commit makes it durable before it touches the image, and before a new file gets its name. Where one is found,
and the image is as it says, the commit happened and only its outcome is told again; else nothing did, and it goes.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from imgkit.batch import elsewhere
from imgkit.batch.jobs import sha256_of
from imgkit.batch.ledger import Outcome, State, failure, outcome_of
from imgkit.editing import clock
from imgkit.errors import FormatError, ImgkitError, StaleImageError
from imgkit.remote import Url
from imgkit.storage import commit, patchfile
from imgkit.storage.durable import no_space
from imgkit.storage.host import HostFile
from imgkit.storage.result import Result
from imgkit.units import MIB

if TYPE_CHECKING:
    from pathlib import Path

    from imgkit.batch.jobs import Job
    from imgkit.batch.ledger import Record
    from imgkit.storage.overlay import PatchPlan


def was_committed(job: Job, undo: Path) -> bool:
    """Whether an earlier try did the job; what it left is removed if not."""
    if not undo.exists():
        return False
    image, output = job.input, job.output
    if not isinstance(image, Url):
        commit.recover(image)
    try:
        plan = _plan_of(undo)
        if output is None:
            assert not isinstance(image, Url)  # nothing elsewhere is edited in place
            done = _holds(image, plan)
        else:
            done = elsewhere.was_written(output, image, plan, undo)
    except FormatError:  # damaged: it cannot tell anything
        done = False
    if not done:
        undo.unlink()
        elsewhere.identity_path(undo).unlink(missing_ok=True)
    return done


def take_back(record: Record, undo: Path) -> Outcome:
    """Undo one image: its old bytes come back, or the new file goes. Doing so twice is doing so once."""
    image, output = record.input, record.output
    try:
        if output is not None:
            elsewhere.take_away(output, image, _plan_of(undo), undo)
        else:
            assert not isinstance(image, Url)  # nothing elsewhere is edited in place
            commit.undo(image, undo, mtime_ns=clock())
        return Outcome(State.UNDONE)
    except OSError as error:
        return failure(StaleImageError(f"{undo}: cannot be read ({error.strerror})"))
    except ImgkitError as error:
        return failure(error)


def settle_result(job: Job, undo: Path | None) -> str:
    """Note what the result is, as undo needs to know; its SHA-256 if that is asked for, else ""."""
    if undo is None:
        return ""
    if job.output is not None:
        elsewhere.note_identity(job.output, undo)
    if not job.sha256:
        return ""
    if not isinstance(job.target, Url):
        return sha256_of(job.target)
    return "" if isinstance(job.input, Url) else _expected_sha256(job.input, _plan_of(undo))


def note_path(undo: Path) -> Path:
    """Where a worker notes, before it commits, what it is about to change."""
    return undo.with_suffix(".json")


def write_note(undo: Path, note: bytes) -> None:
    """Keep what a worker is about to do, for whoever finds it done."""
    path = note_path(undo)
    try:
        path.write_bytes(note)
    except OSError as error:
        raise no_space(path, error) from error


def noted(undo: Path) -> Outcome:
    """What a worker wrote of a commit whose outcome nobody heard. After a power failure the note may be torn."""
    try:
        return outcome_of(json.loads(note_path(undo).read_text()))
    except (OSError, ValueError, TypeError, KeyError):
        return Outcome(State.DONE)


def _holds(image: Path, plan: PatchPlan) -> bool:
    """Whether an image has the bytes that a plan puts there."""
    with HostFile(image) as host:
        return elsewhere.holds(host, plan)


def _expected_sha256(image: Path, plan: PatchPlan) -> str:
    """SHA-256 of the new file that a plan makes of an image."""
    digest = hashlib.sha256()
    with HostFile(image) as host:
        for piece in Result(host, plan).pieces(MIB):
            digest.update(piece)
    return digest.hexdigest()


def _plan_of(undo: Path) -> PatchPlan:
    return patchfile.read_own(undo, os.geteuid()).plan
