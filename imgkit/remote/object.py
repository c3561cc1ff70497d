"""What every kind of remote file offers to the block reader above it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


_LONGEST_PAUSE = 10.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait for a server: seconds to connect, seconds of silence, and attempts that bring nothing new.

    `pause` is the time before the second of these attempts; each one after it waits twice as long. Silence counts over
    all attempts: a server that does not answer is given up after `silence` seconds, whatever it is asked.
    """

    connect: float = 15
    silence: float = 30
    attempts: int = 5
    pause: float = 0.5

    def is_over(self, failures: int, heard: float) -> bool:
        """Whether to give up after `failures` in a row; `heard` is when something came, by `time.monotonic`."""
        return failures >= self.attempts or time.monotonic() - heard >= self.silence

    def wait(self, failures: int) -> None:
        """Wait before the next attempt."""
        time.sleep(min(self.pause * 2 ** max(failures - 1, 0), _LONGEST_PAUSE))


class RemoteObject(Protocol):
    """A file elsewhere, as it was when it was opened."""

    @property
    def size(self) -> int | None:
        """Length in bytes; None if only reading it to its end would tell."""
        ...

    @property
    def has_ranges(self) -> bool:
        """Whether `stream` may start anywhere."""
        ...

    @property
    def version(self) -> str:
        """What tells it from other files that have had its name: an ETag, or size and time."""
        ...

    def stream(self, start: int, stop: int | None) -> Iterator[bytes]:
        """Exactly the bytes [start, stop), in pieces; None is the end.

        Raises StaleImageError if the file is another one by now, UnclassifiedImageError for all else that goes wrong.
        """
        ...

    def check_unchanged(self) -> None:
        """Raise StaleImageError if the file is another one by now."""
        ...

    def close(self) -> None:
        """Let connections go."""
        ...
