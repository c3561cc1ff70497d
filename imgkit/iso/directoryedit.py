"""New files, directories and links in a volume, and their removal: the records of directories, in all trees alike.

A directory that outgrows its sectors moves to where there is room, and all that names it follows: the record in its
parent, its own ".", the ".." of its children, the descriptor of a root, the path tables. What a small file held is
cleared when it goes, so that it is room again; what a large one held stays, as unused bytes.

ECMA-119, chapter 10.
"""

from __future__ import annotations

import stat as unix
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, UnsupportedError
from imgkit.iso import layout, relocation
from imgkit.iso.directory import Naming, Record, find_record, own_record, records
from imgkit.iso.extentmap import whole_sectors
from imgkit.iso.linkcount import own_links, recount
from imgkit.iso.names import identifier, sort_key
from imgkit.iso.newrecord import Posix, continuation, pack, split, system_use
from imgkit.iso.pathtable import rewrite_path_tables
from imgkit.iso.placement import find_room, release
from imgkit.iso.rockridge import entries
from imgkit.iso.writer import check_editable, namespace_of, rewritten
from imgkit.units import ByteRange

if TYPE_CHECKING:
    from imgkit.iso.directory import Namespace, Node
    from imgkit.iso.extentmap import Directory
    from imgkit.iso.volume import IsoVolume

_REBUILD = "Rebuild the image with xorriso."
_LARGEST = 0xFFFFFFFF
_DEEPEST = 8  # ECMA-119, 6.8.2.1: levels of directories, the root's included
_FILE, _PROGRAM, _DIRECTORY, _LINK = 0o100444, 0o100555, 0o040555, 0o120777  # as mkisofs -r has them
_PROGRAM_MAGIC = (b"#!", b"\x7fELF")
_ROOT_RECORD_OFFSET = 156
_LINKS_OF_A_NEW_DIRECTORY = 2


@dataclass(frozen=True, slots=True)
class _Branch:
    """A directory of one tree, in which a record is to come or go."""

    namespace: Namespace
    directory: Directory


def add_file(volume: IsoVolume, path: str, data: bytes, *, now: int) -> None:
    """Make a file; one that begins as a program does is executable. UnsupportedError where a tree cannot hold it."""
    check_editable(volume)
    if len(data) > _LARGEST:
        raise UnsupportedError(f"{volume.name}: {path} would need more than one extent", hint=_REBUILD)
    where = ByteRange(0, 0)
    if data:
        start = find_room(volume, len(data))
        volume.device.write_at(start, data)
        where = ByteRange(start, start + len(data))
        volume.extents.reserved.add(ByteRange(start, start + whole_sectors(len(data))))
    mode = _PROGRAM if data.startswith(_PROGRAM_MAGIC) else _FILE
    _insert(volume, path, where, mode, now)


def add_link(volume: IsoVolume, path: str, target: str, *, now: int) -> None:
    """Make a symbolic link, which only Rock Ridge knows; other trees show an empty file, or nothing."""
    check_editable(volume)
    if volume.namespace.naming is not Naming.ROCK_RIDGE:
        raise UnsupportedError(f"{volume.name}: has no Rock Ridge, and thus no links", hint="Add the file itself.")
    _insert(volume, path, ByteRange(0, 0), _LINK, now, target.encode("utf-8", "surrogateescape"))


def add_directory(volume: IsoVolume, path: str, *, now: int) -> None:
    """Make one directory in each tree."""
    check_editable(volume)
    _check_depth(volume, path)
    _insert(volume, path, ByteRange(0, 0), _DIRECTORY, now)
    rewrite_path_tables(volume)
    _recount(volume, path, 1)


def remove(volume: IsoVolume, path: str, node: Node) -> None:
    """Remove a file, a link, or an empty directory. UnsupportedError for what is needed to boot."""
    check_editable(volume)
    start = node.extents[0].start
    if volume.catalog is not None and node.stat.size:
        in_use = {volume.catalog.where.start, *(image.start for image in volume.catalog.images)}
        if start in in_use:
            raise UnsupportedError(f"{volume.name}: {path} is needed to boot from the image", hint=_REBUILD)
    is_directory = node.records[0].is_directory
    if is_directory:
        _check_removable(volume, path, node)
    parent, _, name = path.rpartition("/")
    data: set[ByteRange] = set()
    for position in _trees(volume):
        branch = _branch(volume, position, parent)
        known = _records_of(volume, branch, name)
        if not known:
            hidden = f"{volume.name}: {path} has another name in the {branch.namespace.descriptor.kind} tree, or none"
            raise UnsupportedError(hidden, hint=_REBUILD)
        data |= {record.extent for record in known if record.size}
        gone = {record.position for record in known}
        kept = [record.raw for record in _records(volume, branch) if record.position not in gone]
        _store(volume, branch, kept)
    if is_directory:
        rewrite_path_tables(volume)
        _recount(volume, path, -1)
    for extent in data:
        release(volume, extent)


def _recount(volume: IsoVolume, path: str, change: int) -> None:
    """Have the parent of a directory that has come or gone say how many links it has."""
    for position in _trees(volume):
        branch = _branch(volume, position, path.rpartition("/")[0])
        recount(volume, branch.namespace, branch.directory, change)
    volume.forget_files()


def _check_depth(volume: IsoVolume, path: str) -> None:
    """Refuse a directory that would lie too deep; mkisofs and xorriso let it in Joliet, and ISO 9660:1999 lets it."""
    for position in _trees(volume):
        branch = _branch(volume, position, path.rpartition("/")[0])
        depth, directory = 2, branch.directory
        while directory.record is not None:
            depth, directory = depth + 1, volume.extents.directories[directory.parent]
        if depth > _DEEPEST and branch.namespace.naming in (Naming.ROCK_RIDGE, Naming.PLAIN):
            raise UnsupportedError(f"{volume.name}: {path} is more than {_DEEPEST} levels deep", hint=_REBUILD)


def _check_removable(volume: IsoVolume, path: str, node: Node) -> None:
    """Refuse directories that are seen elsewhere than they lie, and those where such directories lie."""
    where = node.extents[0]
    seen_elsewhere = node.records[0].is_self_or_parent
    inside = records(volume.device, volume.namespace.descriptor, where)
    if seen_elsewhere or any(not record.is_self_or_parent for record in inside):
        raise UnsupportedError(
            f"{volume.name}: {path} is, or holds, a deep directory that lies elsewhere", hint=_REBUILD
        )


def _trees(volume: IsoVolume) -> list[int]:
    """Positions of one descriptor of each tree."""
    found: dict[int, int] = {}
    for each in volume.sets:
        for descriptor in each.descriptors:
            found.setdefault(descriptor.root.start, descriptor.position)
    return list(found.values())


def _branch(volume: IsoVolume, position: int, path: str) -> _Branch:
    """The directory of a path, in the tree of the descriptor at a position."""
    descriptor = next(each for one in volume.sets for each in one.descriptors if each.position == position)
    own = descriptor.root == volume.namespace.descriptor.root
    namespace = volume.namespace if own else namespace_of(volume, descriptor)
    start = descriptor.root.start
    if path:
        record = find_record(volume.device, namespace, path)
        if record is None or not record.is_directory:
            raise UnsupportedError(
                f"{volume.name}: {path} has another name in the {descriptor.kind} tree, or none", hint=_REBUILD
            )
        start = record.start
    directory = next((each for each in volume.extents.directories if each.where.start == start), None)
    if directory is None:
        raise _damage(f"{path} is a directory that no directory holds", start)
    return _Branch(namespace, directory)


def _records(volume: IsoVolume, branch: _Branch) -> list[Record]:
    where = branch.directory.where
    return _whole(list(records(volume.device, branch.namespace.descriptor, where)), where.start)


def _records_of(volume: IsoVolume, branch: _Branch, name: str) -> list[Record]:
    """All sections of the file of a name; none where there is no such file."""
    found = find_record(volume.device, branch.namespace, name, branch.directory.where)
    if found is None:
        return []
    return [record for record in _records(volume, branch) if record.identifier == found.identifier]


def _insert(volume: IsoVolume, path: str, where: ByteRange, mode: int, now: int, target: bytes = b"") -> None:
    """Put a record into each tree, for data that is in its place already."""
    parent, _, name = path.rpartition("/")
    for position in _trees(volume):
        branch = _branch(volume, position, parent)
        extent = where
        if unix.S_ISDIR(mode):
            start = find_room(volume, layout.SECTOR)
            extent = ByteRange(start, start + layout.SECTOR)
            _write_empty_directory(volume, branch, extent, now)
        _insert_record(volume, branch, name, extent, mode, now, target)


def _insert_record(
    volume: IsoVolume, branch: _Branch, name: str, where: ByteRange, mode: int, now: int, target: bytes
) -> None:
    present = _records(volume, branch)
    directory = unix.S_ISDIR(mode)
    shown = branch.namespace.naming
    others = [record for record in present if not record.is_self_or_parent]
    semicolon = b"\0;" if shown is Naming.JOLIET else b";"
    versioned = all(semicolon in record.identifier for record in others if not record.is_directory)
    # Beside Joliet, and with Rock Ridge, nobody reads the plain identifier.
    free = shown is Naming.PLAIN and volume.namespace.naming is not Naming.PLAIN
    naming = Naming.ROCK_RIDGE if free else shown
    taken = {record.identifier for record in others}
    ident = identifier(name, naming, taken, directory=directory, versioned=versioned)
    if ident in taken:
        raise UnsupportedError(
            f"{volume.name}: {name} would have the same name as another file in the {shown} tree",
            hint="Give it another name.",
        )
    use = b""
    if shown is Naming.ROCK_RIDGE:
        posix = _posix(volume, branch, name.encode("utf-8", "surrogateescape"), mode, target)
        use = _use(volume, branch, ident, system_use(posix, now), posix.skip)
    flags = layout.FLAG_DIRECTORY if directory else 0
    block = branch.namespace.descriptor.block(where.start) if where.size else 0
    new = pack(ident, block, where.size, flags, now, use)
    key = sort_key(ident, shown)
    later = (at for at, each in enumerate(present) if at > 1 and sort_key(each.identifier, shown) > key)
    place = next(later, len(present))
    raws = [record.raw for record in present]
    _store(volume, branch, [*raws[:place], new, *raws[place:]])


def _posix(volume: IsoVolume, branch: _Branch, name: bytes, mode: int, target: bytes = b"") -> Posix:
    """What Rock Ridge is to say of a new file in a directory, in the volume's own way."""
    descriptor, skip = branch.namespace.descriptor, branch.namespace.skip
    own = own_record(volume.device, descriptor, branch.directory.where)
    at_root = branch.directory.where.start == descriptor.root.start
    found = entries(volume.device, descriptor, own.system_use[0 if at_root else skip :])
    size = next((len(payload) + 4 for signature, payload in found if signature == b"PX"), 36)
    links = own_links(volume, branch.namespace, branch.directory) if unix.S_ISDIR(mode) else 1
    return Posix(name, mode, target, size, skip, min(max(links, 1), _LINKS_OF_A_NEW_DIRECTORY))


def _use(volume: IsoVolume, branch: _Branch, ident: bytes, wanted: list[bytes], skip: int) -> bytes:
    """The system use field, with a continuation area where it has to have one."""
    inside, outside = split(ident, skip, wanted)
    if outside:
        area = b"".join(outside)
        start = find_room(volume, len(area))
        volume.device.write_at(start, area)
        inside.append(continuation(branch.namespace.descriptor.block(start), len(area)))
    return bytes(skip) + b"".join(inside)


def _write_empty_directory(volume: IsoVolume, parent: _Branch, where: ByteRange, now: int) -> None:
    """A directory of "." and "..", whose attributes are those of a new directory."""
    descriptor = parent.namespace.descriptor
    use = b""
    if parent.namespace.naming is Naming.ROCK_RIDGE:
        posix = _posix(volume, parent, b"", _DIRECTORY)
        use = bytes(posix.skip) + b"".join(system_use(posix, now))
    above = parent.directory.where
    data = b"".join(
        pack(name, descriptor.block(extent.start), extent.size, layout.FLAG_DIRECTORY, now, use)
        for name, extent in ((b"\0", where), (b"\1", above))
    )
    volume.device.write_at(where.start, data.ljust(layout.SECTOR, b"\0"))


def _store(volume: IsoVolume, branch: _Branch, raws: list[bytes]) -> None:
    """Write a directory; where it does not fit any more, move it."""
    old = branch.directory.where
    data = _in_sectors(raws)
    if len(data) <= whole_sectors(old.size):
        new = ByteRange(old.start, old.start + max(old.size, len(data)))
    else:
        start = find_room(volume, len(data))
        new = ByteRange(start, start + len(data))
        volume.device.write_at(old.start, bytes(whole_sectors(old.size)))
    volume.device.write_at(new.start, data.ljust(new.size, b"\0"))
    if new != old:
        _follow(volume, branch, new)
    volume.hfs_plus_differs |= bool(volume.hfs_plus)
    vars(volume).pop("extents", None)
    volume.refresh()
    if new != old:
        rewrite_path_tables(volume)


def _in_sectors(raws: list[bytes]) -> bytes:
    """Records in a row, none of which crosses from one sector into the next."""
    sectors = [b""]
    for raw in raws:
        if len(sectors[-1]) + len(raw) > layout.SECTOR:
            sectors.append(b"")
        sectors[-1] += raw
    return b"".join(sector.ljust(layout.SECTOR, b"\0") for sector in sectors)


def _follow(volume: IsoVolume, branch: _Branch, new: ByteRange) -> None:
    """Have all that names a directory say where it is now, but for the path tables."""
    descriptor, old = branch.namespace.descriptor, branch.directory
    block = descriptor.block(new.start)

    def change(position: int) -> None:
        raw = volume.device.read_at(position, volume.device.read_at(position, 1)[0])
        volume.device.write_at(position, rewritten(raw, position, block, new.size))

    relocation.follow(volume, branch.namespace, old.where, new)
    own, parent, *others = _whole(list(records(volume.device, descriptor, new)), new.start)
    change(own.position)
    if old.record is None:
        change(parent.position)
        for each in (each for one in volume.sets for each in one.descriptors if each.root == old.where):
            change(each.position + _ROOT_RECORD_OFFSET)
    else:
        change(old.record.position)
    for child in (record for record in others if record.is_directory):
        change(_parent_record(volume, branch.namespace, child).position)


def _parent_record(volume: IsoVolume, namespace: Namespace, child: Record) -> Record:
    """The record ".." of a directory."""
    return _whole(list(islice(records(volume.device, namespace.descriptor, child.extent), 2)), child.start)[1]


def _whole(found: list[Record], position: int) -> list[Record]:
    """The records of a directory, if it begins as it must. FormatError else."""
    # Fedora CoreOS for s390x has images whose ".." is named as "." is.
    if sum(record.is_self_or_parent for record in found[:2]) < 2:  # noqa: PLR2004
        raise _damage('a directory does not begin with "." and ".."', position)
    return found


def _damage(message: str, position: int) -> FormatError:
    return FormatError(
        message,
        structure="directory record",
        offset=position,
        field="identifier",
        hint="The image is damaged; download it again.",
    )
