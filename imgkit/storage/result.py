"""The file that a plan makes of an image file, read without being written.

image file   |------------------------|
patches          ===     ==         ======
result       |---===-----==---------======000|     zeros where it grew and no patch lies
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.storage.host import ImageFile
    from imgkit.storage.overlay import PatchPlan


class Result:
    """What `plan` makes of `host`; a block reader. Only one thread may read, as only one may read from `host`."""

    def __init__(self, host: ImageFile, plan: PatchPlan) -> None:
        self.host = host
        self.plan = plan
        self._offsets = [patch.offset for patch in plan.patches]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.plan.size_after

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
