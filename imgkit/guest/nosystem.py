"""What an image is in which no installed Linux was found: said by its bytes, for the person who gave it.

UDF: ECMA-167, 2/9.1 (volume recognition sequence); partition types as in `imgkit.partition.types`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.errors import FormatError
from imgkit.guest.volume import disk_volumes
from imgkit.iso.detection import is_iso
from imgkit.partition.table import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.formats.image import Image
    from imgkit.storage.device import BlockReader

_SECTOR = 2048
_RECOGNITION = range(16 * _SECTOR, 32 * _SECTOR, _SECTOR)
_UDF = (b"NSR02", b"NSR03")
_LOOKED_AT = 1 << 20
_BSD = re.compile(r"(FreeBSD|OpenBSD|NetBSD|DragonFly)\b.*")
_WINDOWS = ("ntfs", "BitLocker")
_LINUX = ("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "crypto_LUKS", "LVM2_member", "linux_raid_member")
_MAGICS = (
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program for EFI, DOS or Windows"),
    (0, b"hsqs", "a SquashFS file system by itself"),
    (0, b"070701", "a cpio archive, as initial RAM disks are"),
    (257, b"ustar", "a tar archive"),
    (0, b"<?xml", "an XML file"),
    (0, b"<!DOCTYPE", "a web page: the download went wrong"),
    (0, b"<html", "a web page: the download went wrong"),
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the image is, as the end of a sentence about it; and what to do, None where nothing better is known."""

    what: str
    hint: str | None = None


def explain(image: Image) -> Explanation | None:
    """What the image is; None where it is a disk of which there is nothing more to say."""
    disk, name = image.disk, image.path.name
    if disk.size == 0:
        return Explanation("it is empty (0 bytes)", "Download the image again.")
    if is_iso(disk) and disk is not image.overlay:
        convert = f"qemu-img convert -O raw {name} {name.rpartition('.')[0] or name}.iso"
        return Explanation(f"it is an ISO inside a {image.format} image", f"Make a plain ISO of it first: `{convert}`.")
    if _is_udf(disk):
        return Explanation(
            "it is a UDF volume without ISO 9660, as some Windows media are",
            "imgkit reads only ISO 9660; `7z l` lists a UDF volume.",
        )
    head = disk.read_at(0, min(disk.size, _LOOKED_AT))
    if not any(head):
        whole = "" if disk.size <= _LOOKED_AT else ": its first MiB holds nothing but zeros"
        return Explanation(f"it is blank{whole}", "Install a system on it first: `imgkit vm install`.")
    for offset, magic, what in _MAGICS:
        if head.startswith(magic, offset):
            return Explanation(f"it is {what}")
    return _explain_disk(image)


def _explain_disk(image: Image) -> Explanation | None:
    try:
        table = read_table(image.disk)
        volumes = [volume for volume, _ in disk_volumes(image.disk, table)]
    except FormatError:
        return None
    kinds = [volume.kind for volume in volumes]
    bsd = next((match[1] for partition in table.partitions if (match := _BSD.fullmatch(partition.type_name))), "")
    if bsd and not any(kind in _LINUX for kind in kinds):
        return Explanation(
            f"it is {_article(bsd)} {bsd} disk, and imgkit enables consoles of Linux",
            "Set its console in the loader's configuration: /boot/loader.conf (FreeBSD), /etc/boot.conf (OpenBSD),"
            " /boot.cfg (NetBSD).",
        )
    if any(kind in _WINDOWS for kind in kinds) and not any(kind in _LINUX for kind in kinds):
        return Explanation(
            "it is a Windows disk, and imgkit enables consoles of Linux",
            "Windows has Emergency Management Services for a serial line: `bcdedit /ems on`.",
        )
    if not table.partitions and not any(kinds):
        return Explanation(
            "it holds no partition table, no file system and no ISO volume that imgkit knows",
            "Download the image again; `file` may identify it.",
        )
    return None


def _is_udf(disk: BlockReader) -> bool:
    """Whether the volume recognition sequence names UDF, and no ISO 9660 descriptor is before it."""
    return not is_iso(disk) and any(identifier in _UDF for identifier in _identifiers(disk))


def _identifiers(disk: BlockReader) -> Iterator[bytes]:
    for position in _RECOGNITION:
        if position + _SECTOR <= disk.size:
            yield disk.read_at(position + 1, 5)


def _article(name: str) -> str:
    return "an" if name[:1] in "AEIOU" else "a"
