"""New contents for a file of a volume: in its own extent while they fit, else where there is room.

Every record that names the data follows: hard links, Joliet, further sets of descriptors, and the boot catalogue. The
records are rewritten by pycdlib, one at a time; docs/decisions/060-pycdlib-one-record-at-a-time.md says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.errors import FormatError, UnsupportedError
from imgkit.iso import bootinfo, eltorito, hfsplus, hybrid, layout
from imgkit.iso.descriptors import DescriptorKind
from imgkit.iso.directory import Namespace, Naming, find_record
from imgkit.iso.extentmap import Use, whole_sectors
from imgkit.iso.placement import find_room, release
from imgkit.units import ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.iso.descriptors import Descriptor
    from imgkit.iso.directory import Node, Record
    from imgkit.iso.volume import IsoVolume

_REBUILD = "Rebuild the image with xorriso."
_LARGEST = 0xFFFFFFFF
_EXTENT_AND_SIZE = slice(2, 18)


def write_file(volume: IsoVolume, node: Node, path: str, data: bytes) -> None:
    """Replace the contents of a file. Raises FormatError or UnsupportedError, and then nothing has been written."""
    if _holds(volume, node, path, data):
        return
    check_editable(volume)
    _check_file(volume, node, path, len(data))
    if len(node.records) > 1:
        _write_sections(volume, node, path, data)
    elif node.stat.size:
        _write_extent(volume, node.extents[0], data)
    else:
        _fill_empty(volume, node, path, data)


def _holds(volume: IsoVolume, node: Node, path: str, data: bytes) -> bool:
    """Whether a file has these contents already."""
    position = 0
    for chunk in volume.chunks(node, path):
        if data[position : position + len(chunk)] != chunk:
            return False
        position += len(chunk)
    return position == len(data)


def check_editable(volume: IsoVolume) -> None:
    """UnsupportedError for a volume that holds more than would be kept in step; FormatError for a truncated one."""
    size = volume.device.size
    space = volume.primary.space
    if volume.udf:
        why = "is a UDF volume as well, whose directory would still show the old file"
        raise UnsupportedError(f"{volume.name}: {why}", hint=_REBUILD)
    sessions = [each.descriptors[0] for each in volume.sets if not each.descriptors[0].base]
    if any(descriptor.root != volume.primary.root for descriptor in sessions) or volume.has_later_session:
        raise UnsupportedError(f"{volume.name}: holds several sessions", hint=f"Merge them into one first. {_REBUILD}")
    if space.stop > size:
        raise FormatError(
            f"the volume has {space.stop:,} bytes, the image only {size:,}",
            structure="volume descriptor",
            offset=volume.primary.position,
            field="space_size",
            path=volume.name,
            hint="The image is truncated; download it again.",
        )


def _check_file(volume: IsoVolume, node: Node, path: str, size: int) -> None:
    start = node.extents[0].start
    if volume.catalog is not None and start == volume.catalog.where.start and node.stat.size:
        raise UnsupportedError(f"{volume.name}: {path} is the boot catalogue", hint="Edit the boot images themselves.")
    if any(record.raw[1] for record in node.records):
        raise UnsupportedError(f"{volume.name}: {path} has an extended attribute record", hint=_REBUILD)
    if size > _LARGEST:
        raise UnsupportedError(f"{volume.name}: {path} would need more than one extent", hint=_REBUILD)
    for extent in node.extents:
        if extent.size:
            volume.extents.check_alone(extent, path)


def _write_extent(volume: IsoVolume, old: ByteRange, data: bytes) -> None:
    """Write a file that has one extent, in place if it fits there; the rest of its last sector becomes zeros."""
    start = old.start if len(data) <= whole_sectors(old.size) else find_room(volume, len(data))
    new = ByteRange(start, start + len(data))
    before = volume.device.read_at(old.start, min(old.size, bootinfo.HEAD))
    blocks = old.start // layout.SECTOR, start // layout.SECTOR
    after = bootinfo.follow(before, data, old_block=blocks[0], new_block=blocks[1])
    # An image may end within the last sector of its last file.
    end = min(start + whole_sectors(new.size), max(new.stop, volume.device.size))
    volume.device.write_at(start, after + bytes(end - new.stop))
    if new != old:
        _rewrite_records(volume, volume.extents.files[old.start], new)
        for start in volume.hfs_plus:
            volume.hfs_plus_differs |= not hfsplus.follow(volume.device, start, old, new)
        follows = _follow_boot_image(volume, old, new)
        volume.extents.move(old.start, new)
        volume.refresh() if follows else volume.forget_files()
        left = max(old.start, end if start == old.start else 0)
        release(volume, ByteRange(left, max(left, old.stop)))


def _write_sections(volume: IsoVolume, node: Node, path: str, data: bytes) -> None:
    """Write a file of several extents: all but the last keep their size."""
    fixed = sum(extent.size for extent in node.extents[:-1])
    last = node.extents[-1]
    if not fixed < len(data) <= fixed + whole_sectors(last.size):
        raise UnsupportedError(f"{volume.name}: {path} has several extents and would not fit them", hint=_REBUILD)
    position = 0
    for extent in node.extents[:-1]:
        volume.device.write_at(extent.start, data[position : position + extent.size])
        position += extent.size
    _write_extent(volume, last, data[position:])


def _fill_empty(volume: IsoVolume, node: Node, path: str, data: bytes) -> None:
    """Give a file its first extent. Without one, only its path tells which records of other trees are the same file."""
    found = [node.records[0], *_same_path_elsewhere(volume, path)]
    uses = [Use(record.position, len(data), _directory_of(volume, record)) for record in found]
    start = find_room(volume, len(data))
    volume.device.write_at(start, data)
    new = ByteRange(start, start + len(data))
    _rewrite_records(volume, uses, new)
    volume.extents.add(new, uses)
    volume.hfs_plus_differs |= bool(volume.hfs_plus)
    volume.forget_files()


def _same_path_elsewhere(volume: IsoVolume, path: str) -> Iterator[Record]:
    """The records by which the other trees of the image know the path; UnsupportedError where one does not."""
    roots = {volume.namespace.descriptor.root}
    for descriptor in (descriptor for each in volume.sets for descriptor in each.descriptors):
        if descriptor.root in roots:
            continue
        roots.add(descriptor.root)
        found = find_record(volume.device, namespace_of(volume, descriptor), path)
        if found is None or found.size:
            where = f"{path} is empty, and has another name in the {descriptor.kind} tree"
            raise UnsupportedError(f"{volume.name}: {where}", hint=_REBUILD)
        yield found


def namespace_of(volume: IsoVolume, descriptor: Descriptor) -> Namespace:
    """How another tree than the one whose names are used names its files."""
    if descriptor.kind is DescriptorKind.JOLIET:
        return Namespace(descriptor, Naming.JOLIET)
    if descriptor.kind is DescriptorKind.ENHANCED and descriptor.root not in _other_roots(volume):
        return Namespace(descriptor, Naming.ENHANCED)
    if volume.namespace.naming is Naming.ROCK_RIDGE:
        return Namespace(descriptor, Naming.ROCK_RIDGE, volume.namespace.skip)
    return Namespace(descriptor, Naming.PLAIN)


def _other_roots(volume: IsoVolume) -> set[ByteRange]:
    """The roots of all trees but those of ISO 9660:1999, whose descriptor may name one of these."""
    descriptors = (descriptor for each in volume.sets for descriptor in each.descriptors)
    return {descriptor.root for descriptor in descriptors if descriptor.kind is not DescriptorKind.ENHANCED}


def _directory_of(volume: IsoVolume, record: Record) -> int:
    """Number of the directory that a record lies in."""
    directories = enumerate(volume.extents.directories)
    return next(number for number, each in directories if each.where.start <= record.position < each.where.stop)


def _rewrite_records(volume: IsoVolume, uses: list[Use], new: ByteRange) -> None:
    for use in uses:
        descriptor = volume.extents.directories[use.directory].descriptor
        raw = volume.device.read_at(use.position, volume.device.read_at(use.position, 1)[0])
        block = descriptor.block(new.start)
        volume.device.write_at(use.position, rewritten(raw, use.position, block, new.size))


def rewritten(raw: bytes, position: int, block: int, size: int) -> bytes:
    """A directory record with another extent and data length; all its other bytes stay."""
    from pycdlib.dr import DirectoryRecord  # noqa: PLC0415  only edits need it, and it takes 25 ms
    from pycdlib.headervd import PrimaryOrSupplementaryVD  # noqa: PLC0415
    from pycdlib.pycdlibexception import PyCdlibException  # noqa: PLC0415

    # The name and the system use field are kept from pycdlib: it wants an encoding for ".", and drops entries that it
    # does not know.
    fixed = raw[: layout.DIRECTORY_RECORD_SIZE - 1] + b"\1X"
    record = DirectoryRecord()
    try:
        record.parse(PrimaryOrSupplementaryVD(1), fixed, DirectoryRecord())
    except PyCdlibException as error:
        raise FormatError(
            str(error), structure="directory record", offset=position, hint="The image is damaged; download it again."
        ) from error
    record.set_data_location(block, 0)
    record.set_data_length(size)
    rewritten = bytes(record.record())
    return raw[: _EXTENT_AND_SIZE.start] + rewritten[_EXTENT_AND_SIZE] + raw[_EXTENT_AND_SIZE.stop :]


def _follow_boot_image(volume: IsoVolume, old: ByteRange, new: ByteRange) -> bool:
    """Have boot catalogue, boot sector and partition tables follow a file that has moved or changed in size.

    Whether any of them names it.
    """
    device = volume.device
    images = [image for image in volume.catalog.images if image.start == old.start] if volume.catalog else []
    for image in images:
        whole = image.load_size == -(-old.size // 512) * 512
        eltorito.rewrite(device, image, start=new.start, load_size=new.size if whole else image.load_size)
    taken = whole_sectors(old.size)
    slots = [slot for slot in volume.tables.slots if slot.where == ByteRange(old.start, old.start + taken)]
    if images and new.start != old.start:
        blocks = old.start // layout.SECTOR, new.start // layout.SECTOR
        bootinfo.follow_in_boot_sector(device, old_block=blocks[0], new_block=blocks[1])
    where = ByteRange(new.start, new.start + whole_sectors(new.size))
    if slots and slots[0].where != where:
        hybrid.rewrite(device, hybrid.read_tables(device), lambda each: where if each == slots[0].where else each)
    return bool(images or slots)
