"""Directories: their records, and what the records of one file come to.

Each namespace has its own way to name a file: Rock Ridge in the system use field, Joliet in UCS-2, and plain
ISO 9660 in upper case with a version number. A file larger than 4 GiB has several records in a row.

ECMA-119, chapter 9.
"""

from __future__ import annotations

import re
import stat as unix
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from imgkit.errors import FormatError
from imgkit.iso import layout
from imgkit.iso.rockridge import Attributes, Continued, attributes, short_time
from imgkit.tree import FileType, Stat
from imgkit.units import MIB, ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgkit.iso.descriptors import Descriptor
    from imgkit.storage.device import BlockReader

_LARGEST = 64 * MIB
_VERSION = re.compile(r";\d*$")
_FILE_MODE, _DIRECTORY_MODE = 0o444, 0o555
_HINT = "The image is damaged; download it again."


class Naming(StrEnum):
    """Where names come from. One is taken for an image, in the order in which Linux prefers them."""

    ROCK_RIDGE = "Rock Ridge"
    JOLIET = "Joliet"
    ENHANCED = "ISO 9660:1999"
    """Names as they are, in a tree beside the others, which nobody prefers."""
    PLAIN = "ISO 9660"


class Record(NamedTuple):
    """One directory record: where it lies, its bytes, and the range of its data, all in bytes of the image."""

    position: int
    raw: bytes
    start: int
    size: int
    flags: int
    interleaved: bool
    identifier: bytes

    @property
    def system_use(self) -> bytes:
        """The bytes behind the identifier and its padding."""
        end = layout.DIRECTORY_RECORD_SIZE + len(self.identifier)
        return self.raw[end + end % 2 :]

    @property
    def is_directory(self) -> bool:
        """Whether the data are records."""
        return bool(self.flags & layout.FLAG_DIRECTORY)

    @property
    def is_self_or_parent(self) -> bool:
        """Whether this is "." or ".."."""
        return self.identifier in (b"\0", b"\1")

    @property
    def extent(self) -> ByteRange:
        """Range of the data, without what is unused in its last sector."""
        return ByteRange(self.start, self.start + self.size)


@dataclass(frozen=True, slots=True)
class Node:
    """A file of any type: its name, metadata, and where its data lies.

    `extents` are those of the sections of a file, or that of a directory; `records` the records of the sections.
    `target` is that of a link. `refusal` says why the data cannot be served, or "".
    """

    name: str
    stat: Stat
    extents: tuple[ByteRange, ...]
    records: tuple[Record, ...]
    target: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A descriptor's tree with its way of naming; `skip` are the bytes in front of system use entries (SUSP 5.3)."""

    descriptor: Descriptor
    naming: Naming
    skip: int = 0
    continued: Continued = field(default_factory=Continued, compare=False, repr=False)

    def attributes(self, device: BlockReader, record: Record) -> Attributes:
        """What Rock Ridge says of the file of a record."""
        use = record.system_use[self.skip :]
        if b"CE" in use:
            return self.continued.attributes(device, self.descriptor, record.position, use)
        return attributes(device, self.descriptor, use)

    def candidates(self, records: Iterable[Record], name: str) -> Iterator[Record]:
        """The records that may be of that name: all but those that a look at their bytes rules out."""
        if self.naming is Naming.JOLIET:
            wanted = name.encode("utf-16-be", "replace")
        else:
            shown = name if self.naming is Naming.ENHANCED else plain_name(name)
            wanted = shown.encode("utf-8", "surrogateescape")
        upper = wanted.upper()
        continues = False
        for record in records:
            continued, continues = continues, bool(record.flags & layout.FLAG_MULTI_EXTENT)
            # A name of Rock Ridge may lie in a continuation area.
            if upper in record.raw.upper() or b"CE" in record.raw or continued or continues:
                yield record

    def matches(self, node: Node, name: str) -> bool:
        """Whether a node has that name: without Rock Ridge and Joliet, case does not matter, nor a version number."""
        return self.key(node.name) == self.key(name)

    def key(self, name: str) -> str:
        """What is the same of all spellings that lead to one file."""
        return name if self.naming is not Naming.PLAIN else plain_name(name).upper()


def records(device: BlockReader, descriptor: Descriptor, where: ByteRange) -> Iterator[Record]:
    """The records of a directory, "." and ".." included. FormatError for one that is damaged."""
    if where.size > _LARGEST or where.stop > device.size:
        what = "leaves the image" if where.stop > device.size else "is larger than any directory"
        raise _damage(f"a directory of {where.size:,} bytes {what}", where.start, "data length")
    base, block_size, unpack = descriptor.base, descriptor.block_size, layout.DIRECTORY_RECORD.unpack_from
    for sector_start in range(where.start, where.stop, layout.SECTOR):
        sector = device.read_at(sector_start, min(layout.SECTOR, where.stop - sector_start))
        offset, end = 0, len(sector)
        while offset < end and (length := sector[offset]):
            if offset + length > end or length <= layout.DIRECTORY_RECORD_SIZE:
                message = f"a directory record of {length} bytes where {end - offset:,} are left of the sector"
                raise _damage(message, sector_start + offset, "length")
            _, attribute_blocks, extent, size, _, flags, unit, gap, name_size = unpack(sector, offset)
            name_end = offset + layout.DIRECTORY_RECORD_SIZE + name_size
            if not name_size or name_end > offset + length:
                raise _damage("a file identifier does not fit its record", sector_start + offset, "identifier")
            yield Record(
                sector_start + offset,
                sector[offset : offset + length],
                base + (extent + attribute_blocks) * block_size,
                size,
                flags,
                bool(unit or gap),
                sector[offset + layout.DIRECTORY_RECORD_SIZE : name_end],
            )
            offset += length


def nodes(device: BlockReader, namespace: Namespace, found: Iterable[Record]) -> Iterator[Node]:
    """The files that records in a row make up; records of "." and "..", and of associated files, are passed over."""
    sections: list[Record] = []
    for record in found:
        if record.is_self_or_parent or record.flags & layout.FLAG_ASSOCIATED:
            continue
        if sections and record.identifier != sections[0].identifier:
            raise _damage("the sections of a file do not follow each other", sections[0].position, "flags")
        sections.append(record)
        if not record.flags & layout.FLAG_MULTI_EXTENT:
            node = make_node(device, namespace, tuple(sections))
            if node is not None:
                yield node
            sections = []
    if sections:
        raise _damage("the last section of a file is missing", sections[0].position, "flags")


def find_record(device: BlockReader, namespace: Namespace, path: str, start: ByteRange | None = None) -> Record | None:
    """The record of a file in one tree of an image, by a path without links; None where there is none.

    The path begins at the root, or in the directory at `start`.
    """
    where, found = start or namespace.descriptor.root, None
    for name in filter(None, path.split("/")):
        likely = namespace.candidates(records(device, namespace.descriptor, where), name)
        found = next((node for node in nodes(device, namespace, likely) if namespace.matches(node, name)), None)
        if found is None:
            return None
        where = found.extents[0]
    return found.records[0] if found is not None else None


def make_node(device: BlockReader, namespace: Namespace, sections: tuple[Record, ...]) -> Node | None:
    """The file of some records; None for a directory that is seen elsewhere, to where it was relocated from."""
    first = sections[0]
    if namespace.naming is not Naming.ROCK_RIDGE:
        name = _joliet_name(first) if namespace.naming is Naming.JOLIET else _text(first.identifier)
        name = plain_name(name) if namespace.naming is Naming.PLAIN else name
        return _node(_checked(name, first), Attributes(), sections)
    told = namespace.attributes(device, first)
    if told.relocated:
        return None
    name = plain_name(_text(first.identifier)) if told.name is None else _text(told.name)
    if told.child is None:
        return _node(_checked(name, first), told, sections)
    # One that would lie too deep was moved, and this is where it is seen (RRIP 1.12, 4.1.5).
    return directory_at(device, namespace, namespace.descriptor.address(told.child), _checked(name, first))


def directory_at(device: BlockReader, namespace: Namespace, start: int, name: str) -> Node:
    """The directory that lies at a position, as its own record "." describes it. FormatError where there is none."""
    own = own_record(device, namespace.descriptor, ByteRange(start, start + layout.SECTOR))
    told = Attributes()
    if namespace.naming is Naming.ROCK_RIDGE:
        told = namespace.attributes(device, own)
    return _node(name, told, (own,))


def own_record(device: BlockReader, descriptor: Descriptor, where: ByteRange) -> Record:
    """The record "." of the directory at a place. FormatError where there is none."""
    first = next(records(device, descriptor, ByteRange(where.start, min(where.stop, where.start + 2048))), None)
    if first is None or first.identifier != b"\0" or first.start != where.start:
        raise _damage("there is no directory", where.start, "identifier")
    return first


def _node(name: str, told: Attributes, sections: tuple[Record, ...]) -> Node:
    first = sections[0]
    mtime = told.mtime if told.mtime is not None else short_time(first.raw[18:25])
    mode = told.mode
    if mode is None:
        mode = unix.S_IFDIR | _DIRECTORY_MODE if first.is_directory else unix.S_IFREG | _FILE_MODE
    kind = FileType.DIRECTORY if first.is_directory else _file_type(mode)
    target = _text(told.target or b"") if kind is FileType.LINK else ""
    size = sum(section.size for section in sections) if kind is not FileType.LINK else len(told.target or b"")
    refusal = ""
    if told.recoded_from is not None:
        size = told.recoded_from
        refusal = "is stored compressed or sparse (zisofs)"
    elif any(section.interleaved for section in sections):
        refusal = "is stored interleaved"
    return Node(
        name,
        Stat(kind, unix.S_IMODE(mode), told.uid, told.gid, size, mtime),
        tuple(section.extent for section in sections),
        sections,
        target,
        refusal,
    )


def _file_type(mode: int) -> FileType:
    match unix.S_IFMT(mode):
        case unix.S_IFREG:
            return FileType.FILE
        case unix.S_IFLNK:
            return FileType.LINK
        case unix.S_IFBLK | unix.S_IFCHR:
            return FileType.DEVICE
    return FileType.OTHER


def plain_name(identifier: str) -> str:
    """The name without version number and without a dot that separates nothing, as Linux shows it ("README.;1")."""
    return _VERSION.sub("", identifier).removesuffix(".") or identifier


def _joliet_name(record: Record) -> str:
    return _VERSION.sub("", record.identifier.decode("utf-16-be", "replace"))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _checked(name: str, record: Record) -> str:
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise _damage(f"the name {name!r} is impossible", record.position, "identifier")
    return name


def _damage(message: str, position: int, field: str) -> FormatError:
    return FormatError(message, structure="directory record", offset=position, field=field, hint=_HINT)
