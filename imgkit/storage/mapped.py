"""Block devices that are laid together from others, as device-mapper's linear and striped targets lay them.

    Linear    |--- part 0 ---|- part 1 -|------ part 2 ------|

    Striped   |0|1|2|0|1|2|0|1|2|        chunks of three columns, in turn

Reference: https://docs.kernel.org/admin-guide/device-mapper/index.html (linear, striped)
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from imgkit.storage.device import check_bounds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.storage.device import BlockDevice


class _Mapped:
    """Reads and writes each piece of a range where `_pieces` says that it lies."""

    __slots__ = ("_size",)

    def __init__(self, size: int) -> None:
        self._size = size

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int, /) -> bytes:
        """The `length` bytes at `offset`."""
        check_bounds(self, offset, length)
        pieces = [device.read_at(at, count) for device, at, count in self._pieces(offset, length)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write_at(self, offset: int, data: bytes, /) -> None:
        """Replace the bytes at `offset`."""
        check_bounds(self, offset, len(data))
        start = 0
        for device, at, count in self._pieces(offset, len(data)):
            device.write_at(at, data[start : start + count])
            start += count

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[BlockDevice, int, int]]:
        """Device, offset in it and length of each piece of a range, in order."""
        raise NotImplementedError


class Linear(_Mapped):
    """Block devices end to end."""

    __slots__ = ("_ends", "_parts")

    def __init__(self, parts: Sequence[BlockDevice]) -> None:
        self._parts = tuple(parts)
        self._ends = tuple(accumulate(part.size for part in self._parts))
        super().__init__(self._ends[-1] if self._ends else 0)

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[BlockDevice, int, int]]:
        index = bisect_right(self._ends, offset)
        while length:
            part, end = self._parts[index], self._ends[index]
            count = min(length, end - offset)
            if count:
                yield part, offset - (end - part.size), count
            offset, length, index = offset + count, length - count, index + 1


class Striped(_Mapped):
    """Block devices of one size, a multiple of `chunk` bytes, of which each gives a chunk in turn."""

    __slots__ = ("_chunk", "_columns")

    def __init__(self, columns: Sequence[BlockDevice], chunk: int) -> None:
        self._columns, self._chunk = tuple(columns), chunk
        assert chunk > 0
        assert len({column.size for column in self._columns}) == 1
        assert self._columns[0].size % chunk == 0
        super().__init__(sum(column.size for column in self._columns))

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[BlockDevice, int, int]]:
        while length:
            number, inside = divmod(offset, self._chunk)
            row, column = divmod(number, len(self._columns))
            count = min(length, self._chunk - inside)
            yield self._columns[column], row * self._chunk + inside, count
            offset, length = offset + count, length - count
