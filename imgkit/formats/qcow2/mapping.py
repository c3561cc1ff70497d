"""The two-level table from guest clusters to host clusters.

All state is in the device; an entry is read where it is needed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from imgkit.errors import FormatError
from imgkit.formats.qcow2 import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.formats.qcow2.header import Header
    from imgkit.formats.qcow2.refcount import Refcounts
    from imgkit.storage.overlay import Overlay

_L1_AT_ONCE = 4096
ALL_ALLOCATED = (1 << layout.SUBCLUSTERS) - 1


class ClusterKind(Enum):
    """Where the contents of guest bytes come from."""

    BACKING = "backing"
    ZERO = "zero"
    DATA = "data"
    COMPRESSED = "compressed"


@dataclass(frozen=True, slots=True)
class Extent:
    """Guest bytes [offset, offset + length) of one kind.

    `host` is their host offset if they are DATA, the L2 entry if they are COMPRESSED, else 0.
    """

    offset: int
    length: int
    kind: ClusterKind
    host: int


@dataclass(frozen=True, slots=True)
class ClusterEntry:
    """One L2 entry. `subclusters` is the bitmap of extended L2 entries: 32 allocation bits, above them 32 zero bits."""

    raw: int = 0
    subclusters: int = 0

    @property
    def is_compressed(self) -> bool:
        """Whether the cluster is compressed."""
        return bool(self.raw & layout.COMPRESSED)

    @property
    def host(self) -> int:
        """Host offset of an uncompressed cluster, 0 if it has none."""
        return self.raw & layout.OFFSET_MASK

    @property
    def is_copied(self) -> bool:
        """Whether the cluster belongs to the active table alone (refcount exactly 1)."""
        return bool(self.raw & layout.COPIED)


class Mapping:
    """The active L1 table and its L2 tables."""

    def __init__(self, device: Overlay, header: Header, refcounts: Refcounts) -> None:
        self._device = device
        self._header = header
        self._refcounts = refcounts
        # In an external data file offset 0 is as good as any; in the image itself the header lies there.
        self._zero_is_data = header.data_file is not None

    def entries(self, first: int, count: int) -> Iterator[ClusterEntry]:
        """The entries of `count` guest clusters from `first` on."""
        per_table = self._header.l2_entries
        while count:
            index, start = divmod(first, per_table)
            taken = min(count, per_table - start)
            table = self._l1_entry(index) & layout.OFFSET_MASK
            if table:
                yield from self._read_entries(self._checked_table(table, index), start, taken)
            else:
                yield from (ClusterEntry() for _ in range(taken))
            first, count = first + taken, count - taken

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        """Where guest bytes [offset, offset + length) lie, in order, neighbours of one kind joined."""
        last: Extent | None = None
        for extent in self._pieces(offset, length):
            if last is not None and _continues(last, extent):
                last = Extent(last.offset, last.length + extent.length, last.kind, last.host)
                continue
            if last is not None:
                yield last
            last = extent
        if last is not None:
            yield last

    def reaches_past_the_end(self) -> bool:
        """Whether a table, or a cluster that one refers to, begins behind the end of the file.

        Every table is read once, however often it is named.
        """
        size = self._device.size
        l1 = self._device.read_at(self._header.l1_offset, self._header.l1_size * 8)
        tables = {entry & layout.OFFSET_MASK for (entry,) in struct.iter_unpack(">Q", l1)} - {0}
        if any(table >= size for table in tables):
            return True
        for table in tables:
            raw = self._device.read_at(table, min(self._header.cluster_size, size - table))
            raw = raw[: len(raw) // self._header.l2_entry_size * self._header.l2_entry_size]
            for value in struct.unpack(f">{len(raw) // 8}Q", raw)[:: self._header.l2_entry_size // 8]:
                if not value & layout.COMPRESSED and value & layout.OFFSET_MASK >= size:
                    return True
        return False

    def set(self, cluster: int, entry: ClusterEntry) -> None:
        """Replace the entry of a guest cluster; its L2 table is made, or copied if a snapshot shares it."""
        index, slot = divmod(cluster, self._header.l2_entries)
        position = self._own_table(index) + slot * self._header.l2_entry_size
        if self._header.extended_l2:
            self._device.write_at(position, struct.pack(">QQ", entry.raw, entry.subclusters))
        else:
            self._device.write_at(position, struct.pack(">Q", entry.raw))

    def _pieces(self, offset: int, length: int) -> Iterator[Extent]:
        """The extents of each cluster; one extent for all clusters of tables that are not there."""
        reach = self._header.cluster_size * self._header.l2_entries
        end = offset + length
        while offset < end:
            index = offset // reach
            if empty := self._absent_tables(index, (end - 1) // reach + 1 - index):
                stop = min((index + empty) * reach, end)
                yield Extent(offset, stop - offset, self._kind(ClusterEntry()), 0)
            else:
                stop = min((index + 1) * reach, end)
                yield from self._pieces_of_table(offset, stop - offset)
            offset = stop

    def _absent_tables(self, index: int, most: int) -> int:
        """How many tables from `index` on, of the next `most` or less, are not there."""
        count = max(min(most, _L1_AT_ONCE, self._header.l1_size - index), 0)
        raw = self._device.read_at(self._header.l1_offset + 8 * index, 8 * count)
        return (len(raw) - len(raw.lstrip(b"\0"))) // 8

    def _pieces_of_table(self, offset: int, length: int) -> Iterator[Extent]:
        size = self._header.cluster_size
        first, last = offset // size, (offset + length - 1) // size
        for cluster, entry in enumerate(self.entries(first, last - first + 1), first):
            low, high = max(offset, cluster * size), min(offset + length, (cluster + 1) * size)
            if entry.is_compressed:
                yield Extent(low, high - low, ClusterKind.COMPRESSED, entry.raw)
            elif self._header.extended_l2:
                yield from self._subclusters(entry, cluster * size, low, high)
            else:
                kind = self._kind(entry)
                yield Extent(
                    low, high - low, kind, entry.host + low - cluster * size if kind is ClusterKind.DATA else 0
                )

    def _kind(self, entry: ClusterEntry) -> ClusterKind:
        if entry.raw & layout.ZERO and self._header.version > 2:  # noqa: PLR2004
            return ClusterKind.ZERO
        return ClusterKind.DATA if entry.host or (self._zero_is_data and entry.is_copied) else ClusterKind.BACKING

    def _subclusters(self, entry: ClusterEntry, start: int, low: int, high: int) -> Iterator[Extent]:
        size = self._header.cluster_size // layout.SUBCLUSTERS
        for index in range((low - start) // size, (high - start - 1) // size + 1):
            begin, end = max(low, start + index * size), min(high, start + (index + 1) * size)
            allocated = entry.subclusters >> index & 1
            zero = entry.subclusters >> (index + layout.SUBCLUSTERS) & 1
            if allocated and zero:
                raise FormatError(
                    "subcluster is marked both allocated and zero",
                    structure="qcow2 extended L2 entry",
                    offset=start,
                    field="subcluster bitmap",
                    hint="Check the image with `qemu-img check`.",
                )
            kind = ClusterKind.DATA if allocated else ClusterKind.ZERO if zero else ClusterKind.BACKING
            yield Extent(begin, end - begin, kind, entry.host + begin - start if allocated else 0)

    def _read_entries(self, table: int, start: int, count: int) -> Iterator[ClusterEntry]:
        width = self._header.l2_entry_size
        raw = self._device.read_at(table + start * width, count * width)
        if self._header.extended_l2:
            return (ClusterEntry(*pair) for pair in struct.iter_unpack(">QQ", raw))
        return (ClusterEntry(value) for (value,) in struct.iter_unpack(">Q", raw))

    def _l1_entry(self, index: int) -> int:
        return int.from_bytes(self._device.read_at(self._header.l1_offset + index * 8, 8), "big")

    def _checked_table(self, table: int, index: int) -> int:
        size = self._header.cluster_size
        if table % size or table + size > self._device.size or self._header.overlaps_tables(table):
            raise FormatError(
                f"L2 table at {table:,} is not a cluster of its own in the file",
                structure="qcow2 L1 table",
                offset=self._header.l1_offset + index * 8,
                hint="The image is truncated or damaged; check it with `qemu-img check`.",
            )
        return table

    def _own_table(self, index: int) -> int:
        """Offset of an L2 table that may be written to."""
        entry = self._l1_entry(index)
        table = entry & layout.OFFSET_MASK
        if table:
            self._checked_table(table, index)
            if entry & layout.COPIED:
                self._refcounts.check_single(table // self._header.cluster_size)
                return table
        own = self._refcounts.allocate()
        if table:
            self._device.write_at(own, self._device.read_at(table, self._header.cluster_size))
            self._refcounts.release(table // self._header.cluster_size)
        self._device.write_at(self._header.l1_offset + index * 8, (own | layout.COPIED).to_bytes(8, "big"))
        return own


def _continues(last: Extent, extent: Extent) -> bool:
    if last.kind is not extent.kind or last.kind is ClusterKind.COMPRESSED:
        return False
    return last.kind is not ClusterKind.DATA or last.host + last.length == extent.host
