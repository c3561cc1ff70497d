"""Images of a batch, done in a worker process: each edited once, however often it is tried.

What an earlier try did is told from what it left: see `settled`.

Images that need an appliance are put off at first, so that all the others are done before. Images that trust each other
may share one: all are staged in it in turn, then it stops, then each is committed.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any

from imgkit.batch import elsewhere, settled
from imgkit.batch.ledger import FileChange, Outcome, State, failure, outcome_of
from imgkit.batch.slots import appliance_slot
from imgkit.confinement import Confinement, outside
from imgkit.confinement.reader import supervised
from imgkit.console.judge import Verdict
from imgkit.editing import ImageSource, open_file
from imgkit.errors import EngineError, ImgkitError
from imgkit.guest.engines.choice import EngineChoice
from imgkit.guest.engines.guestfs.appliance import Appliance, may_share
from imgkit.layoutmap.draw import map_of, map_of_file
from imgkit.layoutmap.model import encode
from imgkit.remote import Url
from imgkit.storage.output import InPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imgkit.batch.jobs import Job
    from imgkit.console.judge import Judgement
    from imgkit.editing import Staged
    from imgkit.formats.image import Image
    from imgkit.guest.engines import Shared
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
    if task.undo is None or not settled.was_committed(task.job, task.undo):
        return None
    digest, seconds = settled.settle_result(task.job, task.undo), time.monotonic() - started
    return replace(settled.noted(task.undo), sha256=digest, seconds=seconds)


def _failed(task: Task, error: ImgkitError, started: float) -> Outcome:
    return _with_layout(task, failure(error, time.monotonic() - started))


def _summed(task: Task, outcome: Outcome, started: float) -> Outcome:
    """The outcome of what was done with the sum of what was written, if anything was."""
    if not outcome.changes and task.job.output is None:
        return outcome
    return replace(outcome, sha256=settled.settle_result(task.job, task.undo), seconds=time.monotonic() - started)


def _with_layout(task: Task, outcome: Outcome) -> Outcome:
    """A failure with the map of the image, as far as it is known."""
    return outcome if task.undo is None else replace(outcome, layout=_layout_of(_source(task.job)))


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
    """Keep what is about to be done; also what a confined process asks for."""
    assert task.undo is not None
    settled.write_note(task.undo, note)
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


def _told(changes: tuple[Change, ...]) -> tuple[FileChange, ...]:
    return tuple(FileChange(change.path, change.diff()) for change in changes)
