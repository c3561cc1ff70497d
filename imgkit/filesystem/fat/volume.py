"""A FAT volume: its boot sector, its allocation table, and the chains in it.

Parsing validates every field that sizes something, compares the copies of the table, and refuses volumes that were not
cleanly unmounted. It knows no names; see `directory`.

Specification: see `layout`.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgkit.errors import FormatError, UnsupportedError
from imgkit.filesystem.fat import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.storage.device import BlockDevice, BlockReader

REPAIR_HINT = "Repair a copy of the image with fsck.vfat, or use the Linux driver: --engine uml or --engine guestfs."
_MAX_CLUSTERS = {12: 4084, 16: 65524, 32: 0x0FFFFFF5}
_FIRST_CLUSTER = 2
_MAX_TABLE = 64 << 20
"""Bytes of one copy of the table: 16 million clusters, 512 GiB with the usual 32 KiB."""


@dataclass(frozen=True, slots=True)
class BootSector:
    """What the boot sector says. Offsets and sizes are in bytes; `bits` is 12, 16 or 32, the size of a table entry.

    `root_cluster` is 0 where the root directory has a place of its own, `fsinfo_offset` where there is no FSInfo.
    """

    bits: int
    sector_size: int
    cluster_size: int
    table_offset: int
    table_size: int
    table_copies: int
    root_offset: int
    root_size: int
    root_cluster: int
    data_offset: int
    cluster_count: int
    fsinfo_offset: int
    is_dirty: bool
    serial: int | None
    label: bytes
    looks_standard: bool
    """Whether the boot sector has the marks by which FatFs knows a volume."""

    @property
    def last_cluster(self) -> int:
        """Number of the last cluster."""
        return self.cluster_count + _FIRST_CLUSTER - 1

    def cluster_offset(self, cluster: int) -> int:
        """Byte position of a cluster."""
        return self.data_offset + (cluster - _FIRST_CLUSTER) * self.cluster_size


@dataclass(frozen=True, slots=True)
class FatVolume:
    """A volume that is open: `table` has one entry per cluster, the first two are reserved."""

    device: BlockDevice
    boot: BootSector
    table: array[int]

    def chain(self, first: int) -> list[int]:
        """Clusters of a chain, none for 0. FormatError for a loop, or a link to a free or impossible cluster."""
        clusters: list[int] = []
        cluster, last = first, self.boot.last_cluster
        while first and cluster <= last:
            if cluster < _FIRST_CLUSTER or len(clusters) > last:
                raise damage("a cluster chain is broken or runs in a circle", self._entry_offset(cluster), "FAT entry")
            clusters.append(cluster)
            cluster = self.table[cluster]
        if first and (not clusters or cluster < self._end_of_chain - 7):
            raise damage(f"a cluster chain leads to cluster {cluster}", self._entry_offset(first), "FAT entry")
        return clusters

    def read_clusters(self, clusters: list[int]) -> Iterator[bytes]:
        """Contents of clusters, adjacent ones in one piece of at most 1 MiB."""
        size = self.boot.cluster_size
        limit = max((1 << 20) // size, 1)
        start = 0
        for index in range(1, len(clusters) + 1):
            adjacent = index < len(clusters) and clusters[index] == clusters[index - 1] + 1
            if not adjacent or index - start == limit:
                yield self.device.read_at(self.boot.cluster_offset(clusters[start]), (index - start) * size)
                start = index

    def free_clusters(self) -> int:
        """Number of clusters that are free."""
        return self.table[_FIRST_CLUSTER:].count(0)

    @property
    def _end_of_chain(self) -> int:
        return {12: 0xFFF, 16: 0xFFFF, 32: 0x0FFFFFFF}[self.boot.bits]

    def _entry_offset(self, cluster: int) -> int:
        return self.boot.table_offset + cluster * self.boot.bits // 8


def read_boot_sector(device: BlockReader) -> BootSector:
    """Parse and validate the boot sector. FormatError where there is none or it contradicts itself."""
    if device.size < layout.BOOT_SECTOR_SIZE:
        raise damage(f"the block device has only {device.size:,} bytes", 0, "BS_jmpBoot")
    fields = layout.BOOT_SECTOR.parse(device.read_at(0, layout.BOOT_SECTOR_SIZE))
    sector, per_cluster = fields.BPB_BytsPerSec, fields.BPB_SecPerClus
    for holds, field in (
        (sector in (512, 1024, 2048, 4096), "BPB_BytsPerSec"),
        (per_cluster and per_cluster & (per_cluster - 1) == 0, "BPB_SecPerClus"),
        (fields.BPB_RsvdSecCnt, "BPB_RsvdSecCnt"),
        (fields.BPB_NumFATs in (1, 2), "BPB_NumFATs"),
        (fields.BPB_Media >= 0xF8 or fields.BPB_Media == 0xF0, "BPB_Media"),  # noqa: PLR2004
        (fields.BPB_RootEntCnt * layout.ENTRY_SIZE % sector == 0 if sector else False, "BPB_RootEntCnt"),
    ):
        if not holds:
            raise damage("no FAT volume, or a damaged one", 0, field)
    is_32 = fields.BPB_FATSz16 == 0
    extended = (layout.EXTENDED_32 if is_32 else layout.EXTENDED_16).parse(fields.rest)
    boot = _build(fields, extended, is_32=is_32)
    if not 0 < boot.cluster_count <= _MAX_CLUSTERS[boot.bits]:
        raise damage(f"{boot.cluster_count:,} clusters are impossible", 0, "BPB_TotSec")
    if (boot.cluster_count + _FIRST_CLUSTER) * boot.bits > boot.table_size * 8:
        raise damage("the allocation table is too short for the clusters", 0, "BPB_FATSz")
    if is_32 and not _FIRST_CLUSTER <= boot.root_cluster <= boot.last_cluster:
        raise damage("the root directory is not in the volume", 0, "BPB_RootClus")
    return boot


def open_volume(device: BlockDevice) -> FatVolume:
    """Open a clean volume.

    FormatError where a structure contradicts another one; UnsupportedError for a volume that is dirty, that does not
    keep its copies of the table alike, or is too large.
    """
    boot = read_boot_sector(device)
    if boot.cluster_offset(boot.last_cluster + 1) > device.size:
        raise FormatError(
            f"the volume ends at byte {boot.cluster_offset(boot.last_cluster + 1):,}, but there are {device.size:,}",
            structure="FAT boot sector",
            offset=0,
            field="BPB_TotSec",
            hint="The image or the partition is truncated; download it again.",
        )
    if boot.table_size > _MAX_TABLE:
        raise UnsupportedError(f"a FAT volume of {boot.cluster_count:,} clusters is too large here", hint=REPAIR_HINT)
    raw = device.read_at(boot.table_offset, boot.table_size)
    table = _decode(raw, boot)
    # The highest bits of the second entry are cleared while the volume is mounted, or after an error.
    clean = {12: 0, 16: 0xC000, 32: 0x0C000000}[boot.bits]
    if boot.is_dirty or table[1] & clean != clean:
        raise UnsupportedError("this FAT volume was not cleanly unmounted (its dirty bit is set)", hint=REPAIR_HINT)
    if boot.table_copies == 2 and device.read_at(boot.table_offset + boot.table_size, boot.table_size) != raw:  # noqa: PLR2004
        raise damage("the two copies of the allocation table differ", boot.table_offset + boot.table_size)
    return FatVolume(device, boot, table)


def damage(message: str, offset: int, field: str = "") -> FormatError:
    """FormatError about a FAT volume."""
    return FormatError(message, structure="FAT volume", offset=offset, field=field, hint=REPAIR_HINT)


def _build(fields: Any, extended: Any, *, is_32: bool) -> BootSector:
    sector = fields.BPB_BytsPerSec
    table_sectors = fields.BPB_FATSz16 or extended.BPB_FATSz32
    root_size = fields.BPB_RootEntCnt * layout.ENTRY_SIZE
    table_offset = fields.BPB_RsvdSecCnt * sector
    root_offset = table_offset + fields.BPB_NumFATs * table_sectors * sector
    data_offset = root_offset + root_size
    total = (fields.BPB_TotSec16 or fields.BPB_TotSec32) * sector
    cluster_size = fields.BPB_SecPerClus * sector
    clusters = max(total - data_offset, 0) // cluster_size
    bits = 32 if is_32 else 16 if clusters > _MAX_CLUSTERS[12] else 12
    if is_32 and (extended.BPB_ExtFlags & 0x80 or extended.BPB_FSVer or root_size):
        raise UnsupportedError("this FAT32 volume is of an unknown kind or does not mirror its table", hint=REPAIR_HINT)
    identified = extended.BS_BootSig in layout.EXTENDED_BOOT_SIGNATURES
    fsinfo = extended.BPB_FSInfo if is_32 else 0
    return BootSector(
        bits=bits,
        sector_size=sector,
        cluster_size=cluster_size,
        table_offset=table_offset,
        table_size=table_sectors * sector,
        table_copies=fields.BPB_NumFATs,
        root_offset=root_offset,
        root_size=root_size,
        root_cluster=extended.BPB_RootClus if is_32 else 0,
        data_offset=data_offset,
        cluster_count=clusters,
        fsinfo_offset=fsinfo * sector if 0 < fsinfo < fields.BPB_RsvdSecCnt else 0,
        is_dirty=bool(extended.BS_Reserved1 & layout.DIRTY_STATE) and identified,
        serial=extended.BS_VolID if identified else None,
        label=extended.BS_VolLab if identified else b"",
        looks_standard=fields.signature == layout.BOOT_SIGNATURE
        and fields.BS_jmpBoot[0] in (0xEB, 0xE9, 0xE8)
        and (extended.BS_FilSysType == b"FAT32   " if is_32 else bool(root_size) and total // sector >= 128),  # noqa: PLR2004
    )


def _decode(raw: bytes, boot: BootSector) -> array[int]:
    """Entries of the table as numbers, those past the last cluster left out."""
    count = boot.cluster_count + _FIRST_CLUSTER
    if boot.bits == 12:  # noqa: PLR2004
        table = array("H")
        for at in range(0, count * 3 // 2 + 1, 3):
            three = int.from_bytes(raw[at : at + 3], "little")
            table.extend((three & 0xFFF, three >> 12))
    else:
        table = array("H" if boot.bits == 16 else "I")  # noqa: PLR2004
        table.frombytes(raw[: count * table.itemsize])
        if sys.byteorder == "big":
            table.byteswap()
        # The highest four bits of an entry are reserved. Hardly any volume uses them, and masking is slow.
        if boot.bits == 32 and raw[3::4].translate(None, bytes(range(16))):  # noqa: PLR2004
            table = array("I", (entry & 0x0FFFFFFF for entry in table))
    return table[:count]
