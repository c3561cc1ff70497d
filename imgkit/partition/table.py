"""Detection: which partition table a disk has, if any.

It is as careful as libblkid: 55AA at the end of sector 0 is no proof of an MBR, and a GPT counts only behind a
protective MBR. BSD, Sun, SGI, AIX, Apple and DASD tables are named in a notice and not read.
docs/decisions/012-sector-size.md says how the sector size is found.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imgkit.errors import UsageError
from imgkit.partition.bootsector import boot_sector_file_system, foreign_table, superblock
from imgkit.partition.checks import layout_notices
from imgkit.partition.gpt import SECTOR_SIZES, GptError, has_gpt_signature, read_gpt
from imgkit.partition.mbr import BOOT_RECORD_SIZE, BootRecord, parse_boot_record, read_mbr
from imgkit.partition.model import PartitionTable, Scheme
from imgkit.partition.types import MBR_PROTECTIVE

if TYPE_CHECKING:
    from imgkit.storage.device import BlockReader

_LEGAL_SECTOR_SIZES = (512, 1024, 2048, 4096)
_BOOT_INDICATORS = {0x00, 0x80}


def read_table(device: BlockReader, *, sector_size: int | None = None) -> PartitionTable:
    """The partition table of a disk; scheme "none" where there is none, be it empty or one whole file system.

    `sector_size` is the logical sector size in bytes; None detects 512 or 4096 for a GPT, and takes 512 for an MBR,
    which does not tell. Raises `FormatError` for a table that announces itself and cannot be trusted: a protective MBR
    without a valid GPT, a chain of logical partitions that runs in a loop. Raises `UsageError` for a sector size that
    no disk has.
    """
    if sector_size is not None and sector_size not in _LEGAL_SECTOR_SIZES:
        raise UsageError(
            f"no disk has sectors of {sector_size} bytes",
            hint="Give 512, 1024, 2048 or 4096, or omit it.",
        )
    table = _detect(device, sector_size)
    return replace(table, notices=table.notices + layout_notices(table, device.size))


def _detect(device: BlockReader, sector_size: int | None) -> PartitionTable:
    none = PartitionTable(Scheme.NONE, sector_size or SECTOR_SIZES[0])
    if device.size < BOOT_RECORD_SIZE:
        return none
    sector = device.read_at(0, BOOT_RECORD_SIZE)
    record = parse_boot_record(sector)
    if record is None:
        return replace(none, notices=_unread_tables(device))
    if any(entry.os_type == MBR_PROTECTIVE for entry in record.entries):
        try:
            table = read_gpt(device, SECTOR_SIZES if sector_size is None else (sector_size,))
        except GptError:
            # A byte of a file system's boot code may look like a protective entry.
            if not boot_sector_file_system(sector):
                raise
        else:
            return replace(table, hybrid=any(entry.os_type not in {0, MBR_PROTECTIVE} for entry in record.entries))
    if owner := _not_an_mbr(device, sector, record):
        return replace(none, notices=(f"Sector 0 ends in 55AA, but is no partition table: {owner}.",))
    table = read_mbr(device, record, none.sector_size)
    return replace(table, notices=_unread_tables(device) + table.notices)


def _not_an_mbr(device: BlockReader, sector: bytes, record: BootRecord) -> str:
    """What a sector that ends in 55AA is, where it is no MBR; else ""."""
    if file_system := boot_sector_file_system(sector):
        return f"it is the boot sector of {file_system}"
    if foreign_table(device) == "AIX disk label":
        return "it is an AIX disk label, which is not supported"
    for number, entry in enumerate(record.entries, 1):
        if entry.boot_indicator not in _BOOT_INDICATORS:
            return f"entry {number} has the boot indicator 0x{entry.boot_indicator:02x}, which can only be 0x00 or 0x80"
    # A boot loader's sector in front of a file system, such as extlinux leaves it, has no entries at all.
    if not any(entry.is_used for entry in record.entries) and (owner := superblock(device)):
        return f"it has no entries, and there is a superblock of {owner}"
    return ""


def _unread_tables(device: BlockReader) -> tuple[str, ...]:
    """Notices about tables that are there and do not count."""
    notices = []
    if name := foreign_table(device):
        notices.append(f"{name} found; such tables are not supported.")
    if any(has_gpt_signature(device, size) for size in SECTOR_SIZES):
        notices.append("There is a GPT header, but no protective MBR announces it; Linux ignores such a GPT.")
    return tuple(notices)
