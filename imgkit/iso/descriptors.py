"""Volume descriptors: which trees of names an image holds, and how large each says that the volume is.

An image may hold several sets of descriptors. Besides the one in sector 16, xorriso writes one into the partition of
`-partition_offset`, whose addresses count from the start of that partition, and one into sector 48, for the session
that begins in sector 32, where later sessions may follow ("emulated table of contents"). Those of one session describe
the same files, and have to stay in step.

ECMA-119, chapter 8; Joliet. UDF (ECMA-167) is recognised, not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, UnclassifiedImageError
from imgkit.iso import layout
from imgkit.iso.detection import STANDARD_IDENTIFIER, has_descriptor, is_iso
from imgkit.units import MIB, ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.storage.device import BlockDevice, BlockReader

_PRIMARY_HEAD = b"\1" + STANDARD_IDENTIFIER + b"\1"
_BOOT, _PRIMARY, _SUPPLEMENTARY, _TERMINATOR = 0, 1, 2, 255
_MOST = 64
_JOLIET = (b"%/@", b"%/C", b"%/E")
_UDF = (b"NSR02", b"NSR03")
_ENHANCED = 2
_EMULATED_SESSION = 32 * layout.SECTOR
_HINT = "The image is truncated or damaged; download it again."


class DescriptorKind(StrEnum):
    """What names a descriptor's tree has."""

    PRIMARY = "primary"
    JOLIET = "joliet"
    ENHANCED = "enhanced"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A volume descriptor that has a tree. All positions are bytes of the image.

    `base` is what its addresses count from. `space` is the range of the volume, or of its session; it may reach past
    the end of a truncated image. `root` that of the root directory, `path_tables` those of the tables that are there.
    """

    kind: DescriptorKind
    position: int
    base: int
    volume_id: str
    block_size: int
    space: ByteRange
    root: ByteRange
    path_tables: tuple[ByteRange, ...]

    def address(self, block: int) -> int:
        """Byte position of a logical block."""
        return self.base + block * self.block_size

    def block(self, position: int) -> int:
        """Number of the logical block at a byte position."""
        return (position - self.base) // self.block_size


@dataclass(frozen=True, slots=True)
class DescriptorSet:
    """The descriptors in a row, the primary one first, whose copies (8.4) may follow; `where` is their range."""

    descriptors: tuple[Descriptor, ...]
    boot_catalog: int | None
    where: ByteRange
    udf: bool


def read_descriptors(device: BlockReader, *, name: str) -> DescriptorSet:
    """The descriptors from sector 16 on. UnclassifiedImageError where there is no volume."""
    if not is_iso(device):
        raise UnclassifiedImageError(
            f"{name}: is not an ISO 9660 image: sector 16 holds no volume descriptor",
            hint="`imgkit inspect` tells what it is.",
        )
    return _read_set(device, layout.FIRST_DESCRIPTOR, 0)


def read_further_sets(device: BlockReader, partition_starts: set[int]) -> tuple[DescriptorSet, ...]:
    """The sets beside the first: in partitions that start at these bytes, and in sector 48.

    A set counts whose root directory says that it is where the descriptor says: what is left of an older volume in
    the padding of a newer one does not. FormatError for a set that is damaged.
    """
    found = []
    for base in (0, *sorted(partition_starts - {0})):
        position = base + layout.FIRST_DESCRIPTOR if base else _EMULATED_SESSION + layout.FIRST_DESCRIPTOR
        if has_descriptor(device, position) and device.read_at(position, 1)[0] == _PRIMARY:
            candidate = _read_set(device, position, base)
            if _is_at_home(device, candidate.descriptors[0]):
                found.append(candidate)
    return tuple(found)


def find_later_session(device: BlockReader, where: ByteRange) -> int | None:
    """Byte position of the primary descriptor of a session that begins in a range, as `genisoimage -C` appends it."""
    for start in range(where.start, where.stop, MIB):
        piece = device.read_at(start, min(MIB, where.stop - start))
        at = piece.find(_PRIMARY_HEAD)
        while at >= 0:
            position = start + at
            if position % layout.SECTOR == 0 and _begins_session(device, position):
                return position
            at = piece.find(_PRIMARY_HEAD, at + 1)
    return None


def _begins_session(device: BlockReader, position: int) -> bool:
    """Whether a primary descriptor is followed by what it describes; addresses count from the image's first byte."""
    if not has_descriptor(device, position):
        return False
    found = _descriptor(device.read_at(position, layout.SECTOR), position, 0, 0)
    return found.root.start > position and _is_at_home(device, found)


def set_end(device: BlockDevice, descriptor: Descriptor, end: int) -> None:
    """Have a descriptor say that its volume ends at a byte position."""
    blocks = min((end - descriptor.space.start) // descriptor.block_size, 0xFFFFFFFF)
    data = layout.SPACE_SIZE.build({"little": blocks, "big": blocks})
    device.write_at(descriptor.position + layout.SPACE_SIZE_OFFSET, data)


def _is_at_home(device: BlockReader, primary: Descriptor) -> bool:
    """Whether the record "." of the root directory holds the directory's own address."""
    if primary.root.stop > device.size:
        return False
    record = layout.DIRECTORY_RECORD.unpack(device.read_at(primary.root.start, layout.DIRECTORY_RECORD_SIZE))
    return primary.address(record[2]) == primary.root.start


def _read_set(device: BlockReader, first: int, base: int) -> DescriptorSet:
    descriptors: list[Descriptor] = []
    catalog: int | None = None
    end = first
    for position, sector in _sectors(device, first):
        end = position + layout.SECTOR
        if sector[0] == _TERMINATOR:
            break
        if sector[0] == _BOOT and catalog is None:
            record = layout.BOOT_RECORD_DESCRIPTOR.parse(sector)
            if record.boot_system_identifier.startswith(layout.EL_TORITO):
                catalog = base + record.catalog_block * layout.SECTOR
        elif sector[0] in (_PRIMARY, _SUPPLEMENTARY):
            descriptors.append(_descriptor(sector, position, base, first - layout.FIRST_DESCRIPTOR))
    descriptors.sort(key=lambda each: each.kind is not DescriptorKind.PRIMARY)
    if not descriptors or descriptors[0].kind is not DescriptorKind.PRIMARY:
        raise _damage("there is no primary volume descriptor", first, "type")
    return DescriptorSet(tuple(descriptors), catalog, ByteRange(first, end), udf=_has_udf(device, end))


def _sectors(device: BlockReader, first: int) -> Iterator[tuple[int, bytes]]:
    for position in range(first, first + _MOST * layout.SECTOR, layout.SECTOR):
        if not has_descriptor(device, position):
            return
        yield position, device.read_at(position, layout.SECTOR)


def _has_udf(device: BlockReader, position: int) -> bool:
    """Whether the volume recognition sequence, which follows the descriptors, announces UDF."""
    for place in range(position, min(position + 16 * layout.SECTOR, device.size - layout.SECTOR + 1), layout.SECTOR):
        identifier = device.read_at(place + 1, 5)
        if identifier in _UDF:
            return True
        if identifier not in (b"BEA01", b"BOOT2", b"TEA01"):
            return False
    return False


def _descriptor(sector: bytes, position: int, base: int, origin: int) -> Descriptor:
    parsed = layout.VOLUME_DESCRIPTOR.parse(sector)
    block_size = parsed.logical_block_size
    if block_size not in (512, 1024, 2048):
        raise _damage(f"logical blocks of {block_size:,} bytes", position, "logical_block_size")
    kind = _kind(parsed.type, parsed.version, parsed.escape_sequences)
    encoding = "utf-16-be" if kind is DescriptorKind.JOLIET else "utf-8"
    root = layout.DIRECTORY_RECORD.unpack_from(parsed.root_directory_record)
    tables = (parsed.l_path_table, parsed.optional_l_path_table, parsed.m_path_table, parsed.optional_m_path_table)

    def where(block: int, size: int) -> ByteRange:
        start = base + block * block_size
        return ByteRange(start, start + size)

    return Descriptor(
        kind,
        position,
        base,
        parsed.volume_identifier.decode(encoding, "replace").rstrip(" \0"),
        block_size,
        ByteRange(origin, origin + parsed.space_size * block_size),
        where(root[2] + root[1], root[3]),
        tuple(where(table, parsed.path_table_size) for table in tables if table),
    )


def _kind(descriptor_type: int, version: int, escape_sequences: bytes) -> DescriptorKind:
    if descriptor_type == _PRIMARY:
        return DescriptorKind.PRIMARY
    return (
        DescriptorKind.JOLIET if version != _ENHANCED and escape_sequences[:3] in _JOLIET else DescriptorKind.ENHANCED
    )


def _damage(message: str, position: int, field: str) -> FormatError:
    return FormatError(message, structure="volume descriptor", offset=position, field=field, hint=_HINT)
