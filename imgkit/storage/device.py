"""The joint between all layers: a block device, and a window onto a part of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from imgkit.errors import FormatError

if TYPE_CHECKING:
    from imgkit.units import ByteRange


class BlockReader(Protocol):
    """Bytes at offsets. It never has a cursor, and every number is in bytes.

    `read_at` returns exactly `length` bytes. A range that leaves [0, size) raises `FormatError` for reads and writes
    alike: offsets come from images, and images are hostile.
    """

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def read_at(self, offset: int, length: int, /) -> bytes:
        """The `length` bytes at `offset`."""
        ...


class BlockDevice(BlockReader, Protocol):
    """A block reader that can also be written to."""

    def write_at(self, offset: int, data: bytes, /) -> None:
        """Replace the bytes at `offset`; the size does not change."""
        ...


def check_bounds(device: BlockReader, offset: int, length: int) -> None:
    """Raise `FormatError` unless [offset, offset + length) lies inside `device`."""
    if offset < 0 or length < 0 or offset + length > device.size:
        raise FormatError(
            f"range of {length:,} bytes leaves the {device.size:,} bytes that there are",
            structure="block device",
            offset=offset,
            hint="The image is truncated or damaged; download it again, or repair it with its own tools.",
        )


class Window:
    """A block device that shows a half-open byte range of another one.

        parent   |-----------[start ......... stop)------------|
        window                |0 .......... size|

    A range that reaches past the parent's end is clamped to it: partition tables may claim more than the file holds,
    and reads beyond the end then fail in the window as they would on a real disk.
    """

    __slots__ = ("_parent", "_size", "_start")

    def __init__(self, parent: BlockDevice, where: ByteRange) -> None:
        self._parent = parent
        self._start = min(where.start, parent.size)
        self._size = min(where.stop, parent.size) - self._start

    @property
    def size(self) -> int:
        """Length in bytes after clamping."""
        return self._size

    def read_at(self, offset: int, length: int, /) -> bytes:
        """The `length` bytes at `offset` of the window."""
        if offset < 0 or offset + length > self._size:
            check_bounds(self, offset, length)
        return self._parent.read_at(self._start + offset, length)

    def write_at(self, offset: int, data: bytes, /) -> None:
        """Replace the bytes at `offset` of the window."""
        if offset < 0 or offset + len(data) > self._size:
            check_bounds(self, offset, len(data))
        self._parent.write_at(self._start + offset, data)
