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
# The first disk under every driver: IDE, SCSI and SATA, virtio, Xen, NVMe, SD cards.
_FIRST_DISK = re.compile(r"/dev/(?:[shv]da|xvda|nvme0n1p?|mmcblk0p?)(?P<number>\d*)")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of fstab that mounts a file system of a disk: mount point, what, file system type, options."""

    point: str
    source: str
    kind: str
    options: tuple[str, ...]


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


def find_volumes(source: str, volumes: Sequence[GuestVolume]) -> list[GuestVolume]:
    """The volumes that a source in fstab can mean: none if it is on another disk, several if a UUID is not unique."""
    if tagged := _TAG.fullmatch(source):
        return _with_tag(tagged["tag"], tagged["value"], volumes)
    if linked := _BY_LINK.fullmatch(source):
        value = _UDEV_ESCAPE.sub(lambda match: chr(int(match[1], 16)), linked["value"])
        return _with_tag(linked["tag"].upper(), value, volumes)
    if disk := _FIRST_DISK.fullmatch(source):
        number = int(disk["number"] or 0)
        return [volume for volume in volumes if volume.number == number and volume.name.startswith("/dev/sda")]
    return [volume for volume in volumes if source in _names(volume)]


def _with_tag(tag: str, value: str, volumes: Sequence[GuestVolume]) -> list[GuestVolume]:
    field = tag.lower()
    if tag in ("UUID", "PARTUUID"):
        return [volume for volume in volumes if value and getattr(volume, field).lower() == value.lower()]
    return [volume for volume in volumes if value and getattr(volume, field) == value]


def _names(volume: GuestVolume) -> Iterator[str]:
    yield volume.name
    # A logical volume is /dev/group/volume, and group-volume, hyphens doubled, to device-mapper.
    parts = volume.name.removeprefix("/dev/").split("/")
    if len(parts) == 2:  # noqa: PLR2004
        mapped = "-".join(part.replace("-", "--") for part in parts)
        yield f"/dev/mapper/{mapped}"
        yield f"/dev/disk/by-id/dm-name-{mapped}"
