"""Where goes what came over a line: to a log, and to somebody who may be slower.

libvirt's thread puts it in and must not wait, as it is the one that answers libvirt's daemon. So what is not taken is
kept up to a bound, which is more than a person reads, and dropped beyond, the oldest first; the log has it all.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from imgkit.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BOUND = 16 << 20  # bytes
_PIECE = 4096  # bytes


class Log:
    """A file that is appended to, by libvirt's thread; that it could not be is said later. None is no log."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self._failure: OSError | None = None

    def put(self, data: bytes) -> None:
        """Append what came."""
        if self._fd is None or self._failure is not None:
            return
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            self._failure = error

    def check(self) -> None:
        """Raise OutputError where the log could not be written."""
        if self._failure is not None:
            raise OutputError(f"the log cannot be written ({self._failure.strerror})") from self._failure


@contextmanager
def opened_log(path: Path | None) -> Iterator[Log]:
    """A log, open as long as the block. Raises OutputError where it cannot be opened."""
    if path is None:
        yield Log(None)
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o666)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        yield Log(fd)
    finally:
        os.close(fd)


class Outlet:
    """Bytes that wait to be taken. `fd` becomes readable when there is news."""

    def __init__(self, fd: int, *, bound: int = _BOUND) -> None:
        self.fd = fd
        self._bound = bound
        self._waiting: deque[bytearray] = deque()
        self._size = 0
        self._dropped = 0
        self._lock = threading.Lock()

    def put(self, data: bytes) -> None:
        """Add what came."""
        with self._lock:
            if self._waiting and len(self._waiting[-1]) < _PIECE:
                self._waiting[-1] += data  # a guest speaks in crumbs, and each has a price
            else:
                self._waiting.append(bytearray(data))
            self._size += len(data)
            while self._size > self._bound:
                dropped = len(self._waiting[0])
                self._dropped += dropped
                self._forget(dropped)
        self.wake()

    def wake(self) -> None:
        """Say that there is news."""
        os.eventfd_write(self.fd, 1)

    def news(self) -> int:
        """Note that the news have been heard; how many bytes have been dropped since the last time."""
        with suppress(BlockingIOError):  # none
            os.eventfd_read(self.fd)
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        return dropped

    def take(self, length: int) -> bytes:
        """The oldest bytes, `length` at most."""
        with self._lock:
            if not self._waiting:
                return b""
            oldest = bytes(self._waiting[0][:length])
            self._forget(len(oldest))
            return oldest

    def give_back(self, data: bytes) -> None:
        """Return what could not be used, to be taken next."""
        with self._lock:
            if data:
                self._waiting.appendleft(bytearray(data))
                self._size += len(data)

    def _forget(self, length: int) -> None:
        del self._waiting[0][:length]
        self._size -= length
        if not self._waiting[0]:
            self._waiting.popleft()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting


@contextmanager
def opened_outlet() -> Iterator[Outlet]:
    """An outlet, as long as the block."""
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        yield Outlet(fd)
    finally:
        os.close(fd)
