"""What sector 0 may be when it is no MBR: a file system's boot sector, or a table that is not served here.

It tells apart and names; it parses none of them. The checks are as strict as libblkid's, which decides what Linux
takes a disk for: `probe_dos_pt` and the superblock probers in its sources,
https://git.kernel.org/pub/scm/utils/util-linux/util-linux.git/tree/libblkid/src
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.partition.layout import BIOS_PARAMETER_BLOCK

if TYPE_CHECKING:
    from imgkit.storage.device import BlockReader

_FAT_MAX_CLUSTERS = 0xFFF4  # of FAT16; FAT12 has less
_FAT32_MAX_CLUSTERS = 0x0FFFFFF6

# Name of the table, and the magic numbers that have to be there, each with its byte position.
_FOREIGN_TABLES = (
    ("SGI disk label", ((0, b"\x0b\xe5\xa9\x41"),)),
    ("Sun disk label", ((508, b"\xda\xbe"),)),
    ("AIX disk label", ((0, b"\xc9\xc2\xd4\xc1"),)),
    ("BSD disk label", ((512, b"\x57\x45\x56\x82"), (644, b"\x57\x45\x56\x82"))),
    ("BSD disk label", ((64, b"\x57\x45\x56\x82"), (196, b"\x57\x45\x56\x82"))),
    ("Apple partition map", ((0, b"ER"), (512, b"PM"))),
    ("DASD volume label", ((8192, b"\xe5\xd6\xd3\xf1"),)),  # VOL1 in EBCDIC, blocks of 4,096 bytes
    ("DASD volume label", ((8192, b"\xd3\xd5\xe7\xf1"),)),  # LNX1
)

# File systems and volumes that leave sector 0 to a boot loader.
_SUPERBLOCKS = (
    ("ext2, ext3 or ext4", 1080, b"\x53\xef"),
    ("LVM", 512, b"LABELONE"),
    ("ISO 9660", 32769, b"CD001"),
    ("btrfs", 65600, b"_BHRfS_M"),
)


def boot_sector_file_system(sector: bytes) -> str:
    """Name of the file system whose boot sector this is, or "". `sector` has at least 512 bytes and ends in 55AA."""
    oem_name = sector[3:11]
    # Both keep the FAT fields between bytes 11 and 36 at zero, so that nothing takes them for FAT.
    if oem_name == b"EXFAT   " and not any(sector[11:64]):
        return "exFAT"
    if oem_name == b"NTFS    " and not any(sector[14:21]) and not any(sector[22:24]):
        return "NTFS"
    return "FAT" if _is_fat(sector) else ""


def _is_fat(sector: bytes) -> bool:
    # JFS and HPFS begin with a FAT look-alike and name themselves in the FAT type's place.
    if sector[54:62] in {b"JFS     ", b"HPFS    "}:
        return False
    bpb = BIOS_PARAMETER_BLOCK.parse(sector)
    if not (
        bpb.number_of_fats
        and bpb.reserved_sectors
        and (bpb.media == 0xF0 or bpb.media >= 0xF8)  # noqa: PLR2004
        and bpb.sectors_per_cluster.bit_count() == 1
        and bpb.bytes_per_sector in {512, 1024, 2048, 4096}
    ):
        return False
    total = bpb.total_sectors_16 or bpb.total_sectors_32
    fat_size = bpb.fat_size_16 or bpb.fat_size_32
    root_size = -(-bpb.root_entries * 32 // bpb.bytes_per_sector)
    clusters = (total - bpb.reserved_sectors - bpb.number_of_fats * fat_size - root_size) // bpb.sectors_per_cluster
    return bool(0 <= clusters <= (_FAT_MAX_CLUSTERS if bpb.fat_size_16 else _FAT32_MAX_CLUSTERS))


def foreign_table(device: BlockReader) -> str:
    """Name of a partition table that is not served here, or ""."""
    for name, magics in _FOREIGN_TABLES:
        if all(_has(device, offset, magic) for offset, magic in magics):
            return name
    return ""


def superblock(device: BlockReader) -> str:
    """Name of a file system or volume on the whole disk that leaves sector 0 free, or ""."""
    return next((name for name, offset, magic in _SUPERBLOCKS if _has(device, offset, magic)), "")


def _has(device: BlockReader, offset: int, magic: bytes) -> bool:
    end = offset + len(magic)
    return end <= device.size and device.read_at(offset, len(magic)) == magic
