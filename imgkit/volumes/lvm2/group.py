"""A volume group as its metadata describes it: physical volumes, logical volumes, and where each segment lies.

Everything is checked that a block device is built from: segments follow each other without gaps, lie inside their
physical volumes, and no two of them share an extent. LVM counts in sectors and extents; here all sizes are in bytes.

Specification: lib/format_text/import_vsn1.c of https://sourceware.org/git/lvm2.git , lvm2 man pages lvmraid(7),
lvmthin(7), lvmcache(7) for what other segments are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from imgkit.errors import UnsupportedError
from imgkit.units import ByteRange
from imgkit.volumes.lvm2 import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.volumes.lvm2.config import Section

_MOST_VOLUMES = 4096
_MOST_EXTENT = 1 << 31
_MOST_EXTENTS = 1 << 32
_NAME = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]*")
_LINEAR = ("striped", "linear")
_ORIGIN, _SNAPSHOT = "has a snapshot", "is a snapshot"
_CALLED = {
    "thin": "is a thin volume",
    "thin-pool": "is a thin pool",
    "mirror": "is a mirror",
    "cache": "is cached",
    "cache-pool": "is a cache pool",
    "writecache": "has a write cache",
    "vdo": "is a VDO volume",
    "vdo-pool": "is a VDO pool",
    "integrity": "has integrity checksums",
    "error": "has an error segment",
    "zero": "has a segment of zeros",
}


@dataclass(frozen=True, slots=True)
class Stripe:
    """A range of bytes of a physical volume (by its name in the metadata)."""

    volume: str
    where: ByteRange


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a logical volume: one stripe, or several of which each gives `chunk` bytes in turn."""

    stripes: tuple[Stripe, ...]
    chunk: int


@dataclass(frozen=True, slots=True)
class PhysicalVolume:
    """One physical volume; `data` is the range of its extents. `missing` says that LVM did without it once."""

    uuid: str
    data: ByteRange
    missing: bool


@dataclass(frozen=True, slots=True)
class Volume:
    """One logical volume. `refusal` says why it is not served here ("is a thin volume"), or is ""."""

    name: str
    uuid: str
    size: int
    segments: tuple[Segment, ...]
    visible: bool
    writable: bool
    refusal: str


@dataclass(frozen=True, slots=True)
class Group:
    """One volume group. `refusal` says why nothing of it is served here, or is "".

    Two copies of one state are equal, whenever and by whomever they were written.
    """

    name: str
    uuid: str
    sequence: int
    physical: dict[str, PhysicalVolume]
    volumes: tuple[Volume, ...]
    refusal: str


def parse_group(top: Section) -> Group:
    """The group that a text describes. FormatError where it contradicts itself."""
    if len(top.sections) != 1:
        raise top.damage(f"{len(top.sections)} volume groups in the place of one", "contents")
    ((name, section),) = top.sections.items()
    _check_name(section, name)
    extent_size = section.number("extent_size", least=1, most=_MOST_EXTENT) * layout.SECTOR
    physical = {key: _physical(each, extent_size) for key, each in section.section("physical_volumes").sections.items()}
    if not physical:
        raise section.damage("there is no physical volume", "physical_volumes")
    sections = section.section("logical_volumes").sections
    if len(sections) > _MOST_VOLUMES:
        raise UnsupportedError(f"an LVM2 volume group of {len(sections):,} volumes is too large here", hint=None)
    users = dict(_users(sections, physical))
    volumes = tuple(_volume(key, each, physical, extent_size, users.get(key, "")) for key, each in sections.items())
    _check_overlaps(section, volumes)
    return Group(name, section.text("id"), section.number("seqno"), physical, volumes, _group_refusal(section))


def _group_refusal(section: Section) -> str:
    if section.values.get("format", "lvm2") != "lvm2":
        return f"is of format {section.text('format')!r}"
    if "EXPORTED" in section.items("status"):
        return "is exported (vgimport makes it usable)"
    if section.values.get("lock_type", "none") != "none":
        return "is shared by hosts"
    return ""


def _physical(section: Section, extent_size: int) -> PhysicalVolume:
    start = section.number("pe_start", most=_MOST_EXTENTS) * layout.SECTOR
    count = section.number("pe_count", most=_MOST_EXTENTS)
    data = ByteRange(start, start + count * extent_size)
    return PhysicalVolume(section.text("id"), data, "MISSING" in section.items("flags"))


def _users(sections: dict[str, Section], physical: dict[str, PhysicalVolume]) -> Iterator[tuple[str, str]]:
    """Which volumes are parts of others, and of which: pools and images, but also origins and their snapshots."""
    for name, section in sections.items():
        for segment in section.sections.values():
            kind = segment.values.get("type")
            for key, text in segment.strings():
                # "type" may be the name of a volume too, and a physical volume may have one's name.
                if key == "type" or (kind in _LINEAR and text in physical):
                    continue
                if text in sections and text != name:
                    plain = f"is a part of {name}"
                    yield text, plain if kind != "snapshot" else _ORIGIN if key == "origin" else _SNAPSHOT


def _volume(name: str, section: Section, physical: dict[str, PhysicalVolume], extent_size: int, use: str) -> Volume:
    _check_name(section, name)
    count = section.number("segment_count", most=len(section.sections))
    segments: list[Segment] = []
    refusal, extents = use, 0
    for index in range(1, count + 1):
        part = section.section(f"segment{index}")
        if part.number("start_extent", most=_MOST_EXTENTS) != extents:
            raise part.damage(
                f"it does not begin with extent {extents:,}, where the one before it ends", "start_extent"
            )
        length = part.number("extent_count", least=1, most=_MOST_EXTENTS)
        kind = part.text("type")
        if kind not in _LINEAR:
            base = kind.partition("+")[0]
            refusal = _CALLED.get(base) or (
                "is a RAID" if base.startswith("raid") else f"has a segment of type {kind!r}"
            )
        elif missing := [each for each in part.items("stripes")[::2] if each not in physical]:
            refusal = refusal or f"has a part on {missing[0]}"
        else:
            segments.append(_segment(part, length, physical, extent_size))
        extents += length
    status = section.items("status")
    # What ties a snapshot to its origin is a volume of its own in the text, and counts as the visible one.
    ties = any(part.values.get("type") == "snapshot" for part in section.sections.values())
    visible = use == _SNAPSHOT or ("VISIBLE" in status and not ties)
    if "LOCKED" in status or "PVMOVE" in status:
        refusal = refusal or "is being moved (pvmove)"
    return Volume(name, section.text("id"), extents * extent_size, tuple(segments), visible, "WRITE" in status, refusal)


def _segment(section: Section, length: int, physical: dict[str, PhysicalVolume], extent_size: int) -> Segment:
    stripes = section.items("stripes")
    count = section.number("stripe_count", least=1, most=max(len(stripes) // 2, 1))
    if len(stripes) != 2 * count or length % count:
        raise section.damage(f"{len(stripes)} words and {length:,} extents for {count} stripes", "stripes")
    chunk = section.number("stripe_size", least=1, most=_MOST_EXTENT) * layout.SECTOR if count > 1 else 0
    size = length // count * extent_size
    if chunk and size % chunk:
        raise section.damage(f"stripes of {size:,} bytes in chunks of {chunk:,}", "stripe_size")
    found = []
    for name, first in zip(stripes[::2], stripes[1::2], strict=True):
        data = physical[str(name)].data
        if not isinstance(first, int) or not 0 <= first <= _MOST_EXTENTS:
            raise section.damage(f"{first!r} is not the number of an extent", "stripes")
        start = data.start + first * extent_size
        if start + size > data.stop:
            raise section.damage(f"extents from {first:,} on leave physical volume {name}", "stripes")
        found.append(Stripe(str(name), ByteRange(start, start + size)))
    return Segment(tuple(found), chunk)


def _check_overlaps(section: Section, volumes: tuple[Volume, ...]) -> None:
    taken = sorted(
        (stripe.volume, stripe.where.start, stripe.where.stop, volume.name)
        for volume in volumes
        for segment in volume.segments
        for stripe in segment.stripes
    )
    for (one, _, stop, first), (other, start, _, second) in pairwise(taken):
        if one == other and start < stop:
            raise section.damage(f"{first} and {second} share extents of {one}", "logical_volumes")


def _check_name(section: Section, name: str) -> None:
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise section.damage(f"{name[:40]!r} cannot be a name", "name")
