"""The native engine: partitions and file systems are read and edited in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.block.device import Window
from imgkit.filesystem.probe import open_filesystem, probe
from imgkit.guest.volume import Volume
from imgkit.units import ByteRange

if TYPE_CHECKING:
    from imgkit.block.image import Image
    from imgkit.filesystem.base import FileSystem
    from imgkit.partition.model import PartitionTable


class NativeEngine:
    """File systems in process, over the image's overlay. `now` is the time, in seconds, that edits are stamped with."""

    name = "native"

    def __init__(self, image: Image, table: PartitionTable, *, now: int) -> None:
        self._now = now
        self._windows: dict[str, Window] = {}
        self._open: dict[str, FileSystem] = {}
        self._volumes = tuple(self._find_volumes(image, table))

    def volumes(self) -> tuple[Volume, ...]:
        """All partitions, or the disk itself where it has no table."""
        return self._volumes

    def open(self, volume: Volume, /) -> FileSystem:
        """The file system of a volume, checked to be clean."""
        if volume.name not in self._open:
            window = self._windows[volume.name]
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

    def _find_volumes(self, image: Image, table: PartitionTable) -> list[Volume]:
        whole = ByteRange(0, image.disk.size)
        if not table.partitions:
            return [self._volume("/dev/sda", Window(image.disk, whole))]
        return [
            self._volume(
                f"/dev/sda{partition.number}",
                Window(image.disk, partition.where),
                number=partition.number,
                partuuid=partition.partuuid,
                partlabel=partition.name,
                type_id=partition.type_id,
            )
            for partition in table.partitions
            if not partition.extended
        ]

    def _volume(
        self, name: str, window: Window, *, number: int = 0, partuuid: str = "", partlabel: str = "", type_id: str = ""
    ) -> Volume:
        self._windows[name] = window
        identity = probe(window)
        kind, uuid, label = (identity.kind, identity.uuid, identity.label) if identity else ("", "", "")
        return Volume(name, kind, window.size, uuid, label, number, partuuid, partlabel, type_id)
