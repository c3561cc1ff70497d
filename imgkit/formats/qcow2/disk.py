"""A qcow2 file as a block device: what the guest sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.errors import FormatError, UnsupportedError
from imgkit.formats.qcow2 import bitmaps, compression, layout
from imgkit.formats.qcow2.header import parse_header
from imgkit.formats.qcow2.mapping import ALL_ALLOCATED, ClusterEntry, ClusterKind, Mapping
from imgkit.formats.qcow2.refcount import Refcounts
from imgkit.storage.device import check_bounds
from imgkit.units import ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.formats.qcow2.mapping import Extent
    from imgkit.storage.device import BlockReader
    from imgkit.storage.overlay import Overlay

_REMEMBERED_CLUSTERS = 4096


class Qcow2Disk:
    """The disk in a qcow2 file that `device` shows. All writes go to `device`, an overlay.

    `backing` shows through where the image has no cluster of its own; it may be shorter or longer than the disk. `data`
    is the external data file, which can only be read. Raises FormatError or UnsupportedError (see `parse_header`).
    """

    def __init__(self, device: Overlay, *, backing: BlockReader | None = None, data: BlockReader | None = None) -> None:
        self.header = parse_header(device)
        self._device = device
        self._backing = backing
        self._data = data or device
        self._refcounts = Refcounts(device, self.header)
        self._mapping = Mapping(device, self.header, self._refcounts)
        self._autoclear = self.header.autoclear
        self._decompressed: tuple[int, bytes] = (-1, b"")
        self._hosts: dict[int, int] = {}
        self._written: list[ByteRange] = []
        self._check_not_truncated()

    @property
    def size(self) -> int:
        """Length of the disk in bytes."""
        return self.header.size

    @property
    def loses_bitmaps(self) -> bool:
        """Whether writing makes persistent dirty bitmaps invalid."""
        return bool(self.header.autoclear & layout.AUTOCLEAR_BITMAPS)

    @property
    def written(self) -> tuple[ByteRange, ...]:
        """The ranges of the disk, in the order of writing, that were given other bytes since it was opened."""
        return tuple(self._written)

    def read_at(self, offset: int, length: int, /) -> bytes:
        """The `length` bytes at `offset`."""
        if offset < 0 or length < 0 or offset + length > self.size:
            check_bounds(self, offset, length)
        cluster, start = divmod(offset, self.header.cluster_size)
        if start + length <= self.header.cluster_size and (host := self._host_of(cluster)) is not None:
            return self._device.read_at(host + start, length)
        if not length:
            return b""
        parts = [self._read_extent(extent) for extent in self._mapping.extents(offset, length)]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write_at(self, offset: int, data: bytes, /) -> None:
        """Replace the bytes at `offset`. Bytes that are what they were allocate nothing."""
        if offset < 0 or offset + len(data) > self.size:
            check_bounds(self, offset, len(data))
        view = memoryview(data)
        size = self.header.cluster_size
        while view:
            cluster, start = divmod(offset, size)
            piece = bytes(view[: size - start])
            if self.read_at(offset, len(piece)) != piece:
                self._write_cluster(cluster, start, piece)
                self._note_written(offset, len(piece))
            offset, view = offset + len(piece), view[len(piece) :]

    def own_ranges(self) -> Iterator[ByteRange]:
        """The ranges of the disk that this image holds itself, not its backing file."""
        if not self.size:
            return
        for extent in self._mapping.extents(0, self.size):
            if extent.kind is not ClusterKind.BACKING:
                yield ByteRange(extent.offset, extent.offset + extent.length)

    def _note_written(self, offset: int, length: int) -> None:
        last = self._written[-1] if self._written else None
        if last is not None and last.start <= offset <= last.stop:
            self._written[-1] = ByteRange(last.start, max(last.stop, offset + length))
        else:
            self._written.append(ByteRange(offset, offset + length))

    def _host_of(self, cluster: int) -> int | None:
        """Host offset of a guest cluster that is simply there: plain data, whole, in the image itself; else None.

        File systems read small pieces of few clusters, so these are remembered.
        """
        host = self._hosts.get(cluster)
        if host is None and not self.header.extended_l2 and self._data is self._device:
            (extent,) = self._mapping.extents(cluster * self.header.cluster_size, self.header.cluster_size)
            if extent.kind is ClusterKind.DATA and extent.host + self.header.cluster_size <= self._device.size:
                if len(self._hosts) >= _REMEMBERED_CLUSTERS:
                    self._hosts.clear()
                host = self._hosts[cluster] = extent.host
        return host

    def _read_extent(self, extent: Extent) -> bytes:
        match extent.kind:
            case ClusterKind.DATA:
                return self._read_host(self._data, extent.host, extent.length)
            case ClusterKind.COMPRESSED:
                start = extent.offset % self.header.cluster_size
                return self._decompress(extent.host)[start : start + extent.length]
            case ClusterKind.BACKING if self._backing is not None:
                inside = max(0, min(extent.length, self._backing.size - extent.offset))
                data = self._backing.read_at(extent.offset, inside) if inside else b""
                return data + bytes(extent.length - inside)
            case _:
                return bytes(extent.length)

    def _read_host(self, device: BlockReader, offset: int, length: int) -> bytes:
        """Bytes of the file. Its last cluster need not be whole: what is missing is zeros."""
        missing = offset + length - device.size
        if missing <= 0:
            return device.read_at(offset, length)
        if missing >= self.header.cluster_size:
            check_bounds(device, offset, length)
        inside = max(0, length - missing)
        return device.read_at(offset, inside) + bytes(length - inside)

    def _decompress(self, entry: int) -> bytes:
        if self._decompressed[0] != entry:
            offset, length = compression.location(entry, self.header.cluster_size)
            data = self._device.read_at(offset, max(0, min(length, self._device.size - offset)))
            cluster = compression.decompress(data, self.header.compression, self.header.cluster_size, offset)
            self._decompressed = entry, cluster
        return self._decompressed[1]

    def _write_cluster(self, cluster: int, start: int, piece: bytes) -> None:
        self._begin_writing()
        (entry,) = self._mapping.entries(cluster, 1)
        if entry.host and not entry.is_compressed and entry.is_copied:
            self._write_own_cluster(cluster, entry, start, piece)
        else:
            self._replace_cluster(cluster, entry, start, piece)

    def _write_own_cluster(self, cluster: int, entry: ClusterEntry, start: int, piece: bytes) -> None:
        """Write into a cluster that only the active table refers to."""
        self._check_owned(entry)
        if self.header.extended_l2:
            unit = self.header.cluster_size // layout.SUBCLUSTERS
            low, high = start // unit, -(-(start + len(piece)) // unit)
            start, piece = self._widened(cluster, low * unit, high * unit, start, piece)
            touched = (1 << high) - (1 << low)
            bitmap = (entry.subclusters | touched) & ~(touched << layout.SUBCLUSTERS)
            if bitmap != entry.subclusters:
                self._mapping.set(cluster, ClusterEntry(entry.raw, bitmap))
        elif entry.raw & layout.ZERO and self.header.version > 2:  # noqa: PLR2004
            start, piece = self._widened(cluster, 0, self.header.cluster_size, start, piece)
            self._mapping.set(cluster, ClusterEntry(entry.raw & ~layout.ZERO))
        end = entry.host + start + len(piece)
        self._device.grow(end)  # the last cluster of the file need not be whole
        self._device.write_at(entry.host + start, piece)

    def _replace_cluster(self, cluster: int, entry: ClusterEntry, start: int, piece: bytes) -> None:
        """Give the guest cluster a new host cluster with its old contents and `piece`, and drop the old one."""
        _, content = self._widened(cluster, 0, self.header.cluster_size, start, piece)
        self._hosts.pop(cluster, None)
        host = self._refcounts.allocate()
        self._device.write_at(host, content)
        subclusters = ALL_ALLOCATED if self.header.extended_l2 else 0
        self._mapping.set(cluster, ClusterEntry(host | layout.COPIED, subclusters))
        for released in self._host_clusters(entry):
            self._refcounts.release(released)

    def _widened(self, cluster: int, low: int, high: int, start: int, piece: bytes) -> tuple[int, bytes]:
        """`piece`, at `start` of the cluster, amid the present contents of the cluster's bytes [low, high)."""
        base = cluster * self.header.cluster_size
        inside = min(base + high, self.size) - (base + low)
        content = bytearray(self.read_at(base + low, inside)) + bytes(high - low - inside)
        content[start - low : start - low + len(piece)] = piece
        return low, bytes(content)

    def _host_clusters(self, entry: ClusterEntry) -> range:
        """The host clusters that an L2 entry refers to."""
        size = self.header.cluster_size
        if entry.is_compressed:
            offset, length = compression.location(entry.raw, size)
            return range(offset // size, (offset + length - 1) // size + 1)
        return range(entry.host // size, entry.host // size + bool(entry.host))

    def _check_owned(self, entry: ClusterEntry) -> None:
        """Only a cluster with refcount 1 that is no table may be written to, whatever the L2 entry claims."""
        if entry.host % self.header.cluster_size or self.header.overlaps_tables(entry.host):
            raise FormatError(
                f"L2 entry claims a data cluster at {entry.host:,} that is not one",
                structure="qcow2 L2 table",
                offset=entry.host,
                hint="Check the image with `qemu-img check`.",
            )
        self._refcounts.check_single(entry.host // self.header.cluster_size)

    def _begin_writing(self) -> None:
        if self.header.data_file is not None:
            raise UnsupportedError(
                "qcow2 image keeps its data in an external file, which can only be read",
                hint="Merge the two into one file: `qemu-img convert -O qcow2 IMAGE NEW`.",
            )
        if self._autoclear:
            # Whoever writes without keeping a feature's data right has to clear its bit; we keep none of them right.
            if self._autoclear & layout.AUTOCLEAR_BITMAPS and self.header.bitmaps:
                bitmaps.release(self._device, self._refcounts, self.header.bitmaps, self.header.cluster_size)
            self._device.write_at(layout.AUTOCLEAR_OFFSET, bytes(8))
            self._autoclear = 0

    def _check_not_truncated(self) -> None:
        last = self._refcounts.last_used() * self.header.cluster_size
        if last >= self._device.size and (self.header.snapshots or self._mapping.reaches_past_the_end()):
            # e2image counts clusters behind the end of what it writes, which nothing refers to.
            raise FormatError(
                f"file ends at {self._device.size:,}, before the last cluster in use",
                structure="qcow2 refcounts",
                offset=last,
                hint="The image is truncated; download it again.",
            )
