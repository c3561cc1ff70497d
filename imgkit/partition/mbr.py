"""MBR tables with their chains of extended boot records (EBR), read as the Linux kernel and libblkid read them.

It does not decide whether sector 0 is an MBR at all (`table` does), and it does not look into BSD, Solaris or
Minix tables nested in a partition. Layout and sources: see `layout`. What the kernel does where tools differ is kept
in docs/decisions/010-partition-tables-as-linux-reads-them.md.

The chain: each EBR names one logical partition, relative to itself, and the next EBR, relative to the first.

    extended  |EBR .. logical 5 ..|EBR .. logical 6 ..|      |EBR .. logical 7 ..|
               `------------------>`------------------------->                     links may also lead back
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from imgkit.errors import FormatError
from imgkit.partition.layout import BOOT_RECORD, BOOT_SIGNATURE, build
from imgkit.partition.model import Partition, PartitionTable, Scheme
from imgkit.partition.types import MBR_EXTENDED, mbr_type_name
from imgkit.units import ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.storage.device import BlockReader

BOOT_RECORD_SIZE = 512
_ACTIVE = 0x80
_FIRST_LOGICAL = 5
_MAX_LINKS = 256  # the kernel numbers no more than 256 partitions on a disk (DISK_MAX_PARTS)
_LAST_CYLINDER = 1023
_BEYOND_CHS = b"\xfe\xff\xff"


@dataclass(frozen=True, slots=True)
class MbrEntry:
    """One of the four partition entries of a boot record, as stored. LBAs count sectors from the entry's base."""

    boot_indicator: int = 0
    starting_chs: bytes = bytes(3)
    os_type: int = 0
    ending_chs: bytes = bytes(3)
    starting_lba: int = 0
    size_in_lba: int = 0

    @property
    def is_used(self) -> bool:
        """The size decides: the kernel ignores an entry of no sectors, whatever its type."""
        return self.size_in_lba != 0

    @property
    def is_extended(self) -> bool:
        """Whether the type says that it holds a chain of logical partitions."""
        return self.os_type in MBR_EXTENDED


@dataclass(frozen=True, slots=True)
class BootRecord:
    """A boot record, MBR or EBR: every byte of its 512 but the closing 55AA. There are always four entries."""

    boot_code: bytes = bytes(440)
    disk_signature: int = 0
    unknown: bytes = bytes(2)
    entries: tuple[MbrEntry, ...] = (MbrEntry(), MbrEntry(), MbrEntry(), MbrEntry())


_ENTRY_FIELDS = tuple(field.name for field in fields(MbrEntry))


def parse_boot_record(sector: bytes) -> BootRecord | None:
    """The boot record in the first 512 bytes of a sector, or None where the closing 55AA is missing."""
    if sector[BOOT_RECORD_SIZE - 2 : BOOT_RECORD_SIZE] != BOOT_SIGNATURE:
        return None
    parsed = BOOT_RECORD.parse(sector)
    entries = tuple(MbrEntry(*(entry[name] for name in _ENTRY_FIELDS)) for entry in parsed.entries)
    return BootRecord(parsed.boot_code, parsed.disk_signature, parsed.unknown, entries)


def build_boot_record(record: BootRecord) -> bytes:
    """The 512 bytes of a boot record; `parse_boot_record` gives it back. ValueError where a field does not fit."""
    return build(BOOT_RECORD, asdict(record))


def chs_address(lba: int, *, heads: int = 255, sectors: int = 63) -> bytes:
    """The three bytes that name a sector as cylinder, head and sector, in the geometry that the tools assume.

    Isohybrid images use other geometries. What lies beyond cylinder 1023 has one common address, FE FF FF.
    """
    track, sector = divmod(lba, sectors)
    cylinder, head = divmod(track, heads)
    if cylinder > _LAST_CYLINDER:
        return _BEYOND_CHS
    return bytes((head, sector + 1 | cylinder >> 8 << 6, cylinder & 0xFF))


def read_mbr(device: BlockReader, record: BootRecord, sector_size: int) -> PartitionTable:
    """The table of a disk whose sector 0 is `record`, logical partitions included.

    Raises `FormatError` where the chain of logical partitions runs in a loop: its end is unknown then, and no two
    tools agree on what is on the disk.
    """
    notices: list[str] = []
    disk_id = f"{record.disk_signature:08x}" if record.disk_signature else ""
    used = [(number, entry) for number, entry in enumerate(record.entries, 1) if entry.is_used]
    partitions = [_partition(number, entry, entry.starting_lba, sector_size, disk_id) for number, entry in used]
    logical = _FIRST_LOGICAL
    for number, entry in used:
        if entry.is_extended:
            for start, data in _walk_chain(device, number, entry, sector_size, notices):
                partitions.append(_partition(logical, data, start, sector_size, disk_id))
                logical += 1
    return PartitionTable(Scheme.MBR, sector_size, disk_id, tuple(partitions), notices=tuple(notices))


def _partition(number: int, entry: MbrEntry, start: int, sector_size: int, disk_id: str) -> Partition:
    return Partition(
        number,
        ByteRange(start * sector_size, (start + entry.size_in_lba) * sector_size),
        type_id=f"0x{entry.os_type:02x}",
        type_name=mbr_type_name(entry.os_type),
        # No disk signature, no PARTUUID: udev makes none either.
        partuuid=f"{disk_id}-{number:02x}" if disk_id else "",
        active=entry.boot_indicator == _ACTIVE,
        extended=entry.is_extended,
    )


def _walk_chain(
    device: BlockReader, number: int, extended: MbrEntry, sector_size: int, notices: list[str]
) -> Iterator[tuple[int, MbrEntry]]:
    """First sector and entry of each logical partition in extended partition `number`; what is odd goes to `notices`.

    A chain that breaks off is read up to there, as Linux does it.
    """
    base = lba = extended.starting_lba
    extent = extended.size_in_lba
    seen: set[int] = set()
    while lba not in seen:
        if len(seen) == _MAX_LINKS:
            notices.append(f"Only the first {_MAX_LINKS} boot records of extended partition {number} were read.")
            return
        seen.add(lba)
        record = _read_ebr(device, number, lba * sector_size, notices)
        if record is None:
            return
        for slot, entry in enumerate(record.entries):
            if entry.is_used and not entry.is_extended and _is_plausible(slot, entry, lba, extent, extended):
                yield lba + entry.starting_lba, entry
        # A link to the start of the chain is an empty one (libblkid ignores it), not a loop.
        link = next((entry for entry in record.entries if entry.is_used and entry.is_extended), None)
        if link is None or link.starting_lba == 0:
            return
        lba, extent = base + link.starting_lba, link.size_in_lba
    raise FormatError(
        f"the chain of logical partitions in extended partition {number} runs in a loop",
        structure="extended boot record",
        offset=lba * sector_size,
        field="starting_lba",
        hint="Repair the table first: `sfdisk --dump IMAGE`, remove the repeated partitions, write it back.",
    )


def _read_ebr(device: BlockReader, number: int, offset: int, notices: list[str]) -> BootRecord | None:
    if offset + BOOT_RECORD_SIZE > device.size:
        notices.append(
            f"The chain of logical partitions in extended partition {number} leads to byte {offset:,}, past the end of "
            "the image; logical partitions may be missing."
        )
        return None
    record = parse_boot_record(device.read_at(offset, BOOT_RECORD_SIZE))
    if record is None:
        notices.append(
            f"The chain of logical partitions in extended partition {number} breaks off at byte {offset:,}, where "
            "55AA is missing; logical partitions may be missing."
        )
    return record


def _is_plausible(slot: int, entry: MbrEntry, lba: int, extent: int, extended: MbrEntry) -> bool:
    """Whether an EBR's entry is data. The third and fourth entries often hold garbage; the kernel checks them so."""
    start = lba + entry.starting_lba
    return slot < 2 or (  # noqa: PLR2004
        entry.starting_lba + entry.size_in_lba <= extent
        and start + entry.size_in_lba <= extended.starting_lba + extended.size_in_lba
    )
