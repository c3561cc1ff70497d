"""fstab: what a guest mounts where, and which volume each line means.

Source: fstab(5), and systemd-gpt-auto-generator(8) for what needs no line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.guest.volume import GuestVolume

_NOT_OF_A_DISK = frozenset(
    "swap tmpfs proc sysfs devpts devtmpfs cgroup cgroup2 debugfs nfs nfs4 cifs smb3 9p virtiofs overlay autofs ignore "
    "none efivarfs hugetlbfs mqueue securityfs tracefs configfs fusectl bpf pstore ramfs".split()
)
_ESCAPE = re.compile(r"\\([0-7]{3})")
_TAG = re.compile(r'(?P<tag>UUID|LABEL|PARTUUID|PARTLABEL)="?(?P<value>[^"]*)"?')
_BY_LINK = re.compile(r"/dev/disk/by-(?P<tag>uuid|label|partuuid|partlabel)/(?P<value>.+)")
_UDEV_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})")
_BY_HARDWARE = re.compile(r"/dev/disk/by-(?:id|path|diskseq)/.+-part(?P<number>\d+)")
# The first disk under every driver: IDE, SCSI and SATA, virtio, Xen, NVMe, SD cards.
_FIRST_DISK = re.compile(r"/dev/(?:[shv]da|xvda|nvme0n1p?|mmcblk0p?)(?P<number>\d*)")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of fstab that mounts a file system of a disk: mount point, what, file system type, options."""

    point: str
    source: str
    kind: str
    options: tuple[str, ...]

    @property
    def subvolume(self) -> str:
        """The subvolume of btrfs that the options name, by its path or its number; "" for the default one."""
        names = [o.partition("=")[2] for o in self.options if o.startswith(("subvol=", "subvolid="))]
        return next((name for name in names if not name.isdigit()), names[0] if names else "")

    def is_of(self, volume: GuestVolume) -> bool:
        """Whether the options mean this volume, of those that its source may be."""
        if not self.subvolume:
            return volume.is_default
        path, number = self.subvolume.strip("/"), f"{volume.subvolume_id}"
        return path == volume.subvolume.strip("/") or self.subvolume == number


def parse_fstab(text: str) -> list[Mount]:
    """The mounts that come from a disk, shortest mount point first. Lines that are no mounts are passed over."""
    mounts = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 3 or line.lstrip().startswith("#"):  # noqa: PLR2004
            continue
        source, point, kind = (_ESCAPE.sub(lambda match: chr(int(match[1], 8)), field) for field in fields[:3])
        options = tuple(fields[3].split(",")) if len(fields) > 3 else ()  # noqa: PLR2004
        bound = "bind" in options or "rbind" in options
        if point.startswith("/") and kind not in _NOT_OF_A_DISK and not bound:
            mounts.append(Mount("/" + point.strip("/"), source, kind, options))
    return sorted(mounts, key=lambda mount: mount.point)


def parse_mount_unit(text: str) -> Mount | None:
    """The mount that a systemd mount unit describes; None for what is none.

    https://www.freedesktop.org/software/systemd/man/latest/systemd.mount.html
    """
    settings = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and line[:1].isalpha())
    point, source = settings.get("Where", "").strip(), settings.get("What", "").strip()
    if not point.startswith("/") or not source:
        return None
    options = tuple(settings.get("Options", "").strip().split(","))
    return Mount("/" + point.strip("/"), source, settings.get("Type", "auto").strip(), options)


def find_volumes(source: str, volumes: Sequence[GuestVolume], *, essential: bool = False) -> list[GuestVolume]:
    """The volumes that a source in fstab can mean: none if it is on another disk, several if a UUID is not unique.

    A subvolume goes by what its volume is called. Names of the hardware (/dev/disk/by-id and the like) lead to a
    partition's number where the mount is `essential`: what a system boots from is on its first disk.
    """
    if tagged := _TAG.fullmatch(source):
        return _with_tag(tagged["tag"], tagged["value"], volumes)
    if linked := _BY_LINK.fullmatch(source):
        value = _UDEV_ESCAPE.sub(lambda match: chr(int(match[1], 16)), linked["value"])
        return _with_tag(linked["tag"].upper(), value, volumes)
    disk = _FIRST_DISK.fullmatch(source) or (_BY_HARDWARE.fullmatch(source) if essential else None)
    if disk:
        number = int(disk["number"] or 0)
        return [v for v in volumes if v.number == number and v.device.startswith("/dev/sda")]
    return [volume for volume in volumes if source in _names(volume)]


def _with_tag(tag: str, value: str, volumes: Sequence[GuestVolume]) -> list[GuestVolume]:
    field = tag.lower()
    if tag in ("UUID", "PARTUUID"):
        return [volume for volume in volumes if value and getattr(volume, field).lower() == value.lower()]
    return [volume for volume in volumes if value and getattr(volume, field) == value]


def _names(volume: GuestVolume) -> Iterator[str]:
    yield volume.device
    if volume.mapper_uuid:  # as Ubuntu Server's installer writes it
        yield f"/dev/disk/by-id/dm-uuid-{volume.mapper_uuid}"
    # A logical volume is /dev/group/volume, and group-volume, hyphens doubled, to device-mapper.
    parts = volume.device.removeprefix("/dev/").split("/")
    if len(parts) == 2:  # noqa: PLR2004
        mapped = "-".join(part.replace("-", "--") for part in parts)
        yield f"/dev/mapper/{mapped}"
        yield f"/dev/disk/by-id/dm-name-{mapped}"
