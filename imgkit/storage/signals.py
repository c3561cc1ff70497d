"""Signals that wait: what a commit has begun it ends, and only then does Ctrl-C act."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_WAITING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@contextmanager
def uninterrupted(done: str) -> Iterator[None]:
    """Let SIGHUP, SIGINT and SIGTERM wait until the `with` block is over, then have them do what they do.

    An exception that a handler raises then carries `done` as a note (PEP 678), if the block came to its end: what the
    user is told has to be what is on the disk. Python runs handlers in the main thread alone, so that elsewhere
    there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        heard.append(number)

    before = {number: signal.getsignal(number) for number in _WAITING}
    # None: a handler that was not set from Python, which cannot be put back.
    held = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    ended = False
    try:
        for number in held:
            signal.signal(number, hear)
        yield
        ended = True
    finally:
        for number in held:
            signal.signal(number, before[number])
        _raise(heard, done if ended else "")


def _raise(heard: list[int], done: str) -> None:
    try:
        for number in dict.fromkeys(heard):
            signal.raise_signal(number)
    except BaseException as stop:
        if done:
            stop.add_note(done)
        raise
