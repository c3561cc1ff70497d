"""The native engine: partitions and file systems are read and edited in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.filesystem.probe import open_filesystem
from imgkit.guest.volume import GuestVolume, disk_volumes

if TYPE_CHECKING:
    from imgkit.filesystem.base import FileSystem
    from imgkit.formats.image import Image
    from imgkit.partition.model import PartitionTable


class NativeEngine:
    """File systems in process, over the image's overlay. `now` is the time, in seconds, that edits are stamped with."""

    name = "native"

    def __init__(self, image: Image, table: PartitionTable, *, now: int) -> None:
        self._now = now
        self._open: dict[str, FileSystem] = {}
        self._windows = dict(disk_volumes(image.disk, table))

    def volumes(self) -> tuple[GuestVolume, ...]:
        """All partitions, or the disk itself where it has no table."""
        return tuple(self._windows)

    def open(self, volume: GuestVolume, /) -> FileSystem:
        """The file system of a volume, checked to be clean."""
        if volume.name not in self._open:
            window = self._windows[volume]
            self._open[volume.name] = open_filesystem(window, writable=True, now=self._now)
        return self._open[volume.name]

    def finish(self) -> None:
        """Flush all file systems to the overlay."""
        for file_system in self._open.values():
            file_system.flush()
        self.close()

    def close(self) -> None:
        """Close all file systems."""
        for file_system in self._open.values():
            file_system.close()
        self._open.clear()
