"""The coordinator: hands jobs to worker processes, a few at a time, and notes down what comes back.

A worker that dies takes its pool with it (`concurrent.futures.BrokenExecutor`); a new one is made. Which
image killed it is not known, so those that were in work are tried again one at a time, until one has done so thrice.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.batch.ledger import Outcome, State, failure
from imgkit.batch.settled import note_path, take_back
from imgkit.batch.work import Deferred, Task, carry_out_all, keep_kernels
from imgkit.errors import EngineError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from multiprocessing.process import BaseProcess

    from imgkit.batch.jobs import Job
    from imgkit.batch.ledger import Ledger, Record

_TRIES = 3
_PATIENCE = 20.0  # seconds: a commit takes milliseconds, on a busy disk with large changes some seconds
_PR_SET_PDEATHSIG = 1  # prctl(2)


@contextmanager
def local_pool(jobs: int) -> Iterator[Executor]:
    """Worker processes on this machine. None of them outlives the `with` block, or us, whatever ends us."""
    before = multiprocessing.active_children()
    # Spawned, not forked: no worker inherits the ledger's lock or anything else that is open here.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_live_with, initargs=(os.getpid(),))
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        _end([process for process in multiprocessing.active_children() if process not in before])
        pool.shutdown(cancel_futures=True)
        raise


def _end(workers: Iterable[BaseProcess]) -> None:
    """End worker processes: at once, but for those in the middle of a commit, which they end before."""
    workers = list(workers)
    for process in workers:
        process.terminate()
    patient_until = time.monotonic() + _PATIENCE
    for process in workers:
        process.join(max(0.0, patient_until - time.monotonic()))
        process.kill()  # no image is harmed: a commit that a kill interrupts is finished by recovery


def run(
    remaining: Mapping[int, Job],
    ledger: Ledger,
    make_pool: Callable[[], AbstractContextManager[Executor]],
    *,
    in_flight: int,
    on_outcome: Callable[[Job, Outcome], None],
    stopping: Callable[[], bool] = lambda: False,
    pack: int = 1,
) -> None:
    """Do the jobs, `in_flight` of them handed out at any time; each outcome is in the ledger before it is told.

    Up to `pack` images share an appliance, where they need one; if that is more than one, they trust each other, and a
    worker keeps its kernel from one to the next.

    When `stopping` says so, what is handed out is finished and the rest stays pending. Raises what the ledger raises.
    """
    numbers = {job.input: number for number, job in remaining.items()}

    def settle(task: Task, outcome: Outcome) -> None:
        _settle(ledger, numbers[task.job.input], task, outcome)
        on_outcome(task.job, outcome)

    _make_folders(remaining)
    tasks = [Task(job, ledger.undo_file(number), trusted=pack > 1) for number, job in remaining.items()]
    _do(tasks, settle, make_pool, in_flight, pack, stopping)


def rehearse(
    jobs: Iterable[Job],
    make_pool: Callable[[], AbstractContextManager[Executor]],
    *,
    in_flight: int,
    on_outcome: Callable[[Job, Outcome], None],
    stopping: Callable[[], bool] = lambda: False,
    pack: int = 1,
) -> None:
    """Plan all jobs and write nothing. Outcomes are told in the order of the jobs, each as soon as it can be."""
    tasks = [Task(job, None, trusted=pack > 1) for job in jobs]
    early: dict[Job, Outcome] = {}
    waiting = deque(task.job for task in tasks)

    def settle(task: Task, outcome: Outcome) -> None:
        early[task.job] = outcome
        while waiting and waiting[0] in early:
            first = waiting.popleft()
            on_outcome(first, early.pop(first))

    _do(tasks, settle, make_pool, in_flight, pack, stopping)
    for job, outcome in early.items():  # behind those that an interrupt left undone
        on_outcome(job, outcome)


def undo(ledger: Ledger, on_outcome: Callable[[Record, Outcome], None]) -> None:
    """Take back what a batch did, one image after the other. What cannot be taken back keeps its state.

    That is also what a run that was killed had done and not noted down any more: the undo files tell.
    """
    for record in ledger.records():
        undo_file = ledger.undo_file(record.id)
        if record.outcome.state is not State.DONE and not undo_file.exists():
            continue
        outcome = take_back(record, undo_file)
        if outcome.state is State.UNDONE:
            ledger.settle(record.id, outcome)
            undo_file.unlink(missing_ok=True)
            note_path(undo_file).unlink(missing_ok=True)
        on_outcome(record, outcome)


def _do(
    tasks: list[Task],
    settle: Callable[[Task, Outcome], None],
    make_pool: Callable[[], AbstractContextManager[Executor]],
    in_flight: int,
    pack: int,
    stopping: Callable[[], bool],
) -> None:
    """Have workers do the tasks: first those that need no appliance. Where a worker dies, find out with which."""
    units = deque[tuple[Task, ...]]((replace(task, appliance=False),) for task in tasks)
    suspects, deferred = deque[tuple[Task, ...]](), list[Task]()
    tries: dict[Job, int] = {}
    limit = in_flight

    def take(task: Task, result: Outcome | Deferred) -> None:
        if isinstance(result, Deferred):
            deferred.append(replace(task, appliance=True))
        else:
            settle(task, result)

    while (units or suspects or deferred) and not stopping():
        try:
            with make_pool() as pool:
                while (units or suspects or deferred) and not stopping():
                    _work_off(pool, suspects, 1, take, stopping)
                    _work_off(pool, units, limit, take, stopping)
                    packs = deque(tuple(deferred[start : start + pack]) for start in range(0, len(deferred), pack))
                    deferred.clear()
                    # None waits in a worker's queue: they take long, and Ctrl-C lets those in work be finished.
                    units, limit = packs, max(1, in_flight // 2)
        except _PoolDiedError as died:
            for task in died.lost:
                tries[task.job] = tries.get(task.job, 0) + (len(died.lost) == 1)  # in company it may be another's fault
                if tries[task.job] < _TRIES:
                    suspects.append((task,))
                else:
                    settle(task, failure(_killer(task)))


class _PoolDiedError(Exception):
    """A worker died, and its pool with it; `lost` is what was handed out and not heard of."""

    def __init__(self, lost: list[Task]) -> None:
        super().__init__()
        self.lost = lost


def _work_off(
    pool: Executor,
    units: deque[tuple[Task, ...]],
    in_flight: int,
    take: Callable[[Task, Outcome | Deferred], None],
    stopping: Callable[[], bool],
) -> None:
    """Work units off in a pool, each by one worker. Raises _PoolDiedError."""
    handed_out: dict[Future[tuple[Outcome | Deferred, ...]], tuple[Task, ...]] = {}
    lost: list[Task] = []
    while True:
        while units and not lost and len(handed_out) < in_flight and not stopping():
            unit = units.popleft()
            try:
                handed_out[pool.submit(carry_out_all, unit)] = unit
            except BrokenExecutor:
                lost.extend(unit)
        if not handed_out:
            break
        finished, _ = wait(handed_out, return_when=FIRST_COMPLETED)
        for future in finished:
            unit = handed_out.pop(future)
            error = None if future.cancelled() else future.exception()
            if future.cancelled() or isinstance(error, BrokenExecutor):  # cancelled: as a scheduler goes away
                lost.extend(unit)
            else:
                results = tuple(failure(error) for _ in unit) if error else future.result()
                for task, result in zip(unit, results, strict=True):
                    take(task, result)
    if lost:
        raise _PoolDiedError(lost)


def _settle(ledger: Ledger, number: int, task: Task, outcome: Outcome) -> None:
    ledger.settle(number, outcome)
    if task.undo is not None:
        note_path(task.undo).unlink(missing_ok=True)


def _make_folders(remaining: Mapping[int, Job]) -> None:
    for folder in {job.output.parent for job in remaining.values() if isinstance(job.output, Path)}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made ({error.strerror})", hint="Name another output.") from error


def _killer(task: Task) -> EngineError:
    return EngineError(
        f"{task.job.input}: the worker process died {_TRIES} times while processing this image",
        hint="The usual cause is a lack of memory: see `dmesg`, and run fewer jobs at a time with --jobs 1.",
    )


def _live_with(coordinator: int) -> None:
    """Set a worker up: Ctrl-C is the coordinator's business, and it ends when the coordinator does.

    SIGTERM is what ends it, which waits for the end of a commit (see `imgkit.storage.signals`).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != coordinator:  # it died before we asked
        os._exit(1)
    keep_kernels()
