"""FAT directories: entries, long names, and timestamps.

A long name lies in entries before the short one, last part first, tied to it by a checksum. Long name entries that are
tied to nothing are ignored, as Windows and Linux do.

Specification: see `layout`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from imgkit.filesystem.fat import layout
from imgkit.filesystem.fat.layout import Attribute
from imgkit.filesystem.fat.volume import damage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.filesystem.fat.volume import BootSector, FatVolume
    from imgkit.storage.device import BlockReader

_LIMIT = 65536
"""Entries of a directory that the specification allows."""

_CODE_PAGE = "cp437"
_DOTS = (b".          ", b"..         ")
_OLDEST = 315532800
_NEWEST = 4354819198
"""1980-01-01 and 2107-12-31 23:59:58, the first and last times that fit."""


class FatEntry(NamedTuple):
    """One file or directory: its long name, or its short one; `offset` is where its (short) entry lies on the device.

    `time` is the time of the last write as stored: date in the high 16 bits, time in the low ones.
    """

    name: str
    short_name: bytes
    attributes: int
    cluster: int
    size: int
    time: int
    offset: int

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory."""
        return bool(self.attributes & Attribute.DIRECTORY)

    @property
    def alias(self) -> bytes:
        """The short name as one writes it, such as b"GRUB~1.CFG"."""
        base, extension = self.short_name[:8].rstrip(b" "), self.short_name[8:].rstrip(b" ")
        if base[:1] == bytes((layout.KANJI_E5,)):
            base = bytes((layout.FREE,)) + base[1:]
        return base + b"." + extension if extension else base

    @property
    def names(self) -> tuple[str, str]:
        """The names that lead here, case folded, as case does not matter: the long one and the short one."""
        return self.name.casefold(), self.alias.decode(_CODE_PAGE).casefold()


def root_entries(volume: FatVolume) -> Iterator[FatEntry]:
    """Entries of the root directory, volume label included."""
    boot = volume.boot
    if boot.root_cluster:
        yield from entries(volume, boot.root_cluster)
    else:
        yield from _parse(boot, iter(((boot.root_offset, volume.device.read_at(boot.root_offset, boot.root_size)),)))


def entries(volume: FatVolume, cluster: int) -> Iterator[FatEntry]:
    """Entries of the directory that begins with a cluster, without "." and "..". FormatError for a broken chain."""
    return _parse(volume.boot, _pieces(volume, cluster))


def volume_label(device: BlockReader, boot: BootSector) -> str:
    """The label as blkid says it: that of the first piece of the root directory, or else of the boot sector."""
    offset = boot.cluster_offset(boot.root_cluster) if boot.root_cluster else boot.root_offset
    piece = device.read_at(offset, boot.cluster_size if boot.root_cluster else boot.root_size)
    found = _parse(boot, iter(((offset, piece),)))
    label = next((entry.short_name for entry in found if entry.attributes & Attribute.VOLUME_ID), None)
    if label is None:
        label = b"" if boot.label == b"NO NAME    " else boot.label
    return label.rstrip(b" \0").decode(_CODE_PAGE)


def decode_time(stamp: int) -> int:
    """Seconds since the epoch of a date and time as stored, taken as UTC; 0 for an impossible one."""
    date, time = stamp >> 16, stamp & 0xFFFF
    try:
        when = datetime(
            1980 + (date >> 9), date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63, (time & 31) * 2, tzinfo=UTC
        )
    except ValueError:
        return 0
    return int(when.timestamp())


def encode_time(seconds: int) -> int:
    """Date and time as stored, in UTC, clamped to what fits: two seconds of resolution, from 1980 to 2107."""
    when = datetime.fromtimestamp(max(_OLDEST, min(seconds, _NEWEST)), UTC)
    date = (when.year - 1980) << 9 | when.month << 5 | when.day
    return date << 16 | when.hour << 11 | when.minute << 5 | when.second // 2


def _pieces(volume: FatVolume, cluster: int) -> Iterator[tuple[int, bytes]]:
    size = volume.boot.cluster_size
    chain = volume.chain(cluster)
    if len(chain) * size > _LIMIT * layout.ENTRY_SIZE:
        raise damage("a directory has too many entries", volume.boot.cluster_offset(cluster))
    for each in chain:
        offset = volume.boot.cluster_offset(each)
        yield offset, volume.device.read_at(offset, size)


def _parse(boot: BootSector, pieces: Iterator[tuple[int, bytes]]) -> Iterator[FatEntry]:
    long_name = _LongName()
    for start, data in pieces:
        for at in range(0, len(data), layout.ENTRY_SIZE):
            first, attributes = data[at], data[at + layout.ATTRIBUTE_OFFSET]
            if first == layout.END:
                return
            if first == layout.FREE:
                long_name = _LongName()
                continue
            raw = data[at : at + layout.ENTRY_SIZE]
            if attributes & 0x3F == Attribute.LONG_NAME:
                long_name.add(raw)
                continue
            entry = _entry(boot, raw, long_name.finish(raw[:11]), start + at)
            long_name = _LongName()
            if entry.short_name not in _DOTS:
                yield entry


def _entry(boot: BootSector, raw: bytes, long_name: str | None, offset: int) -> FatEntry:
    short, attributes, case, *_, high, time, date, low, size = layout.DIRECTORY_ENTRY.unpack(raw)
    cluster = low | high << 16 if boot.bits == 32 else low  # noqa: PLR2004
    name = long_name
    if name is None:
        base, extension = short[:8].rstrip(b" "), short[8:].rstrip(b" ")
        if base[:1] == bytes((layout.KANJI_E5,)):
            base = bytes((layout.FREE,)) + base[1:]
        parts = [base.decode(_CODE_PAGE), extension.decode(_CODE_PAGE)]
        # Windows NT and Linux store names that are lower case throughout without a long name.
        parts = [
            part.lower() if case & flag else part
            for part, flag in zip(parts, (layout.LOWER_BASE, layout.LOWER_EXTENSION), strict=True)
        ]
        name = ".".join(part for part in parts if part)
    return FatEntry(name, short, attributes, cluster, size, date << 16 | time, offset)


class _LongName:
    """A long name while its parts come in, last part first."""

    __slots__ = ("_checksum", "_expected", "_parts")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._expected = self._checksum = 0

    def add(self, raw: bytes) -> None:
        """Take the next entry; one that does not fit ends the name."""
        ordinal, first, _, _, checksum, second, _, third = layout.LONG_NAME_ENTRY.unpack(raw)
        if ordinal & layout.LAST_LONG_ENTRY:
            self._parts, self._expected, self._checksum = [], ordinal & 0x3F, checksum
        elif ordinal != self._expected or checksum != self._checksum:
            self._parts, self._expected = [], 0
            return
        self._parts.insert(0, first + second + third)
        self._expected -= 1

    def finish(self, short_name: bytes) -> str | None:
        """The name, if all parts came and belong to this short name."""
        if not self._parts or self._expected != 0 or self._checksum != _checksum(short_name):
            return None
        text = b"".join(self._parts).decode("utf-16-le", errors="replace")
        return text.split("\0")[0]


def _checksum(short_name: bytes) -> int:
    total = 0
    for byte in short_name:
        total = ((total >> 1 | total << 7) + byte) & 0xFF
    return total
