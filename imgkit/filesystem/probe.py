"""Telling what a block device holds, by its superblock, without reading more than some kilobytes; and opening it.

Names of kinds, UUIDs and labels are those of blkid; NTFS and exFAT volumes are told without their labels, which lie
deep inside. What only ties devices together (RAID, LVM, LUKS) is looked for first: what lies beneath may show through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from construct import ConstructError

from imgkit.errors import UnclassifiedImageError, UnsupportedError
from imgkit.filesystem import signatures
from imgkit.filesystem.base import Check

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgkit.filesystem.base import FileSystem
    from imgkit.filesystem.signatures import Signature
    from imgkit.storage.device import BlockDevice, BlockReader

_SECTOR = 512
_SWAP_HEADER_SIZE = signatures.SWAP_HEADER.sizeof()


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device holds: `kind` as blkid's TYPE, label and UUID ("" where there is none), and a version or ""."""

    kind: str
    label: str
    uuid: str
    version: str = ""


def probe(device: BlockReader) -> Identity | None:
    """What the device holds, or None for nothing that is known. Damage deeper than the superblock is not noticed."""
    for look in _LOOKS:
        identity = look(device)
        if identity is not None:
            return identity
    return None


def open_filesystem(
    device: BlockDevice,
    *,
    writable: bool,
    now: int,
    check: Check = Check.AUTO,
    on_notice: Callable[[str], None] | None = None,
) -> FileSystem:
    """Open a clean ext2, ext3, ext4 or FAT file system, or one of ext3 or ext4 whose journal can be replayed.

    `now` is the time of all edits, in seconds since the epoch. `check` asks for a full check also where it is not the
    default: see `docs/decisions/021-checking-before-editing.md`. `on_notice` is told that a journal was replayed.

    UnsupportedError for another kind, or one that is not clean or not understood; FormatError where a structure
    contradicts another one; EngineError where libext2fs is missing; UnclassifiedImageError for no known file system.
    """
    identity = probe(device)
    if identity is None:
        raise UnclassifiedImageError("no file system that imgkit knows was found", hint=None)
    if opener := FILE_SYSTEMS.get(identity.kind):
        return opener(device, writable=writable, now=now, check=check, on_notice=on_notice)
    needs = " and --key-file with its passphrase" if identity.kind == "crypto_LUKS" else ""
    raise UnsupportedError(
        f"{identity.kind} is not served by the native engine",
        hint=f"Use --engine uml or --engine guestfs{needs}, which serve it.",
    )


class _Opener(Protocol):
    """What opens a file system of one kind; the arguments are those of `open_filesystem`."""

    def __call__(
        self, device: BlockDevice, *, writable: bool, now: int, check: Check, on_notice: Callable[[str], None] | None
    ) -> FileSystem: ...


def _open_ext(device: BlockDevice, **options: Any) -> FileSystem:
    from imgkit.filesystem.ext.filesystem import open_ext  # noqa: PLC0415  needs libext2fs

    return open_ext(device, **options)


def _open_fat(device: BlockDevice, *, on_notice: object, **options: Any) -> FileSystem:  # noqa: ARG001  no journal
    from imgkit.filesystem.fat.filesystem import open_fat  # noqa: PLC0415

    return open_fat(device, **options)


FILE_SYSTEMS: dict[str, _Opener] = {"ext2": _open_ext, "ext3": _open_ext, "ext4": _open_ext, "vfat": _open_fat}
"""The file systems that are served here, by the type that blkid gives to them."""


def _raid(device: BlockReader) -> Identity | None:
    size = device.size
    # Version 1.0 lies near the end, 1.1 at the start, 1.2 4 KiB after it.
    last = (size // _SECTOR - 16 & ~7) * _SECTOR
    for offset, version in ((last, "1.0"), (0, "1.1"), (4096, "1.2")):
        found = _parse(device, offset, signatures.RAID_1)
        if found is not None and found.super_offset * _SECTOR == offset:
            return Identity("linux_raid_member", _text(found.set_name), str(UUID(bytes=found.set_uuid)), version)
    found = _parse(device, (size & ~0xFFFF) - 0x10000, signatures.RAID_0)
    if found is None:
        return None
    return Identity("linux_raid_member", "", str(UUID(bytes=found.uuid_0 + found.uuid_1_to_3)), "0.90.0")


def _lvm(device: BlockReader) -> Identity | None:
    for sector in range(signatures.LVM_LABEL_SECTORS):
        found = _parse(device, sector * _SECTOR, signatures.LVM_LABEL)
        if found is not None and found.header_offset <= _SECTOR - signatures.LVM_UUID_SIZE:
            raw = device.read_at(sector * _SECTOR + found.header_offset, signatures.LVM_UUID_SIZE)
            text, parts = raw.decode("ascii", "replace"), []
            for length in (6, 4, 4, 4, 4, 4, 6):
                parts.append(text[:length])
                text = text[length:]
            return Identity("LVM2_member", "", "-".join(parts), "LVM2 001")
    return None


def _luks(device: BlockReader) -> Identity | None:
    found = _parse(device, 0, signatures.LUKS)
    if found is None:
        return None
    label = _text(found.label) if found.version == 2 else ""  # noqa: PLR2004
    return Identity("crypto_LUKS", label, _text(found.uuid), str(found.version))


def _ext(device: BlockReader) -> Identity | None:
    from imgkit.filesystem.ext.superblock import identify  # noqa: PLC0415  only where there is one to be read

    return Identity(*found) if (found := identify(device)) is not None else None


def _xfs(device: BlockReader) -> Identity | None:
    found = _parse(device, 0, signatures.XFS)
    return None if found is None else Identity("xfs", _text(found.label), _uuid(found.uuid))


def _btrfs(device: BlockReader) -> Identity | None:
    found = _parse(device, signatures.BTRFS_OFFSET, signatures.BTRFS)
    return None if found is None else Identity("btrfs", _text(found.label), _uuid(found.uuid))


def _f2fs(device: BlockReader) -> Identity | None:
    found = _parse(device, signatures.F2FS_OFFSET, signatures.F2FS)
    if found is None:
        return None
    return Identity("f2fs", found.label.decode("utf-16-le", "replace").split("\0")[0], _uuid(found.uuid))


def _swap(device: BlockReader) -> Identity | None:
    for page_size in (4096, 8192, 16384, 32768, 65536):
        if _bytes(device, page_size - 10, 10) in signatures.SWAP_MAGICS:
            found = signatures.SWAP_HEADER.parse(_bytes(device, signatures.SWAP_HEADER_OFFSET, _SWAP_HEADER_SIZE))
            if found.version != 1:
                return Identity("swap", "", "", "0")
            return Identity("swap", _text(found.label), _uuid(found.uuid), "1")
    return None


def _iso9660(device: BlockReader) -> Identity | None:
    primary = _parse(device, signatures.ISO_FIRST_DESCRIPTOR, signatures.ISO_DESCRIPTOR)
    if primary is None:
        return None
    digits = primary.modified[:16].decode("ascii", "replace")
    if set(digits) <= {"0", "\0", " "}:
        digits = primary.created[:16].decode("ascii", "replace")
    parts = (digits[:4], digits[4:6], digits[6:8], digits[8:10], digits[10:12], digits[12:14], digits[14:16])
    uuid = "-".join(parts) if digits.isdigit() and set(digits) != {"0"} else ""
    return Identity("iso9660", _text(primary.volume_id).rstrip(), uuid)


def _squashfs(device: BlockReader) -> Identity | None:
    found = _parse(device, 0, signatures.SQUASHFS)
    if found is None:
        return None
    return Identity("squashfs" if found.major >= 4 else "squashfs3", "", "", str(found.major))  # noqa: PLR2004


def _ntfs(device: BlockReader) -> Identity | None:
    found = _parse(device, 0, signatures.NTFS)
    plausible = found is not None and found.sector_size in (256, 512, 1024, 2048, 4096) and found.per_cluster
    return Identity("ntfs", "", f"{found.serial:016X}") if plausible and found is not None else None


def _exfat(device: BlockReader) -> Identity | None:
    from imgkit.filesystem.fat.filesystem import serial_text  # noqa: PLC0415  as above

    found = _parse(device, 0, signatures.EXFAT)
    return None if found is None else Identity("exfat", "", serial_text(found.serial))


def _fat(device: BlockReader) -> Identity | None:
    from imgkit.filesystem.fat.filesystem import identify  # noqa: PLC0415  as above

    return Identity("vfat", *found) if (found := identify(device)) is not None else None


def _zfs(device: BlockReader) -> Identity | None:
    size = signatures.ZFS_UBERBLOCK_SIZE
    ring = _bytes(device, signatures.ZFS_UBERBLOCKS_OFFSET, signatures.ZFS_UBERBLOCKS * size)
    marked = sum(ring[at : at + 8] in signatures.ZFS_MAGICS for at in range(0, len(ring), size))
    return Identity("zfs_member", "", "") if marked >= 4 else None  # noqa: PLR2004  blkid's threshold


_LOOKS: tuple[Callable[[BlockReader], Identity | None], ...] = (
    _raid,
    _lvm,
    _luks,
    _ext,
    _xfs,
    _btrfs,
    _f2fs,
    _swap,
    _iso9660,
    _squashfs,
    _ntfs,
    _exfat,
    _fat,
    _zfs,
)


def _parse(device: BlockReader, offset: int, signature: Signature) -> Any:
    """A structure at an offset, or None where it is not there."""
    if _bytes(device, offset + signature.at, len(signature.magic)) != signature.magic:
        return None
    raw = _bytes(device, offset, signature.layout.sizeof())
    try:
        return signature.layout.parse(raw) if raw else None
    except ConstructError:
        return None


def _bytes(device: BlockReader, offset: int, length: int) -> bytes:
    """Bytes of the device, or none where it does not reach that far."""
    return device.read_at(offset, length) if 0 <= offset <= device.size - length else b""


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode(errors="replace")


def _uuid(raw: bytes) -> str:
    return str(UUID(bytes=raw)) if any(raw) else ""
