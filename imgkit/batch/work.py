"""Images of a batch, done in a worker process: each edited once, however often it is tried.

An image and the ledger cannot change in one step, so a kill may fall between the two. The undo file decides what was
done: a commit makes it durable before it touches the image, and before a new file gets its name. Where one is found,
and the image is as it says, the commit happened and only its outcome is told again; else nothing did, and it goes.

Images that need an appliance are put off at first, so that all the others are done before. Images that trust each other
may share one: all are staged in it in turn, then it stops, then each is committed.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any

from imgkit.batch import elsewhere
from imgkit.batch.jobs import sha256_of
from imgkit.batch.ledger import FileChange, Outcome, State, outcome_of
from imgkit.batch.slots import appliance_slot
from imgkit.confinement import Confinement, outside
from imgkit.confinement.reader import supervised
from imgkit.console.judge import Verdict
from imgkit.editing import ImageSource, clock, open_file
from imgkit.errors import EngineError, FormatError, ImgkitError, StaleImageError
from imgkit.guest.engines.choice import EngineChoice
from imgkit.guest.engines.guestfs.appliance import Appliance, may_share
from imgkit.layoutmap.draw import map_of, map_of_file
from imgkit.layoutmap.model import encode
from imgkit.remote import Url
from imgkit.storage import commit, patchfile
from imgkit.storage.durable import no_space
from imgkit.storage.host import HostFile
from imgkit.storage.output import InPlace
from imgkit.storage.result import Result
from imgkit.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imgkit.batch.jobs import Job
    from imgkit.batch.ledger import Record
    from imgkit.console.judge import Judgement
    from imgkit.editing import Staged
    from imgkit.formats.image import Image
    from imgkit.guest.engines import Shared
    from imgkit.storage.overlay import PatchPlan
    from imgkit.tree import Change


@dataclass(frozen=True, slots=True)
class Task:
    """A job with the place for its undo file; None is a dry run. `appliance` says whether one may be started for it.

    An image that is `trusted` may be served by a kernel that has served others.
    """

    job: Job
    undo: Path | None
    appliance: bool = True
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class Deferred:
    """Nothing was done: the image needs an appliance, which the task was not given."""


def carry_out_all(tasks: tuple[Task, ...]) -> tuple[Outcome | Deferred, ...]:
    """Do one job, or several whose images may share an appliance."""
    done = _carry_out_together(tasks) if len(tasks) > 1 else {}
    return tuple(done[task] if task in done else carry_out(task) for task in tasks)


def carry_out(task: Task) -> Outcome | Deferred:
    """Do one job. What goes wrong with the image is in the outcome."""
    started = time.monotonic()
    try:
        told = _told_again(task, started)
        if told is not None:
            return told
        sent = supervised(partial(_carried_out, task, started))
        outcome = outcome_of(json.loads(sent))
        if outcome.state is State.FAILED:
            return _with_layout(task, outcome)
        return _summed(task, outcome, started)
    except _ApplianceWantedError:
        return Deferred()
    except ImgkitError as error:
        return _failed(task, error, started)


def _carried_out(task: Task, started: float) -> bytes:
    """The outcome of a job, without its sum, as JSON: it may come from a confined process, which is not believed."""
    try:
        with ExitStack() as stack:
            source = replace(
                _source(task.job),
                on_appliance=partial(_start_appliance, task, stack),
                shared=_kept_kernel() if task.trusted else None,
                confinement=Confinement(services={"note": partial(_write_note, task)}),
            )
            outcome = stack.enter_context(_staged(task, source, started))()
    except ImgkitError as error:
        outcome = failure(error, time.monotonic() - started)
    return json.dumps(asdict(outcome)).encode()


_kernels: list[Shared] = []
_keeps_kernels = False


def keep_kernels() -> None:
    """Have this worker process keep a kernel from one trusted image to the next, until it ends."""
    global _keeps_kernels  # noqa: PLW0603 - a worker's tasks share nothing else
    _keeps_kernels = True
    Finalize(None, _end_kernels, exitpriority=1)


def _kept_kernel() -> Shared | None:
    if _keeps_kernels and not _kernels:
        from imgkit.guest.engines.uml.engine import MachineKeeper  # noqa: PLC0415 - only when it is needed

        _kernels.append(MachineKeeper())
    return next(iter(_kernels), None)


def _end_kernels() -> None:
    while _kernels:
        _kernels.pop().close()


class _ApplianceWantedError(Exception):
    """An appliance would have to be started."""


def _start_appliance(task: Task, stack: ExitStack, _reason: str) -> None:
    if not task.appliance:
        raise _ApplianceWantedError
    stack.enter_context(appliance_slot())


def _carry_out_together(tasks: tuple[Task, ...]) -> dict[Task, Outcome]:
    """Do jobs in one appliance. Those that it does not suit are left out, to be done alone.

    What fails for the appliance's sake is left out too: it may have been another image's fault.
    """
    started = time.monotonic()
    done: dict[Task, Outcome] = {}
    commits: dict[Task, tuple[ExitStack, Callable[[], Outcome]]] = {}
    with ExitStack() as outer, suppress(EngineError):
        images: dict[Task, Image] = {}
        opened = outer.enter_context(ExitStack())
        for task in tasks:
            with suppress(ImgkitError):  # alone it fails too, and says so
                if task.undo is not None and task.undo.exists():
                    continue
                image = opened.enter_context(open_file(_source(task.job)))
                if may_share(image):
                    images[task] = image
        if len(images) < 2:  # noqa: PLR2004  nobody to share with
            return {}
        outer.enter_context(appliance_slot())
        appliance = outer.enter_context(closing(Appliance(tuple(images.values()))))
        for task, image in images.items():
            own = outer.enter_context(ExitStack())
            try:
                source = replace(_source(task.job), engine=EngineChoice.GUESTFS, shared=appliance)
                commits[task] = own, own.enter_context(_staged(task, source, started))
                image.host.check_unchanged()
            except EngineError:
                commits.pop(task, None)
            except ImgkitError as error:
                commits.pop(task, None)
                done[task] = _failed(task, error, started)
        opened.close()  # and with it our own readers' locks, which would keep a commit in place from its own
        appliance.stop()
        for task, (own, commit_it) in commits.items():
            with own:
                try:
                    done[task] = _summed(task, commit_it(), started)
                except ImgkitError as error:
                    done[task] = _failed(task, error, started)
    return done


def _told_again(task: Task, started: float) -> Outcome | None:
    """The outcome of a commit that an earlier try made."""
    if task.undo is None or not _was_committed(task.job, task.undo):
        return None
    digest, seconds = _settle_result(task.job, task.undo), time.monotonic() - started
    return replace(_noted(task.undo), sha256=digest, seconds=seconds)


def _failed(task: Task, error: ImgkitError, started: float) -> Outcome:
    return _with_layout(task, failure(error, time.monotonic() - started))


def _summed(task: Task, outcome: Outcome, started: float) -> Outcome:
    """The outcome of what was done with the sum of what was written, if anything was."""
    if not outcome.changes and task.job.output is None:
        return outcome
    return replace(outcome, sha256=_settle_result(task.job, task.undo), seconds=time.monotonic() - started)


def _with_layout(task: Task, outcome: Outcome) -> Outcome:
    """A failure with the map of the image, as far as it is known."""
    return outcome if task.undo is None else replace(outcome, layout=_layout_of(_source(task.job)))


def failure(error: BaseException, seconds: float = 0.0) -> Outcome:
    """The outcome that tells of an error."""
    hint = (
        (error.hint or "")
        if isinstance(error, ImgkitError)
        else "See the worker's log; if this is a bug in imgkit, please report it."
    )
    return Outcome(State.FAILED, error=type(error).__name__, message=str(error), hint=hint, seconds=seconds)


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


def _plan_of(undo: Path) -> PatchPlan:
    return patchfile.read_own(undo, os.geteuid()).plan


@contextmanager
def _staged(task: Task, source: ImageSource, started: float) -> Iterator[Callable[[], Outcome]]:
    """Make the changes; the value commits them."""
    job, undo = task.job, task.undo
    layout = version = ""

    def take_note(what: Staged, judgement: Judgement | None) -> None:
        nonlocal layout, version
        if undo is None:
            return
        version = what.image.host.version
        with suppress(ImgkitError):  # an edit does not fail for want of a drawing
            layout = encode(map_of(what.image, what.contents, what.plan))
        noted = Outcome(
            _state(judgement),
            engine=what.contents.engine,
            changes=_told(what.changes),
            layout=layout,
            input_version=version,
            **_judged(judgement),
        )
        outside("note", partial(_write_note, task), json.dumps(asdict(noted)).encode())

    destination = None if undo is None else elsewhere.destination(job.output, undo) if job.output else InPlace()
    with job.operation.staged(source, destination, undo, take_note) as commit_it:

        def finish() -> Outcome:
            edited, judgement = commit_it()
            is_written = bool(edited.changes) or job.output is not None
            return Outcome(
                _state(judgement, is_written=is_written),
                engine=edited.engine,
                seconds=time.monotonic() - started,
                changes=_told(edited.changes),
                notices=edited.notices,
                layout=layout,
                input_version=version,
                **_judged(judgement),
            )

        yield finish


def _write_note(task: Task, note: bytes) -> bytes:
    """Keep what a worker is about to do, for whoever finds it done."""
    assert task.undo is not None
    path = note_path(task.undo)
    try:
        path.write_bytes(note)
    except OSError as error:
        raise no_space(path, error) from error
    return b""


def _state(judgement: Judgement | None, *, is_written: bool = True) -> State:
    """What became of an image: a console that is enabled in part only is a state of its own, written or not."""
    if judgement is not None and judgement.verdict is Verdict.PARTLY:
        return State.PARTLY
    return State.DONE if is_written else State.UNCHANGED


def _judged(judgement: Judgement | None) -> dict[str, Any]:
    """What an outcome tells of a judgement."""
    if judgement is None:
        return {}
    names = ("verdict", "announcements", "failing")
    return {name: getattr(judgement, name) for name in names}


def _source(job: Job) -> ImageSource:
    selector = job.selector
    return ImageSource(
        path=job.input,
        image_format=selector.image_format,
        allow=selector.allow,
        engine=selector.engine,
        root=selector.root,
    )


def _layout_of(source: ImageSource) -> str:
    """The map of an image that could not be edited, "" where that cannot be told either, or not without a download."""
    if isinstance(source.path, Url):
        return ""
    try:
        with open_file(source) as image:
            return encode(map_of_file(image))
    except ImgkitError:
        return ""


def note_path(undo: Path) -> Path:
    """Where a worker notes, before it commits, what it is about to change."""
    return undo.with_suffix(".json")


def _noted(undo: Path) -> Outcome:
    """What `take_note` wrote of a commit whose outcome nobody heard. After a power failure the note may be torn."""
    try:
        return outcome_of(json.loads(note_path(undo).read_text()))
    except (OSError, ValueError, TypeError, KeyError):
        return Outcome(State.DONE)


def _told(changes: tuple[Change, ...]) -> tuple[FileChange, ...]:
    return tuple(FileChange(change.path, change.diff()) for change in changes)


def _settle_result(job: Job, undo: Path | None) -> str:
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


def _was_committed(job: Job, undo: Path) -> bool:
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
