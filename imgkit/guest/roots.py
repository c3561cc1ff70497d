"""Finding installed systems: which volumes are root file systems, and what each of them mounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, GuestError, NoRootError, PathNotFoundError, TreeError, UnsupportedError
from imgkit.guest.fstab import find_volumes, parse_fstab

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.filesystem.base import FileSystem
    from imgkit.guest.volume import Engine, GuestVolume

# What may hold an installed system's root, as blkid says it. A FAT volume never does.
_NO_ROOT = frozenset({"", "vfat", "swap", "exfat", "ntfs", "iso9660", "squashfs", "udf"})
_ROOT_MARKS = ("/etc/fstab", "/etc/os-release", "/usr/lib/os-release")

# Discoverable Partitions Specification: partitions that are mounted without a line in fstab.
# https://uapi-group.org/specifications/specs/discoverable_partitions_specification/
_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_XBOOTLDR = "BC13C2FF-59E6-4262-A352-B275FD6F7172"


@dataclass(frozen=True, slots=True)
class RootSearch:
    """The root volumes of a disk; what was found on the others that might have been roots, by volume name."""

    roots: tuple[GuestVolume, ...]
    unreadable: dict[str, UnsupportedError | FormatError]


def find_roots(engine: Engine) -> RootSearch:
    """Look at every volume that may hold a root file system. What cannot be read is kept, not raised."""
    roots: list[GuestVolume] = []
    unreadable: dict[str, UnsupportedError | FormatError] = {}
    for volume in engine.volumes():
        if volume.group or (volume.kind in _NO_ROOT and not volume.problem):
            continue
        try:
            if _is_root(engine.open(volume)):
                roots.append(volume)
        except (UnsupportedError, FormatError) as error:
            unreadable[volume.name] = error
    return RootSearch(tuple(roots), unreadable)


def choose_root(search: RootSearch, wanted: str | None) -> GuestVolume:
    """The root to use: the one that is `wanted` (name, partition number, UUID=, LABEL=), else the only one.

    Raises NoRootError where there is none, GuestError where the choice is open, and what kept volumes from being read
    where that may be the reason.
    """
    if wanted is not None:
        names = {wanted, f"/dev/{wanted}", f"/dev/sda{wanted}"}
        chosen = [v for v in search.roots if v.name in names] or find_volumes(wanted, search.roots)
        if len(chosen) == 1:
            return chosen[0]
        raise NoRootError(f"no root file system is called {wanted!r}", hint=f"There are: {_listed(search.roots)}.")
    if len(search.roots) == 1:
        return search.roots[0]
    if search.roots:
        raise GuestError(
            f"{len(search.roots)} installed systems: {_listed(search.roots)}", hint="Choose one with --root NAME."
        )
    for error in search.unreadable.values():
        raise error
    raise NoRootError(
        "no root file system was found",
        hint="`imgkit inspect` shows what the image holds. A data disk, or an empty one, has no console to enable.",
    )


def find_mounts(root: FileSystem, volumes: Sequence[GuestVolume]) -> tuple[dict[str, GuestVolume], list[str]]:
    """The volumes that the system on `root` mounts, by mount point, without "/"; and what could not be followed."""
    mounts: dict[str, GuestVolume] = {}
    notices: list[str] = []
    for mount in parse_fstab(_read_fstab(root)):
        if mount.point == "/":
            continue
        match find_volumes(mount.source, volumes):
            case [volume]:
                mounts[mount.point] = volume
            case []:
                notices.append(f"{mount.point}: {mount.source} of fstab is not on this disk")
            case several:
                notices.append(f"{mount.point}: {mount.source} of fstab is not unique: {_listed(several)}")
    for point, volume in _discoverable(root, volumes):
        if point not in mounts and volume not in mounts.values():
            mounts[point] = volume
    return mounts, notices


def _is_root(file_system: FileSystem) -> bool:
    return any(file_system.exists(mark) for mark in _ROOT_MARKS)


def _read_fstab(root: FileSystem) -> str:
    try:
        return root.read("/etc/fstab").decode(errors="surrogateescape")
    except PathNotFoundError:
        return ""


def _discoverable(root: FileSystem, volumes: Sequence[GuestVolume]) -> Iterator[tuple[str, GuestVolume]]:
    """What systemd mounts by partition type: XBOOTLDR at /boot, the ESP at /efi or, without XBOOTLDR, at /boot."""
    esp = [volume for volume in volumes if volume.type_id == _ESP and volume.kind == "vfat"]
    extended = [volume for volume in volumes if volume.type_id == _XBOOTLDR]
    if len(extended) == 1 and _is_empty_directory(root, "/boot"):
        yield "/boot", extended[0]
    if len(esp) == 1:
        for point in ("/efi", "/boot/efi", "/boot"):
            if not (point == "/boot" and extended) and _is_empty_directory(root, point):
                yield point, esp[0]
                return


def _is_empty_directory(root: FileSystem, path: str) -> bool:
    try:
        return not root.listdir(path)
    except TreeError:
        return False


def _listed(volumes: Sequence[GuestVolume]) -> str:
    names = (f"{v.name} ({', '.join(filter(None, (v.kind, v.label)))})" for v in volumes)
    return ", ".join(names) or "none"
