"""Names of partition types, for people. A type that is not here has no name; its number or GUID still says all.

GUIDs: UEFI Specification 2.10, table 5.7, and the Discoverable Partitions Specification,
https://uapi-group.org/specifications/specs/discoverable_partitions_specification/. MBR types have no standard; the
names are those in common use, as `sfdisk --list-types` gives them.
"""

from __future__ import annotations

MBR_PROTECTIVE = 0xEE
MBR_EXTENDED = frozenset({0x05, 0x0F, 0x85})

_MBR_NAMES = {
    0x00: "Empty",
    0x01: "FAT12",
    0x04: "FAT16 <32M",
    0x05: "Extended",
    0x06: "FAT16",
    0x07: "HPFS/NTFS/exFAT",
    0x0B: "W95 FAT32",
    0x0C: "W95 FAT32 (LBA)",
    0x0E: "W95 FAT16 (LBA)",
    0x0F: "W95 Ext'd (LBA)",
    0x11: "Hidden FAT12",
    0x14: "Hidden FAT16 <32M",
    0x16: "Hidden FAT16",
    0x17: "Hidden HPFS/NTFS",
    0x1B: "Hidden W95 FAT32",
    0x1C: "Hidden W95 FAT32 (LBA)",
    0x1E: "Hidden W95 FAT16 (LBA)",
    0x27: "Hidden NTFS WinRE",
    0x41: "PPC PReP Boot",
    0x82: "Linux swap / Solaris",
    0x83: "Linux",
    0x85: "Linux extended",
    0x8E: "Linux LVM",
    0xA5: "FreeBSD",
    0xA6: "OpenBSD",
    0xA9: "NetBSD",
    0xAF: "HFS / HFS+",
    0xDA: "Non-FS data",
    0xEA: "Linux extended boot",
    0xEE: "GPT",
    0xEF: "EFI (FAT-12/16/32)",
    0xFB: "VMware VMFS",
    0xFD: "Linux raid autodetect",
}

_GPT_NAMES = {
    "C12A7328-F81F-11D2-BA4B-00A0C93EC93B": "EFI System",
    "21686148-6449-6E6F-744E-656564454649": "BIOS boot",
    "024DEE41-33E7-11D3-9D69-0008C781F39F": "MBR partition scheme",
    "9E1A2D38-C612-4316-AA26-8B49521E5A8B": "PowerPC PReP boot",
    "BC13C2FF-59E6-4262-A352-B275FD6F7172": "Linux extended boot",
    "0FC63DAF-8483-4772-8E79-3D69D8477DE4": "Linux filesystem",
    "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F": "Linux swap",
    "E6D6D379-F507-44C2-A23C-238F2A3DF928": "Linux LVM",
    "A19D880F-05FC-4D3B-A006-743F0F84911E": "Linux RAID",
    "CA7D7CCB-63ED-4C53-861C-1742536059CC": "Linux LUKS",
    "7FFEC5C9-2D00-49B7-8941-3EA10A5586B7": "Linux dm-crypt",
    "8DA63339-0007-60C0-C436-083AC8230908": "Linux reserved",
    "933AC7E1-2EB4-4F13-B844-0E14E2AEF915": "Linux home",
    "3B8F8425-20E0-4F3B-907F-1A25A76F98E8": "Linux server data",
    "4D21B016-B534-45C2-A9FB-5C16E091FD2D": "Linux variable data",
    "7EC6F557-3BC5-4ACA-B293-16EF5DF639D1": "Linux temporary data",
    "773F91EF-66D4-49B5-BD83-D683BF40AD16": "Linux user's home",
    "44479540-F297-41B2-9AF7-D131D5F0458A": "Linux root (x86)",
    "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709": "Linux root (x86-64)",
    "69DAD710-2CE4-4E3C-B16C-21A1D49ABED3": "Linux root (ARM)",
    "B921B045-1DF0-41C3-AF44-4C6F280D3FAE": "Linux root (ARM-64)",
    "C31C45E6-3F39-412E-80FB-4809C4980599": "Linux root (PPC64LE)",
    "72EC70A6-CF74-40E6-BD49-4BDA08E8F224": "Linux root (RISC-V-64)",
    "77055800-792C-4F94-B39A-98C91B762BB6": "Linux root (LoongArch-64)",
    "5EEAD9A9-FE09-4A1E-A1D7-520D00531306": "Linux root (S390X)",
    "75250D76-8CC6-458E-BD66-BD47CC81A812": "Linux /usr (x86)",
    "8484680C-9521-48C6-9C11-B0720656F69E": "Linux /usr (x86-64)",
    "7D0359A3-02B3-4F0A-865C-654403E70625": "Linux /usr (ARM)",
    "B0E01050-EE5F-4390-949A-9101B17104E9": "Linux /usr (ARM-64)",
    "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5": "Linux root verity (x86-64)",
    "DF3300CE-D69F-4C92-978C-9BFB0F38D820": "Linux root verity (ARM-64)",
    "77FF5F63-E7B6-4633-ACF4-1565B864C0E6": "Linux /usr verity (x86-64)",
    "6E11A4E7-FBCA-4DED-B9E9-E1A512BB664E": "Linux /usr verity (ARM-64)",
    "41092B05-9FC8-4523-994F-2DEF0408B176": "Linux root verity sign. (x86-64)",
    "6DB69DE6-29F4-4758-A7A5-962190F00CE3": "Linux root verity sign. (ARM-64)",
    "E3C9E316-0B5C-4DB8-817D-F92DF00215AE": "Microsoft reserved",
    "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7": "Microsoft basic data",
    "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3": "Microsoft LDM metadata",
    "AF9B60A0-1431-4F62-BC68-3311714A69AD": "Microsoft LDM data",
    "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC": "Windows recovery environment",
    "48465300-0000-11AA-AA11-00306543ECAC": "Apple HFS/HFS+",
    "7C3457EF-0000-11AA-AA11-00306543ECAC": "Apple APFS",
    "516E7CB6-6ECF-11D6-8FF8-00022D09712B": "FreeBSD UFS",
    "516E7CBA-6ECF-11D6-8FF8-00022D09712B": "FreeBSD ZFS",
    "516E7CB4-6ECF-11D6-8FF8-00022D09712B": "FreeBSD data",
    "83BD6B9D-7F41-11DC-BE0B-001560B84F0F": "FreeBSD boot",
    "516E7CB5-6ECF-11D6-8FF8-00022D09712B": "FreeBSD swap",
    "516E7CB8-6ECF-11D6-8FF8-00022D09712B": "FreeBSD Vinum",
    "49F48D32-B10E-11DC-B99B-0019D1879648": "NetBSD swap",
    "49F48D5A-B10E-11DC-B99B-0019D1879648": "NetBSD FFS",
    "49F48D82-B10E-11DC-B99B-0019D1879648": "NetBSD LFS",
    "2DB519C4-B10F-11DC-B99B-0019D1879648": "NetBSD concatenated",
    "2DB519EC-B10F-11DC-B99B-0019D1879648": "NetBSD encrypted",
    "49F48DAA-B10E-11DC-B99B-0019D1879648": "NetBSD RAID",
    "85D5E45A-237C-11E1-B4B3-E89A8F7FC3A7": "MidnightBSD data",
    "85D5E45E-237C-11E1-B4B3-E89A8F7FC3A7": "MidnightBSD boot",
    "85D5E45B-237C-11E1-B4B3-E89A8F7FC3A7": "MidnightBSD swap",
    "0394EF8B-237E-11E1-B4B3-E89A8F7FC3A7": "MidnightBSD UFS",
    "85D5E45D-237C-11E1-B4B3-E89A8F7FC3A7": "MidnightBSD ZFS",
    "85D5E45C-237C-11E1-B4B3-E89A8F7FC3A7": "MidnightBSD Vinum",
    "824CC7A0-36A8-11E3-890A-952519AD3F61": "OpenBSD data",
    "FE3A2A5D-4F32-41A7-B725-ACCC3285A309": "ChromeOS kernel",
    "3CB8E202-3B7E-47DD-8A3C-7FF2A13CFCEC": "ChromeOS root fs",
    "2E0A753D-9E48-43B0-8337-B15192CB1B5E": "ChromeOS reserved",
}


def mbr_type_name(os_type: int) -> str:
    """Name of an MBR type byte, or ""."""
    return _MBR_NAMES.get(os_type, "")


def gpt_type_name(guid: str) -> str:
    """Name of a GPT type GUID in upper case, or ""."""
    return _GPT_NAMES.get(guid, "")
