"""The map of an ISO: system area, descriptors, path tables, directories, files, boot images, what was appended.

Files that follow each other are one area; only the largest are named. It says what the extents of the volume says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.iso import layout
from imgkit.iso.extentmap import whole_sectors
from imgkit.iso.placement import is_zero
from imgkit.layoutmap.model import Claim, RangeKind, make_map
from imgkit.units import MIB, ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgkit.iso.tree import IsoTree
    from imgkit.iso.volume import IsoVolume
    from imgkit.layoutmap.model import LayoutMap

_NAMED_FROM = 32  # files of at least this part of the image are named
_MOST_LOOKED_AT = 16 * MIB  # of what nothing claims, to tell whether it is padding


def iso_map(tree: IsoTree, changed: Iterable[ByteRange] = ()) -> LayoutMap:
    """The map of an ISO. Raises FormatError where what is described is damaged."""
    volume = tree.volume
    left = _MOST_LOOKED_AT

    def gap(where: ByteRange) -> tuple[RangeKind, str]:
        nonlocal left
        left -= where.size
        if left >= 0 and is_zero(volume.device, where):
            return RangeKind.PADDING, ""
        return RangeKind.OTHER, "named by no directory"

    return make_map(volume.device.size, _claims(tree), changed, gap=gap)


def _claims(tree: IsoTree) -> Iterator[Claim]:
    volume = tree.volume
    for fat in tree.fat_images():
        yield Claim(fat.where, RangeKind.BOOT, f"{fat.path} FAT")
    yield from _boot(volume)
    yield from _structures(volume)
    yield from _files(volume)
    for slot in volume.tables.slots:
        if not slot.is_filler and not volume.extents.is_whole(slot.where):
            name = f" {slot.name!r}" if slot.name else ""
            yield Claim(slot.where, RangeKind.PARTITION, f"{slot.scheme} partition {slot.number} {slot.type}{name}")


def _boot(volume: IsoVolume) -> Iterator[Claim]:
    if volume.catalog is not None:
        where = volume.catalog.where
        yield Claim(_file(volume, where.start) or _in_sectors(where), RangeKind.BOOT, "boot catalogue")
        for image in volume.catalog.images:
            label = volume.extents.path(volume, image.start) or f"boot image {image.number}"
            yield Claim(_file(volume, image.start) or image.least_extent, RangeKind.BOOT, label)


def _structures(volume: IsoVolume) -> Iterator[Claim]:
    for each in volume.sets:
        yield Claim(each.where, RangeKind.DESCRIPTORS, "")
    for name, where in volume.tables.ranges():
        if where.start >= layout.FIRST_DESCRIPTOR:
            yield Claim(where, RangeKind.TABLE, name)
    yield Claim(ByteRange(0, layout.FIRST_DESCRIPTOR), RangeKind.SYSTEM_AREA, _system_area(volume))
    for descriptor in (descriptor for each in volume.sets for descriptor in each.descriptors):
        for where in descriptor.path_tables:
            yield Claim(_in_sectors(where), RangeKind.PATH_TABLES, "")
    for where in (*(directory.where for directory in volume.extents.directories), *volume.extents.continuations):
        yield Claim(_in_sectors(where), RangeKind.DIRECTORIES, "")


def _files(volume: IsoVolume) -> Iterator[Claim]:
    """The large files by name, and then the others in runs."""
    extents = volume.extents
    large = volume.device.size // _NAMED_FROM
    runs: list[tuple[int, int, int]] = []  # start, stop, number of files
    for start in sorted(extents.files):
        size = max(use.size for use in extents.files[start])
        stop = start + whole_sectors(size)
        if size >= large and start not in extents.disputed:
            yield Claim(ByteRange(start, stop), RangeKind.FILES, extents.path(volume, start) or "a file")
        elif runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(stop, runs[-1][1]), runs[-1][2] + 1)
        else:
            runs.append((start, stop, 1))
    for start, stop, number in runs:
        yield Claim(ByteRange(start, stop), RangeKind.FILES, f"{number:,} files" if number > 1 else "1 file")


def _system_area(volume: IsoVolume) -> str:
    tables = dict.fromkeys(slot.scheme for slot in volume.tables.slots)
    return ", ".join(tables)


def _file(volume: IsoVolume, start: int) -> ByteRange | None:
    uses = volume.extents.files.get(start)
    return _in_sectors(ByteRange(start, start + uses[0].size)) if uses else None


def _in_sectors(where: ByteRange) -> ByteRange:
    return ByteRange(where.start, where.start + whole_sectors(where.size))
