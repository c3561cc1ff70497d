"""The file that a plan makes of an image file, read, copied and sent without being written: an image file itself.

image file   |------------------------|
patches          ===     ==         ======
result       |---===-----==---------======000|     zeros where it grew and no patch lies
"""

from __future__ import annotations

import os
from bisect import bisect_right
from contextlib import contextmanager
from typing import TYPE_CHECKING

from imgkit.storage import durable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.remote.url import Address
    from imgkit.storage.copy import Progress
    from imgkit.storage.host import ImageFile
    from imgkit.storage.overlay import PatchPlan

_ZEROS = 1 << 20


class Result:
    """What `plan` makes of `host`. Only one thread may read, as only one may read from `host`."""

    def __init__(self, host: ImageFile, plan: PatchPlan) -> None:
        self.host = host
        self.plan = plan
        self._offsets = [patch.offset for patch in plan.patches]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.plan.size_after

    @property
    def path(self) -> Address:
        """Where the file is that it is made of."""
        return self.host.path

    @property
    def mode(self) -> int:
        """Permission bits for a copy."""
        return self.host.mode

    @property
    def version(self) -> str:
        """The version of what it is made of: there is one result of it."""
        return self.host.version

    def allocated(self) -> int:
        """Bytes that what it is made of takes where it is."""
        return self.host.allocated()

    def check_unchanged(self) -> None:
        """Raise StaleImageError if what it is made of is not as it was when it was opened."""
        self.host.check_unchanged()

    def changed(self) -> list[tuple[int, int]]:
        """The half-open ranges, sorted, that are not what `host` has there; growth is one of them."""
        ranges = [(patch.offset, patch.offset + len(patch.after)) for patch in self.plan.patches if patch.after]
        if self.size > self.host.size:
            ranges = [(start, min(stop, self.host.size)) for start, stop in ranges if start < self.host.size]
            ranges.append((self.host.size, self.size))
        return ranges

    def read_at(self, offset: int, length: int, /) -> bytes:
        """The `length` bytes at `offset`; raises what reading the image file raises."""
        stop = offset + length
        inside = max(0, min(stop, self.host.size) - offset)
        data = bytearray(self.host.read_at(offset, inside) if inside else b"")
        data += bytes(length - len(data))
        at = max(0, bisect_right(self._offsets, offset) - 1)
        for patch in self.plan.patches[at:]:
            if patch.offset >= stop:
                break
            start, end = max(patch.offset, offset), min(patch.offset + len(patch.after), stop)
            if start < end:
                data[start - offset : end - offset] = patch.after[start - patch.offset : end - patch.offset]
        return bytes(data)

    def pieces(self, length: int) -> Iterator[bytes]:
        """All of it from start to end, `length` bytes at a time."""
        for offset in range(0, self.size, length):
            yield self.read_at(offset, min(length, self.size - offset))

    @contextmanager
    def copying_to(self, target: int, progress: Progress) -> Iterator[Callable[[], None]]:
        """Copy all of it to an empty file; see `ImageFile`."""
        with self.host.copying_to(target, progress) as copied:

            def finish() -> None:
                copied()
                durable.write_plan(target, self.plan)
                os.fsync(target)

            yield finish

    def send(self, target: int, start: int, stop: int, progress: Progress) -> None:
        """Send bytes [start, stop) to a pipe, a socket or any other descriptor. Progress counts to `stop`."""

        def watched(done: int, _total: int) -> None:
            progress(done, stop)

        position = start
        for patch in self.plan.patches:
            begin, end = max(patch.offset, start), min(patch.offset + len(patch.after), stop)
            if begin < end:
                self._send_unchanged(target, position, begin, watched)
                _write_pipe(target, patch.after[begin - patch.offset : end - patch.offset])
                position = end
        self._send_unchanged(target, position, stop, watched)
        progress(stop, stop)

    def _send_unchanged(self, target: int, start: int, stop: int, progress: Progress) -> None:
        inside = min(stop, self.host.size)
        if start < inside:
            self.host.send(target, start, inside, progress)
        zeros = max(0, stop - max(start, self.host.size))
        while zeros > 0:
            piece = min(zeros, _ZEROS)
            _write_pipe(target, bytes(piece))
            zeros -= piece


def _write_pipe(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
