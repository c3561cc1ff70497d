"""The coordinator: hands jobs to worker processes, a few at a time, and notes down what comes back.

A worker that dies takes its pool with it (`concurrent.futures.process.BrokenProcessPool`); a new one is made. Which
image killed it is not known, so those that were in work are tried again one at a time, each at most three times.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING

from imgkit.batch.ledger import Outcome, State
from imgkit.batch.work import Task, carry_out, failure, note_path, take_back
from imgkit.errors import EngineError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from imgkit.batch.jobs import Job
    from imgkit.batch.ledger import Ledger, Record

_TRIES = 3
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
        # No image is harmed: a commit that a kill interrupts is finished by the next one who opens the image.
        for process in multiprocessing.active_children():
            if process not in before:
                process.kill()
        pool.shutdown(cancel_futures=True)
        raise


def run(
    remaining: Mapping[int, Job],
    ledger: Ledger,
    make_pool: Callable[[], AbstractContextManager[Executor]],
    *,
    in_flight: int,
    on_outcome: Callable[[Job, Outcome], None],
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Do the jobs, `in_flight` of them handed out at any time; each outcome is in the ledger before it is told.

    When `stopping` says so, what is handed out is finished and the rest stays pending. Raises what the ledger raises.
    """
    queue = deque(Task(job, ledger.undo_file(number)) for number, job in remaining.items())
    numbers = {job.input: number for number, job in remaining.items()}
    suspects: deque[Task] = deque()
    tries: dict[Task, int] = {}

    def settle(task: Task, outcome: Outcome) -> None:
        _settle(ledger, numbers[task.job.input], task, outcome)
        on_outcome(task.job, outcome)

    _make_folders(remaining)
    while (queue or suspects) and not stopping():
        try:
            with make_pool() as pool:
                while suspects and not stopping():
                    _work_off(pool, suspects, 1, settle, stopping)
                _work_off(pool, queue, in_flight, settle, stopping)
        except _PoolDiedError as died:
            for task in died.lost:
                tries[task] = tries.get(task, 0) + 1
                if tries[task] < _TRIES:
                    suspects.append(task)
                else:
                    settle(task, failure(_killer(task)))


def undo(records: list[Record], ledger: Ledger, on_outcome: Callable[[Record, Outcome], None]) -> None:
    """Take back what a batch did, one image after the other. What cannot be taken back keeps its state."""
    for record in records:
        undo_file = ledger.undo_file(record.id)
        outcome = take_back(record.input, record.output, undo_file)
        if outcome.state is State.UNDONE:
            ledger.settle(record.id, outcome)
            undo_file.unlink(missing_ok=True)
        on_outcome(record, outcome)


class _PoolDiedError(Exception):
    """A worker died, and its pool with it; `lost` is what was handed out and not heard of."""

    def __init__(self, lost: list[Task]) -> None:
        super().__init__()
        self.lost = lost


def _work_off(
    pool: Executor,
    queue: deque[Task],
    in_flight: int,
    settle: Callable[[Task, Outcome], None],
    stopping: Callable[[], bool],
) -> None:
    """Work a queue off in a pool. Raises _PoolDiedError."""
    handed_out: dict[Future[Outcome], Task] = {}
    lost: list[Task] = []
    while True:
        while queue and not lost and len(handed_out) < in_flight and not stopping():
            try:
                handed_out[pool.submit(carry_out, queue[0])] = queue[0]
            except BrokenProcessPool:
                lost.append(queue[0])
            queue.popleft()
        if not handed_out:
            break
        finished, _ = wait(handed_out, return_when=FIRST_COMPLETED)
        for future in finished:
            task = handed_out.pop(future)
            error = None if future.cancelled() else future.exception()
            if future.cancelled() or isinstance(error, BrokenProcessPool):  # cancelled: a scheduler that went away
                lost.append(task)
            else:
                settle(task, failure(error) if error else future.result())
    if lost:
        raise _PoolDiedError(lost)


def _settle(ledger: Ledger, number: int, task: Task, outcome: Outcome) -> None:
    ledger.settle(number, outcome)
    if task.undo is not None:
        note_path(task.undo).unlink(missing_ok=True)


def _make_folders(remaining: Mapping[int, Job]) -> None:
    for folder in {job.output.parent for job in remaining.values() if job.output}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made ({error.strerror})", hint="Name another output.") from error


def _killer(task: Task) -> EngineError:
    return EngineError(
        f"{task.job.input}: the worker process died {_TRIES} times while it had this image in work",
        hint="Often memory ran out: look at `dmesg`, and run fewer at a time with --jobs 1.",
    )


def _live_with(coordinator: int) -> None:
    """Set a worker up: Ctrl-C is the coordinator's business, and it dies when the coordinator does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != coordinator:  # it died before we asked
        os._exit(1)
