"""The label of a physical volume, and the texts in its metadata areas.

    sector 0..3   label, header: UUID, where the data lies, where the metadata areas lie
    area          |header|--- text, old texts in front of and behind it, in a ring ---|

Specification: see `layout`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, UnsupportedError
from imgkit.units import ByteRange
from imgkit.volumes.lvm2 import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.storage.device import BlockReader

HINT = "The image is damaged. If it has a copy of the metadata, `vgcfgrestore` brings it back."
_UUID_GROUPS = (6, 4, 4, 4, 4, 4, 6)
_MOST_TEXT = 4 << 20
"""Bytes of one text: a group of ten thousand volumes. LVM reserves 1 MiB."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a physical volume says of itself: its UUID with hyphens, and where its metadata areas lie."""

    uuid: str
    areas: tuple[ByteRange, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """The text of one metadata area, checksum verified; `offset` is where it begins on the physical volume."""

    raw: bytes
    offset: int


def crc(data: bytes) -> int:
    """LVM's checksum."""
    return zlib.crc32(data, layout.CRC_SEED ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def read_label(device: BlockReader) -> Label:
    """The label of a physical volume. FormatError where there is none that is whole."""
    for number in range(layout.LABEL_SECTORS):
        offset = number * layout.SECTOR
        if offset + layout.SECTOR > device.size:
            break
        sector = device.read_at(offset, layout.SECTOR)
        if sector.startswith(layout.LABEL_ID):
            return _parse(sector, number, device.size)
    raise damage("no LVM2 label in the first four sectors", 0, "id")


def read_text(device: BlockReader, area: ByteRange) -> Text | None:
    """The committed text of a metadata area; None for an area that has none or is not to be used.

    FormatError for a damaged header or text.
    """
    header = device.read_at(area.start, layout.METADATA_HEADER_SIZE)
    fields = layout.METADATA_HEADER.parse(header)
    for holds, what, field in (
        (crc(header[4:]) == fields.checksum, "its checksum does not match", "mda_header.checksum_xl"),
        (fields.magic == layout.METADATA_MAGIC, "it has no magic number", "mda_header.magic"),
        (fields.version == layout.METADATA_VERSION, f"its version is {fields.version}", "mda_header.version"),
        (fields.start == area.start, "it belongs to another place", "mda_header.start"),
        (fields.size == area.size, "its size is not that of the label", "mda_header.size"),
    ):
        if not holds:
            raise damage(f"the header of a metadata area is damaged: {what}", area.start, field)
    location = fields.locations[0]
    if not location.offset or location.flags & layout.LOCATION_IGNORED:
        return None
    room = area.size - layout.METADATA_HEADER_SIZE
    if not layout.METADATA_HEADER_SIZE <= location.offset < area.size or not 0 < location.size <= room:
        raise damage("the metadata lies outside its area", area.start, "raw_locn.offset")
    if location.size > _MOST_TEXT:
        raise UnsupportedError(f"LVM2 metadata of {location.size:,} bytes is too large here", hint=None)
    first = min(location.size, area.size - location.offset)
    raw = device.read_at(area.start + location.offset, first)
    if first < location.size:  # the ring goes on behind the header
        raw += device.read_at(area.start + layout.METADATA_HEADER_SIZE, location.size - first)
    if crc(raw) != location.checksum:
        raise damage("the checksum of the metadata does not match", area.start + location.offset, "raw_locn.checksum")
    return Text(raw, area.start + location.offset)


def damage(message: str, offset: int, field: str) -> FormatError:
    """FormatError about the label or the metadata of a physical volume."""
    return FormatError(message, structure="LVM2 physical volume", offset=offset, field=field, hint=HINT)


def _parse(sector: bytes, number: int, size: int) -> Label:
    at = number * layout.SECTOR
    fields = layout.LABEL.parse(sector)
    for holds, what, field in (
        (crc(sector[layout.LABEL_CRC_START :]) == fields.crc, "its checksum does not match", "label_header.crc_xl"),
        (fields.sector == number, "it belongs to another sector", "label_header.sector_xl"),
        (fields.type == layout.LABEL_TYPE, f"its type is {fields.type!r}", "label_header.type"),
        (
            layout.LABEL.sizeof() <= fields.offset <= layout.SECTOR - layout.PV_HEADER.sizeof(),
            "its header lies outside the sector",
            "label_header.offset_xl",
        ),
    ):
        if not holds:
            raise damage(f"the LVM2 label is damaged: {what}", at, field)
    header = layout.PV_HEADER.parse(sector[fields.offset :])
    lists = fields.offset + layout.PV_HEADER.sizeof()
    data = list(_locations(sector, lists, at))
    metadata = list(_locations(sector, lists + (len(data) + 1) * layout.LOCATION.size, at))
    areas = []
    for offset, length in metadata:
        if length <= layout.METADATA_HEADER_SIZE or offset + length > size:
            message = f"a metadata area of {length:,} bytes leaves the {size:,} bytes that there are"
            raise damage(message, at, "pv_header.disk_areas_xl")
        areas.append(ByteRange(offset, offset + length))
    return Label(_uuid(header.uuid, at), tuple(areas))


def _locations(sector: bytes, start: int, at: int) -> Iterator[tuple[int, int]]:
    """Offsets and sizes of a list that zeros end."""
    for position in range(start, layout.SECTOR - layout.LOCATION.size + 1, layout.LOCATION.size):
        offset, length = layout.LOCATION.unpack_from(sector, position)
        if not offset:
            return
        yield offset, length
    raise damage("a list of areas has no end", at, "pv_header.disk_areas_xl")


def _uuid(raw: bytes, at: int) -> str:
    text = raw.decode("ascii", "replace")
    if not text.isalnum():
        raise damage("the physical volume has no valid UUID", at, "pv_header.pv_uuid")
    parts = []
    for length in _UUID_GROUPS:
        parts.append(text[:length])
        text = text[length:]
    return "-".join(parts)
