"""A block device in memory, for what reads or edits bytes that no file holds."""

from __future__ import annotations

from imgkit.storage.device import check_bounds


class MemoryDevice:
    """A block device in memory."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = bytearray(data)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self._data)

    def read_at(self, offset: int, length: int, /) -> bytes:
        """The `length` bytes at `offset`."""
        check_bounds(self, offset, length)
        return bytes(self._data[offset : offset + length])

    def write_at(self, offset: int, data: bytes, /) -> None:
        """Replace the bytes at `offset`."""
        check_bounds(self, offset, len(data))
        self._data[offset : offset + len(data)] = data
