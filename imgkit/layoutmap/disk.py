"""The map of a disk: partition tables, partitions with what they hold, and what is left between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.filesystem.usage import used_bytes
from imgkit.guest.volume import WHOLE_DISK
from imgkit.layoutmap.model import Claim, RangeKind, make_map
from imgkit.partition.model import Scheme
from imgkit.storage.device import Window
from imgkit.units import KIB, ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgkit.guest.volume import GuestVolume
    from imgkit.layoutmap.model import LayoutMap
    from imgkit.partition.model import Partition, PartitionTable
    from imgkit.storage.device import BlockDevice

_GPT_ARRAY = 16 * KIB  # of the 128 entries that the specification demands at least
_CONTAINERS = ("LVM2_member", "crypto_LUKS", "linux_raid_member", "zfs_member")


def disk_map(
    disk: BlockDevice, table: PartitionTable, volumes: Iterable[GuestVolume], changed: Iterable[ByteRange] = ()
) -> LayoutMap:
    """The map of a disk with that table; `volumes` say what its partitions hold, or the whole of it.

    Logical volumes lie on partitions, and come before them.
    """
    ranked = sorted(volumes, key=lambda volume: bool(volume.number or volume.name == WHOLE_DISK))
    return make_map(disk.size, _claims(disk, table, ranked), changed)


def _claims(disk: BlockDevice, table: PartitionTable, volumes: Iterable[GuestVolume]) -> Iterator[Claim]:
    yield from _tables(table, disk.size)
    partitions = {partition.number: partition for partition in table.partitions}
    for volume in volumes:
        yield from _volume(disk, volume, partitions.get(volume.number))
    for partition in table.partitions:
        if partition.extended:
            yield Claim(partition.where, RangeKind.FREE, f"in extended partition {partition.number}")


def _tables(table: PartitionTable, size: int) -> Iterator[Claim]:
    sector = table.sector_size
    if table.scheme is Scheme.MBR:
        yield Claim(ByteRange(0, sector), RangeKind.TABLE, "MBR")
    elif table.scheme is Scheme.GPT:
        usable = table.usable or ByteRange(2 * sector + _GPT_ARRAY, size)
        yield Claim(ByteRange(0, usable.start), RangeKind.TABLE, "MBR and GPT")
        yield Claim(ByteRange(usable.stop, usable.stop + _GPT_ARRAY + sector), RangeKind.TABLE, "backup GPT")


def _volume(disk: BlockDevice, volume: GuestVolume, partition: Partition | None) -> Iterator[Claim]:
    if not volume.kind:
        kind, holds = RangeKind.PARTITION, partition.type_name if partition else ""
        if "BIOS boot" in holds:
            kind = RangeKind.BOOT
    elif volume.kind in _CONTAINERS:
        kind, holds = RangeKind.CONTAINER, volume.kind
    elif volume.kind == "swap":
        kind, holds = RangeKind.SWAP, "swap"
    else:
        kind, holds = RangeKind.FILE_SYSTEM, volume.kind
    label = repr(volume.label) if volume.label else ""
    told = " ".join(filter(None, (volume.name, holds or ("" if volume.problem else "empty"), label)))
    for where in volume.extents:
        whole = kind is RangeKind.FILE_SYSTEM and len(volume.extents) == 1
        yield Claim(where, kind, told, used_bytes(Window(disk, where), volume.kind) if whole else None)
