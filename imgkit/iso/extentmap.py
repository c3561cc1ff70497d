"""The extent map of a volume: who uses which bytes.

Before a file changes it has to be known which records share its data, that nothing else overlaps with it, and what is
free. So every directory of every tree is read once; of 50,000 files only numbers are kept.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from imgkit.errors import FormatError
from imgkit.iso import layout
from imgkit.iso.descriptors import DescriptorKind
from imgkit.iso.directory import Naming, Record, make_node, records
from imgkit.iso.rockridge import entries
from imgkit.units import ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.iso.descriptors import Descriptor
    from imgkit.iso.volume import IsoVolume

_NO_PARENT = -1


class Use(NamedTuple):
    """A record that names some data: position of the record, size of the data, number of its directory."""

    position: int
    size: int
    directory: int


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory of one tree; `parent` is the number of the one that it was found in, `record` its record there."""

    descriptor: Descriptor
    where: ByteRange
    parent: int
    record: Record | None


@dataclass(slots=True)
class ExtentMap:
    """All directories, by number; all uses of file data, by its first byte; and everything else that takes room.

    `continuations` are the areas of Rock Ridge outside of directories, `reserved` is what an edit has filled and no
    record names yet. `windows` are boot images and partitions, which
    may be files or hold some. `sets` are the ranges of the sets of volume descriptors, `data_end` is where the last
    directory or file ends. `disputed` are first bytes of file data of which records say different lengths, or that
    overlaps with that of another file.
    """

    directories: list[Directory] = field(default_factory=list)
    files: dict[int, list[Use]] = field(default_factory=dict)
    continuations: set[ByteRange] = field(default_factory=set)
    reserved: set[ByteRange] = field(default_factory=set)
    structures: tuple[tuple[str, ByteRange], ...] = ()
    windows: tuple[ByteRange, ...] = ()
    sets: tuple[ByteRange, ...] = ()
    data_end: int = 0
    disputed: set[int] = field(default_factory=set)

    def move(self, old_start: int, new: ByteRange) -> None:
        """Take note that data, with all its uses, has moved or changed in size."""
        uses = self.files.pop(old_start)
        if new.size:
            self.add(new, [use._replace(size=new.size) for use in uses])

    def add(self, new: ByteRange, uses: list[Use]) -> None:
        """Take note of data, with all its uses."""
        self.files[new.start] = uses
        self.data_end = max(self.data_end, new.stop)

    def is_whole(self, where: ByteRange) -> bool:
        """Whether a range, such as that of a partition, shows the volume: descriptors, directories and all files."""
        return where.stop >= self.data_end and any(where.contains(each) for each in self.sets)

    def claims(self) -> Iterator[ByteRange]:
        """Every range that is taken, files up to the end of their last sector; they may overlap."""
        yield from (where for _, where in self.structures)
        yield from self.windows
        yield from self.continuations
        yield from self.reserved
        yield from (directory.where for directory in self.directories)
        for start, uses in self.files.items():
            yield ByteRange(start, start + whole_sectors(max(use.size for use in uses)))

    def check_alone(self, where: ByteRange, path: str) -> None:
        """FormatError if anything but the records that agree on a file's data claims a part of it."""
        if where.start in self.disputed:
            raise _overlap(path, where, "another file")
        for directory in self.directories:
            if directory.where.overlaps(where):
                raise _overlap(path, where, "a directory")
        areas = (("a continuation area", area) for area in self.continuations)
        for name, other in (*self.structures, *areas):
            if other.overlaps(where):
                raise _overlap(path, where, name)

    def path(self, volume: IsoVolume, start: int) -> str:
        """A path by which the volume's names lead to the data at a position; "" where none does."""
        for use in self.files.get(start, ()):
            directory = self.directories[use.directory]
            if directory.descriptor.position == volume.namespace.descriptor.position:
                names = [_name(volume, _record_at(volume, directory, use.position))]
                while directory.record is not None:
                    names.append(_name(volume, directory.record))
                    directory = self.directories[directory.parent]
                return "/" + "/".join(reversed(names))
        return ""


def whole_sectors(size: int) -> int:
    """A size rounded up to sectors."""
    return -(-size // layout.SECTOR) * layout.SECTOR


def map_extents(volume: IsoVolume) -> ExtentMap:
    """Read all directories of all trees. FormatError for a directory that is reached twice, or overlaps another."""
    extents = ExtentMap()
    taken: dict[int, Descriptor] = {}
    places: list[tuple[int, int]] = []
    for descriptor in (descriptor for each in volume.sets for descriptor in each.descriptors):
        waiting = [Directory(descriptor, descriptor.root, _NO_PARENT, None)]
        while waiting:
            directory = waiting.pop()
            start = directory.where.start
            if start in taken and taken[start] is not descriptor:
                continue  # an enhanced descriptor, or an emulated session, may name the same directories
            if start in taken:
                raise _damage("directories run in a loop, or one has two names", start)
            taken[start] = descriptor
            _check_apart(places, directory.where)
            extents.directories.append(directory)
            waiting.extend(_read(volume, extents, directory))
    extents.disputed = _disputed(extents.files)
    ends_of_directories = (directory.where.stop for directory in extents.directories)
    ends_of_files = (start + max(use.size for use in uses) for start, uses in extents.files.items())
    extents.data_end = max(chain(ends_of_directories, ends_of_files))
    update_structures(volume, extents)
    return extents


def _disputed(files: dict[int, list[Use]]) -> set[int]:
    """First bytes of file data that not all records agree on."""
    disputed = set()
    reaching, end = -1, 0
    for start in sorted(files):
        sizes = {use.size for use in files[start]}
        if start < end:
            disputed |= {reaching, start}
        if len(sizes) > 1:
            disputed.add(start)
        if start + max(sizes) > end:
            reaching, end = start, start + max(sizes)
    return disputed


def _check_apart(places: list[tuple[int, int]], where: ByteRange) -> None:
    """Keep the directories read so far apart, so that no more is read than the image holds."""
    place = (where.start, where.stop)
    index = bisect_left(places, place)
    before = places[index - 1 : index] if index else []
    if any(stop > where.start for _, stop in before) or any(
        start < where.stop for start, _ in places[index : index + 1]
    ):
        raise _damage("directories overlap", where.start)
    places.insert(index, place)


def _read(volume: IsoVolume, extents: ExtentMap, directory: Directory) -> list[Directory]:
    """Take down the files of one directory; its directories."""
    number = len(extents.directories) - 1
    rock_ridge = volume.namespace.naming is Naming.ROCK_RIDGE
    has_continuations = rock_ridge and directory.descriptor.kind is not DescriptorKind.JOLIET
    found = []
    for record in records(volume.device, directory.descriptor, directory.where):
        if has_continuations and b"CE" in record.raw:
            extents.continuations.update(_continuations(volume, directory.descriptor, record))
        if record.is_self_or_parent:
            continue
        if record.is_directory:
            found.append(Directory(directory.descriptor, record.extent, number, record))
        elif record.size:
            use = Use(record.position, record.size, number)
            extents.files.setdefault(record.start, []).append(use)
    return found


def _continuations(volume: IsoVolume, descriptor: Descriptor, record: Record) -> Iterator[ByteRange]:
    skip = 0 if record.identifier == b"\0" else volume.namespace.skip
    for signature, payload in entries(volume.device, descriptor, record.system_use[skip:]):
        if signature == b"CE" and len(payload) >= layout.CONTINUATION.size:
            block, offset, length = layout.CONTINUATION.unpack_from(payload)
            start = descriptor.address(block)
            yield ByteRange(start, start + whole_sectors(offset + length))


def update_structures(volume: IsoVolume, extents: ExtentMap) -> None:
    """Take down anew what descriptors, boot catalogue and partition tables say."""
    extents.sets = tuple(each.where for each in volume.sets)
    extents.structures = tuple(_structures(volume))
    extents.windows = tuple(_windows(volume, extents))


def _structures(volume: IsoVolume) -> Iterator[tuple[str, ByteRange]]:
    yield "the system area", ByteRange(0, layout.FIRST_DESCRIPTOR)
    for each in volume.sets:
        yield "the volume descriptors", each.where
        for descriptor in each.descriptors:
            yield from (("a path table", table) for table in descriptor.path_tables)
    yield from volume.tables.ranges()


def _windows(volume: IsoVolume, extents: ExtentMap) -> Iterator[ByteRange]:
    for slot in volume.tables.slots:
        if not slot.is_filler and not extents.is_whole(slot.where):
            yield slot.where
    if volume.catalog is not None:
        yield volume.catalog.where
        yield from (image.least_extent for image in volume.catalog.images)


def _record_at(volume: IsoVolume, directory: Directory, position: int) -> Record:
    sector_end = position - position % layout.SECTOR + layout.SECTOR
    return next(
        records(volume.device, directory.descriptor, ByteRange(position, min(sector_end, directory.where.stop)))
    )


def _name(volume: IsoVolume, record: Record) -> str:
    node = make_node(volume.device, volume.namespace, (record,))
    return "" if node is None else node.name


def _overlap(path: str, where: ByteRange, other: str) -> FormatError:
    return _damage(f"the data of {path} overlaps with {other}", where.start)


def _damage(message: str, position: int) -> FormatError:
    return FormatError(
        message,
        structure="directory record",
        offset=position,
        field="extent",
        hint="The image is damaged, or crafted to mislead; download it again.",
    )
