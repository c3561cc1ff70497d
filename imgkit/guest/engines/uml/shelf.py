"""The disk that the kernel sees: block devices beside each other, each on a place of its own.

    shelf   |1 MiB of zeros|mailbox|gap|--- device 1 ---|gap|--- device 2 ---|gap| ... zeros up to SIZE

It never changes its size, so that one kernel can be shown one image after another. It has no partition table: the agent
is told where each device lies, and what our own reading made of the image's table is all that the kernel knows of it.
Gaps read as zeros; nothing can be written there. What is too long for the serial line passes through the mailbox.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from imgkit.guest.engines.uml.inside.wire import MAILBOX_SIZE, MAILBOX_START
from imgkit.storage.device import check_bounds
from imgkit.units import ByteRange

if TYPE_CHECKING:
    from imgkit.storage.device import BlockReader

SECTOR = 512
SIZE = 1 << 56  # bytes
_GRAIN = 1 << 20


class Mailbox:
    """Bytes in memory, which this process and the kernel pass to each other."""

    def __init__(self) -> None:
        self._data = bytearray(MAILBOX_SIZE)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return MAILBOX_SIZE

    def read_at(self, offset: int, length: int, /) -> bytes:
        """The `length` bytes at `offset`."""
        return bytes(self._data[offset : offset + length])

    def write_at(self, offset: int, data: bytes, /) -> None:
        """Replace the bytes at `offset`."""
        check_bounds(self, offset, len(data))
        self._data[offset : offset + len(data)] = data


class Shelf:
    """A block device on which others are put; see the module."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self._starts: list[int] = []
        self._devices: list[BlockReader] = []
        self.clear()

    @property
    def size(self) -> int:
        """Length in bytes, always the same."""
        return SIZE

    def clear(self) -> None:
        """Take everything down but the mailbox."""
        self._starts[:] = [MAILBOX_START]
        self._devices[:] = [self.mailbox]
        self._end = MAILBOX_START + MAILBOX_SIZE + _GRAIN

    def put(self, device: BlockReader) -> ByteRange:
        """Put a device beside the last one; where it lies, whole sectors. A reader cannot be written to."""
        start = self._end
        size = device.size // SECTOR * SECTOR
        self._starts.append(start)
        self._devices.append(device)
        self._end = -(-(start + size) // _GRAIN) * _GRAIN + _GRAIN
        return ByteRange(start, start + size)

    def read_at(self, offset: int, length: int, /) -> bytes:
        """The `length` bytes at `offset`."""
        device, inner = self._find(offset)
        if device is None:
            return bytes(length)
        inside = max(0, min(length, device.size - inner))
        data = device.read_at(inner, inside) if inside else b""
        return data + bytes(length - inside)

    def write_at(self, offset: int, data: bytes, /) -> None:
        """Replace the bytes at `offset`. Raises ValueError where no device is, or one that cannot be written to."""
        device, inner = self._find(offset)
        write = getattr(device, "write_at", None)
        if device is None or write is None or inner + len(data) > device.size:
            raise ValueError(f"nothing can be written at byte {offset:,} of the shelf")
        write(inner, data)

    def _find(self, offset: int) -> tuple[BlockReader | None, int]:
        index = bisect_right(self._starts, offset) - 1
        if index < 0:
            return None, 0
        return self._devices[index], offset - self._starts[index]
