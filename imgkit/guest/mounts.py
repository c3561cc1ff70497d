"""What an installed system mounts where: fstab, mount units, partitions that need neither, and what ostree binds.

Where /boot is on a volume that none of them leads to, because fstab names hardware that is not here or because the
distribution mounts it in a way of its own, as OpenWrt does, it is the one volume left that holds a boot loader's files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.errors import FormatError, TreeError, UnsupportedError
from imgkit.guest.fstab import find_volumes, parse_fstab, parse_mount_unit
from imgkit.guest.joined import JoinedTree
from imgkit.guest.ostree import var_of
from imgkit.guest.roots import Place, listed, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.filesystem.base import FileSystem
    from imgkit.guest.fstab import Mount
    from imgkit.guest.volume import Engine, GuestVolume

# Discoverable Partitions Specification: partitions that are mounted without a line in fstab.
# https://uapi-group.org/specifications/specs/discoverable_partitions_specification/
_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_XBOOTLDR = "BC13C2FF-59E6-4262-A352-B275FD6F7172"

_UNITS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_BOOT_UNITS = ("boot.mount", "boot-efi.mount", "efi.mount")
_BOOT = "/boot"
# What a volume for /boot holds: at its top, or, for OpenWrt, in its own folder /boot.
_ESP_POINTS = ("/efi", "/boot/efi")
_BOOT_MARKS = ("grub/grub.cfg", "grub2/grub.cfg", "extlinux/extlinux.conf", "loader/entries", "grub/menu.lst")


def find_mounts(root: Place, engine: Engine) -> tuple[dict[str, Place], list[str]]:
    """What the system on `root` mounts, by mount point, without "/"; and what could not be followed."""
    volumes, file_system = engine.volumes(), root.open(engine)
    mounts: dict[str, Place] = dict(_of_ostree(root))
    notices: list[str] = []
    for mount in (*parse_fstab(read_text(file_system, "/etc/fstab")), *_mount_units(file_system)):
        if mount.point == "/" or mount.point in mounts:
            continue
        named = find_volumes(mount.source, volumes, essential=_is_essential(mount.point))
        match [volume for volume in named if volume.kind != "btrfs" or mount.is_of(volume)]:
            case [volume]:
                mounts[mount.point] = Place(volume)
            case []:
                notices.append(f"{mount.point}: {mount.source} of fstab is not on this disk")
            case several:
                notices.append(f"{mount.point}: {mount.source} of fstab is not unique: {listed(several)}")
    for point, volume in _discoverable(file_system, volumes):
        if point not in mounts and volume not in [place.volume for place in mounts.values()]:
            mounts[point] = Place(volume)
    if _BOOT not in mounts and (place := _left_over(root, mounts, engine)) is not None:
        mounts[_BOOT] = place
        notices = [notice for notice in notices if not notice.startswith(f"{_BOOT}: ")]
        notices.append(f"{_BOOT} is assumed to be {place.volume.name}, the only volume with boot loader files")
    return mounts, notices


def _is_essential(point: str) -> bool:
    return point in (_BOOT, "/efi", "/usr") or point.startswith(f"{_BOOT}/")


def _mount_units(file_system: FileSystem) -> Iterator[Mount]:
    """What systemd's mount units for /boot and the ESP say, which stand in for lines of fstab."""
    for name in _BOOT_UNITS:
        text = next((text for folder in _UNITS if (text := read_text(file_system, f"{folder}/{name}"))), "")
        mount = parse_mount_unit(text)
        if mount is not None:
            yield mount


def _of_ostree(root: Place) -> Iterator[tuple[str, Place]]:
    """What a deployment sees of the file system that it lies in."""
    if root.folder != "/":
        yield "/sysroot", Place(root.volume)
        yield "/var", Place(root.volume, var_of(root.folder))


def _discoverable(root: FileSystem, volumes: Sequence[GuestVolume]) -> Iterator[tuple[str, GuestVolume]]:
    """What systemd mounts by partition type: XBOOTLDR at /boot, the ESP at /efi or, without XBOOTLDR, at /boot."""
    esp = [volume for volume in volumes if volume.type_id == _ESP and volume.kind == "vfat"]
    extended = [volume for volume in volumes if volume.type_id == _XBOOTLDR]
    if len(extended) == 1 and _is_empty_directory(root, _BOOT):
        yield _BOOT, extended[0]
    if len(esp) == 1:
        for point in ("/efi", "/boot/efi", _BOOT):
            if not (point == _BOOT and extended) and _is_empty_directory(root, point):
                yield point, esp[0]
                return


def _left_over(root: Place, mounts: dict[str, Place], engine: Engine) -> Place | None:
    """The one volume with a boot loader's files that nothing mounts; None where the root or the ESP has some."""
    tree = JoinedTree({"/": lambda: root.open(engine)})
    esp = [place for point, place in mounts.items() if point in _ESP_POINTS]
    if any(tree.exists(f"{_BOOT}/{mark}") for mark in _BOOT_MARKS) or any(_has_marks(e, engine, "") for e in esp):
        return None
    inner = Place(root.volume, _BOOT)
    if root.folder != "/" and _has_marks(inner, engine, ""):
        return inner
    taken = {root.volume.name, *(place.volume.name for place in mounts.values())}
    rest = [v for v in engine.volumes() if v.name not in taken and v.kind not in ("", "swap") and v.is_default]
    found = [Place(v, folder or "/") for v in rest for folder in ("", _BOOT) if _has_marks(Place(v), engine, folder)]
    return found[0] if len(found) == 1 else None


def _has_marks(place: Place, engine: Engine, folder: str) -> bool:
    try:
        tree = JoinedTree({"/": lambda: place.open(engine)})
        return any(tree.exists(f"{folder}/{mark}") for mark in _BOOT_MARKS)
    except (UnsupportedError, FormatError, TreeError):
        return False


def _is_empty_directory(root: FileSystem, path: str) -> bool:
    try:
        return not root.listdir(path)
    except TreeError:
        return False
