"""The replay of what a kernel wrote: engines that work on a throw-away layer bring it into the image's overlay."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgkit.storage.device import BlockDevice, BlockReader
    from imgkit.units import ByteRange

_CHUNK = 1 << 20


def replay(written: Iterable[ByteRange], layer: BlockReader, disk: BlockDevice) -> None:
    """Bring the bytes that differ from the ranges `written` of a layer onto the disk below it.

    The layer may be longer than the disk by what its format rounds up.
    """
    for piece in written:
        for start in range(piece.start, min(piece.stop, disk.size), _CHUNK):
            length = min(_CHUNK, piece.stop - start, disk.size - start)
            data = layer.read_at(start, length)
            if data != disk.read_at(start, length):
                disk.write_at(start, data)
