"""FAT file systems inside an ISO: boot images that are files, and partitions that were appended to it.

UEFI firmware finds its boot loader in one of them. Each is a window of the image with `imgkit.filesystem.fat` on it,
and keeps its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.storage.device import Window
from imgkit.units import ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.filesystem.fat.filesystem import FatFileSystem
    from imgkit.iso.volume import IsoVolume

_SECTOR = 512


@dataclass(frozen=True, slots=True)
class FatImage:
    """A FAT file system: the path by which the tree shows it, and its range in bytes.

    The path is that of a file of the volume, or "/[partition N]" or "/[boot image N]" for one that is no file; `file`
    says which.
    """

    path: str
    where: ByteRange
    file: bool


def find_fat_images(volume: IsoVolume) -> tuple[FatImage, ...]:
    """The FAT file systems that firmware may find, through the boot catalogue or a partition table."""
    found: dict[int, FatImage] = {}
    for name, where in _places(volume):
        if where.start not in found and holds_fat(volume, where):
            path = volume.extents.path(volume, where.start)
            extent = _extent(volume, where.start)
            found[where.start] = FatImage(path or f"/[{name}]", extent or where, bool(path))
    return tuple(sorted(found.values(), key=lambda image: image.where))


def holds_fat(volume: IsoVolume, where: ByteRange) -> bool:
    """Whether a range begins with the boot sector of a FAT file system."""
    from imgkit.partition.bootsector import boot_sector_file_system  # noqa: PLC0415  construct takes 25 ms to import

    if where.start + _SECTOR > volume.device.size:
        return False
    sector = volume.device.read_at(where.start, _SECTOR)
    return sector.endswith(b"\x55\xaa") and boot_sector_file_system(sector) == "FAT"


def open_image(volume: IsoVolume, where: ByteRange, *, writable: bool, now: int) -> FatFileSystem:
    """The file system in a range. Raises what `open_fat` raises."""
    from imgkit.filesystem.fat.filesystem import open_fat  # noqa: PLC0415  few ISOs are looked into that far

    return open_fat(Window(volume.device, where), writable=writable, now=now)


def _places(volume: IsoVolume) -> Iterator[tuple[str, ByteRange]]:
    """Partitions first: a boot catalogue tells less of their size."""
    for slot in volume.tables.slots:
        if not volume.extents.is_whole(slot.where) and slot.where.size >= _SECTOR:
            yield f"partition {slot.number}", slot.where
    for image in volume.catalog.images if volume.catalog else ():
        yield f"boot image {image.number}", image.least_extent


def _extent(volume: IsoVolume, start: int) -> ByteRange | None:
    """Range of the file that begins at a position, if there is one."""
    uses = volume.extents.files.get(start)
    return ByteRange(start, start + uses[0].size) if uses else None
