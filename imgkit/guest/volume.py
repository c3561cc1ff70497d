"""What an engine offers: the volumes of a disk, and the file system on each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from imgkit.filesystem.probe import probe
from imgkit.storage.device import Window
from imgkit.units import ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.filesystem.base import FileSystem
    from imgkit.partition.model import Partition, PartitionTable
    from imgkit.storage.device import BlockDevice

WHOLE_DISK = "/dev/sda"


@dataclass(frozen=True, slots=True)
class GuestVolume:
    """A partition, a logical volume or a whole disk: whatever can hold one file system.

    `name` is what the guest calls it if this is its first disk: /dev/sda3, /dev/vg/root. `kind` is its type as blkid
    says it ("" where it holds nothing that is known). `number` is the partition's, 0 for other volumes.
    """

    name: str
    kind: str
    size: int
    uuid: str = ""
    label: str = ""
    number: int = 0
    partuuid: str = ""
    partlabel: str = ""
    type_id: str = ""


class Engine(Protocol):
    """Serves an installed guest's file systems; two of them are alike to all who use them."""

    @property
    def name(self) -> str:
        """`native` or `guestfs`."""
        ...

    def volumes(self) -> tuple[GuestVolume, ...]:
        """All volumes of the disk, in the order of their names."""
        ...

    def open(self, volume: GuestVolume, /) -> FileSystem:
        """The file system of a volume; the same object each time.

        Raises UnsupportedError for what this engine does not serve, FormatError for what is damaged.
        """
        ...

    def finish(self) -> None:
        """Bring all that was staged into the image's overlay. No file system can be used afterwards."""
        ...

    def close(self) -> None:
        """Let go of everything; what `finish` has not saved is dropped."""
        ...


def disk_volumes(disk: BlockDevice, table: PartitionTable) -> Iterator[tuple[GuestVolume, Window]]:
    """All partitions, or the disk itself where it has no table, and where each lies."""
    if not table.partitions:
        window = Window(disk, ByteRange(0, disk.size))
        yield _volume(WHOLE_DISK, window, None), window
    for partition in table.partitions:
        if not partition.extended:
            window = Window(disk, partition.where)
            yield _volume(f"{WHOLE_DISK}{partition.number}", window, partition), window


def _volume(name: str, window: Window, partition: Partition | None) -> GuestVolume:
    identity = probe(window)
    kind, uuid, label = (identity.kind, identity.uuid, identity.label) if identity else ("", "", "")
    if partition is None:
        return GuestVolume(name, kind, window.size, uuid, label)
    return GuestVolume(
        name,
        kind,
        window.size,
        uuid,
        label,
        partition.number,
        partition.partuuid,
        partition.name,
        partition.type_id,
    )
