"""What a partition table says, in bytes and half-open ranges; no parsing happens here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgkit.units import ByteRange


class Scheme(StrEnum):
    """The kind of partition table."""

    GPT = "gpt"
    MBR = "mbr"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition, numbered as the Linux kernel numbers it: from 1, logical partitions from 5.

    `where` is what the table claims, in bytes of the disk: it may reach past the end of a damaged image, and it is
    empty where a partition ends before it begins. `type_id` is "0x83" or a GUID in upper case, `type_name` its name or
    "". `name` is the GPT label, as stored: it may hold any character. `partuuid` is written as in
    /dev/disk/by-partuuid, "" where there is none. `active` is the MBR's active flag, or GPT's legacy BIOS bootable
    attribute; `attributes` are the 64 GPT attribute bits. `extended` marks the container of logical partitions.
    """

    number: int
    where: ByteRange
    type_id: str
    type_name: str
    name: str = ""
    partuuid: str = ""
    active: bool = False
    attributes: int = 0
    extended: bool = False


@dataclass(frozen=True, slots=True)
class PartitionTable:
    """One disk's table. Partitions are sorted by number, which need not be the order on the disk.

    `sector_size` is the logical one, in bytes. `disk_id` is what blkid calls PTUUID: a GUID in lower case, or the
    eight hexadecimal digits of an MBR's disk signature, or "". `recovered_from_backup` says that the primary GPT is
    damaged and the backup was read. `hybrid` says that an MBR beside the GPT holds partitions of its own. `usable`
    is the range that a GPT offers to partitions. `notices` are sentences for a person: what is odd, but was read.
    """

    scheme: Scheme
    sector_size: int
    disk_id: str = ""
    partitions: tuple[Partition, ...] = ()
    recovered_from_backup: bool = False
    hybrid: bool = False
    notices: tuple[str, ...] = ()
    usable: ByteRange | None = None
