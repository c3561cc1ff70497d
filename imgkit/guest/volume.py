"""What an engine offers: the volumes of a disk, and the file system on each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from imgkit.filesystem.base import FileSystem


@dataclass(frozen=True, slots=True)
class Volume:
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

    def volumes(self) -> tuple[Volume, ...]:
        """All volumes of the disk, in the order of their names."""
        ...

    def open(self, volume: Volume, /) -> FileSystem:
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
