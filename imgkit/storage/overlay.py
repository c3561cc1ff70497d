"""The overlay: a copy-on-write block device above the host file. All edits land here, and here alone.

When everything is staged, the overlay *is* the plan: `plan()` compares it with the host file and returns the patches.

    host file   |--------------------------------|
    pages             |1111|2222|        |3333|         dirty pages of 4 KiB
    patches            =====              ==            the bytes that differ, sorted, not overlapping
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.storage.device import check_bounds
from imgkit.units import ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.storage.device import BlockReader

_PAGE = 4096


@dataclass(frozen=True, slots=True)
class Patch:
    """One changed range of the host file.

    `before` and `after` have one length, except past an end of the file: a range that the file did not have before
    has an empty `before`, one that it no longer has an empty `after`.
    """

    offset: int
    before: bytes
    after: bytes

    @property
    def inverse(self) -> Patch:
        """The patch that undoes this one."""
        return Patch(self.offset, self.after, self.before)


@dataclass(frozen=True, slots=True)
class PatchPlan:
    """What a commit will do to the host file: sorted, non-overlapping patches, and the file's size in bytes."""

    patches: tuple[Patch, ...]
    size_before: int
    size_after: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing would change."""
        return not self.patches and self.size_before == self.size_after

    @property
    def inverse(self) -> PatchPlan:
        """The plan that undoes this one."""
        return PatchPlan(tuple(patch.inverse for patch in self.patches), self.size_after, self.size_before)

    @property
    def changed_bytes(self) -> int:
        """Bytes that a commit writes."""
        return sum(len(patch.after) for patch in self.patches)


class Overlay:
    """A block device that shows `base` with every write on top of it; it can grow, and then shows zeros."""

    def __init__(self, base: BlockReader) -> None:
        self._base = base
        self._size = base.size
        self._pages: dict[int, bytearray] = {}

    @property
    def size(self) -> int:
        """Length in bytes, growth included."""
        return self._size

    def grow(self, size: int) -> None:
        """Make the device `size` bytes long; new bytes are zeros. Never shrinks it."""
        self._size = max(self._size, size)

    def read_at(self, offset: int, length: int, /) -> bytes:
        """The `length` bytes at `offset`."""
        if offset < 0 or offset + length > self._size:
            check_bounds(self, offset, length)
        if not self._pages:
            return self._read_base(offset, length)
        first, last = offset // _PAGE, (offset + length - 1) // _PAGE
        dirty = [page for page in range(first, last + 1) if page in self._pages]
        if not dirty:
            return self._read_base(offset, length)
        if first == last:
            start = offset - first * _PAGE
            return bytes(self._pages[first][start : start + length])
        data = bytearray(self._read_base(offset, length))
        for page in dirty:
            start = page * _PAGE - offset
            piece = self._pages[page]
            low, high = max(start, 0), min(start + _PAGE, length)
            data[low:high] = piece[low - start : high - start]
        return bytes(data)

    def write_at(self, offset: int, data: bytes, /) -> None:
        """Replace the bytes at `offset`. The host file is not touched."""
        if offset < 0 or offset + len(data) > self._size:
            check_bounds(self, offset, len(data))
        view = memoryview(data)
        while view:
            page, start = divmod(offset, _PAGE)
            piece = view[: _PAGE - start]
            self._page(page)[start : start + len(piece)] = piece
            offset += len(piece)
            view = view[len(piece) :]

    def written(self) -> Iterator[ByteRange]:
        """Ranges of whole pages that were written to, in order; pages next to each other are one range."""
        start = stop = -1
        for number in sorted(self._pages):
            if number * _PAGE != stop:
                if stop > 0:
                    yield ByteRange(start, stop)
                start = number * _PAGE
            stop = (number + 1) * _PAGE
        if stop > 0:
            yield ByteRange(start, min(stop, self._size))

    def plan(self) -> PatchPlan:
        """The bytes that differ from the host file, as patches."""
        return PatchPlan(tuple(_joined(self._page_patches())), self._base.size, self._size)

    def _page(self, number: int) -> bytearray:
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = bytearray(self._read_base(number * _PAGE, _PAGE))
        return page

    def _read_base(self, offset: int, length: int) -> bytes:
        inside = min(length, max(self._base.size - offset, 0))
        data = self._base.read_at(offset, inside) if inside else b""
        return data if inside == length else data + bytes(length - inside)

    def _page_patches(self) -> Iterator[Patch]:
        end_before = self._base.size
        for number in sorted(self._pages):
            offset, page = number * _PAGE, self._pages[number]
            inside = max(0, min(_PAGE, end_before - offset))
            if inside:
                before = self._base.read_at(offset, inside)
                if span := _differing(before, page[:inside]):
                    yield Patch(offset + span[0], before[span[0] : span[1]], bytes(page[span[0] : span[1]]))
            # Growth is zeros until somebody writes to it: zeros need no patch, the new size implies them.
            tail = page[inside : max(inside, min(_PAGE, self._size - offset))]
            if span := _differing(bytes(len(tail)), tail):
                yield Patch(offset + inside + span[0], b"", bytes(tail[span[0] : span[1]]))


def _differing(before: bytes, after: bytes | bytearray) -> tuple[int, int] | None:
    """First and one-past-last position where two strings of one length differ, or None."""
    if before == after:
        return None
    # The lowest and highest set bit of the difference, found without a loop over bytes.
    difference = int.from_bytes(before, "little") ^ int.from_bytes(after, "little")
    return ((difference & -difference).bit_length() - 1) // 8, (difference.bit_length() + 7) // 8


def _joined(patches: Iterator[Patch]) -> Iterator[Patch]:
    """Join patches that touch, unless the end of the old file lies between them."""
    run: list[Patch] = []
    end = 0
    for patch in patches:
        if run and (patch.offset != end or bool(patch.before) != bool(run[0].before)):
            yield _concatenated(run)
            run = []
        run.append(patch)
        end = patch.offset + len(patch.after)
    if run:
        yield _concatenated(run)


def _concatenated(run: list[Patch]) -> Patch:
    if len(run) == 1:
        return run[0]
    return Patch(run[0].offset, b"".join(p.before for p in run), b"".join(p.after for p in run))
