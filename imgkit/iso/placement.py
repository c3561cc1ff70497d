"""Room in a volume: padding that is proven to be unused, or growth.

Padding is unused when no structure, file or partition claims any of it and all of it is zero up to what lies on both
sides: what no record names, such as the file system of another machine, is mostly not zero.

Growth inserts bytes at the end of the volume, in front of what follows it: appended partitions, the backup GPT.

    before   | system area | volume ......... | appended ESP | backup GPT |
    after    | system area | volume ......... | new | appended ESP | backup GPT |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.errors import FormatError, UnsupportedError
from imgkit.iso import hybrid, layout
from imgkit.iso.descriptors import set_end
from imgkit.iso.eltorito import rewrite
from imgkit.iso.extentmap import whole_sectors
from imgkit.units import KIB, MIB, ByteRange, format_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgkit.iso.volume import IsoVolume
    from imgkit.storage.device import BlockReader

_LARGEST_TAIL = 64 * MIB
_LARGEST_CLEARED = MIB
_STEP = 32 * KIB
_CYLINDER = MIB
"""Of 64 heads and 32 sectors, which isohybrid rounds images up to: some BIOSes want whole cylinders."""


def find_room(volume: IsoVolume, size: int) -> int:
    """Byte position of `size` bytes, rounded up to sectors, that are free; the image grows if need be."""
    needed = whole_sectors(size)
    place = _find_gap(volume, needed)
    if place is not None:
        return place
    new = ByteRange(end := reach(volume), end + needed)
    _grow(volume, needed)
    if reach(volume) < new.stop or any(claim.overlaps(new) for claim in volume.extents.claims()):
        raise UnsupportedError(
            f"{volume.name}: no room for {format_size(size)} where both a CD drive and a USB disk would show it",
            hint="Rebuild the image with xorriso.",
        )
    return new.start


def release(volume: IsoVolume, where: ByteRange) -> None:
    """Make zeros of data that nobody claims any more, up to 1 MiB, so that it counts as room again."""
    sectors = ByteRange(where.start, min(where.start + whole_sectors(where.size), volume.device.size))
    if 0 < sectors.size <= _LARGEST_CLEARED and not any(claim.overlaps(sectors) for claim in volume.extents.claims()):
        volume.device.write_at(sectors.start, bytes(sectors.size))


def reach(volume: IsoVolume) -> int:
    """Where the bytes end that every view of the volume shows: all descriptors, and all partitions of the whole of it.

    A backup GPT, which has to stay the last thing, ends it too.
    """
    ends = [descriptor.space.stop for each in volume.sets for descriptor in each.descriptors]
    ends += [slot.where.stop for slot in volume.tables.slots if volume.extents.is_whole(slot.where)]
    ends += [where.start for _, where in volume.tables.backup_ranges()]
    return min(ends) // layout.SECTOR * layout.SECTOR


def _find_gap(volume: IsoVolume, needed: int) -> int | None:
    """The smallest gap that is large enough, so that the large ones stay whole."""
    gaps = [gap for gap in _gaps(volume, reach(volume)) if gap.size >= needed]
    for gap in sorted(gaps, key=lambda gap: (gap.size, gap.start)):
        if is_zero(volume.device, gap):
            return gap.start
    return None


def _gaps(volume: IsoVolume, end: int) -> list[ByteRange]:
    """What nothing claims behind the first file, in whole sectors.

    Before it, between path tables and directories, there is room that other tools leave for these to grow.
    """
    gaps, free = [], min(volume.extents.files, default=volume.extents.data_end)
    for claim in sorted(volume.extents.claims()):
        if free < min(claim.start, end):
            gaps.append(ByteRange(free, min(claim.start, end) // layout.SECTOR * layout.SECTOR))
        free = max(free, whole_sectors(claim.stop))
    if free < end:
        gaps.append(ByteRange(free, end))
    return [gap for gap in gaps if gap.size]


def is_zero(device: BlockReader, where: ByteRange) -> bool:
    """Whether a range holds nothing but zeros."""
    pieces = (device.read_at(start, min(MIB, where.stop - start)) for start in range(where.start, where.stop, MIB))
    return all(piece == bytes(len(piece)) for piece in pieces)  # a fiftieth of the time that stripping zeros takes


def _grow(volume: IsoVolume, needed: int) -> None:
    end = reach(volume)
    slack = ByteRange(end, max(end, _next_claim(volume, end)))
    if slack.size >= needed and is_zero(volume.device, slack):
        # isohybrid pads images behind the end of the volume: it only has to take in what is there.
        _set_ends(volume, lambda stop: max(stop, end + needed))
    else:
        _insert(volume, end, needed)
    volume.refresh()


def _next_claim(volume: IsoVolume, end: int) -> int:
    """Where the volume would run into something: a structure, the end of a partition that holds it, or of the image."""
    stops = [claim.start for claim in volume.extents.claims() if claim.start >= end]
    stops += [slot.where.stop for slot in volume.tables.slots if volume.extents.is_whole(slot.where)]
    return min([*stops, volume.device.size])


def _set_ends(volume: IsoVolume, change: Callable[[int], int]) -> None:
    """Pass the end of the volume, as each descriptor has it, through `change`."""
    for each in volume.sets:
        for descriptor in each.descriptors:
            set_end(volume.device, descriptor, change(descriptor.space.stop))


def _insert(volume: IsoVolume, end: int, needed: int) -> None:
    """Move what follows `end` by at least `needed` bytes, and have everything say so."""
    device, tables = volume.device, volume.tables
    step = _CYLINDER if tables.mbr and device.size % _CYLINDER == 0 else _STEP
    added = -(-needed // step) * step
    _check_seam(volume, end)
    tail = device.read_at(end, device.size - end)
    device.grow(device.size + added)
    device.write_at(end, bytes(min(added, len(tail))))
    device.write_at(end + added, tail)

    def change(where: ByteRange) -> ByteRange:
        if where.start >= end:
            return ByteRange(where.start + added, where.stop + added)
        grows = where.stop > end or (where.stop == end and volume.extents.is_whole(where))
        return ByteRange(where.start, where.stop + added) if grows else where

    # The catalogue lies in the volume, before the seam.
    for image in volume.catalog.images if volume.catalog else ():
        if image.start >= end:
            rewrite(device, image, start=image.start + added, load_size=image.load_size)
    _set_ends(volume, lambda stop: stop + added if stop >= end else stop)
    hybrid.rewrite(device, tables, change, backup_shift=added if tables.has_backup_from(end) else 0)


def _check_seam(volume: IsoVolume, end: int) -> None:
    tail = volume.device.size - end
    if tail > _LARGEST_TAIL:
        raise UnsupportedError(
            f"{volume.name}: {format_size(tail)} follow the volume and would have to be moved to let it grow",
            hint="Rebuild the image with xorriso.",
        )
    for claim in volume.extents.claims():
        if claim.start < end < claim.stop:
            raise FormatError(
                "a file, structure or partition reaches across the end of the volume",
                structure="volume descriptor",
                offset=claim.start,
                hint="The image is damaged; download it again.",
            )
