"""What a volume manager is given, and what it makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgkit.errors import ImgkitError
    from imgkit.storage.device import BlockDevice
    from imgkit.units import ByteRange


@dataclass(frozen=True, slots=True)
class Member:
    """A partition or a whole disk that a volume manager has put its label on.

    `name` is what Linux calls it (/dev/sda5), `kind` its type as blkid says it (LVM2_member).
    """

    name: str
    kind: str
    device: BlockDevice


@dataclass(frozen=True, slots=True)
class Extent:
    """A run of bytes of a member, from which a logical volume is made."""

    member: str
    where: ByteRange


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    """A block device that a volume manager makes of parts of its members.

    `name` is what Linux calls it: /dev/GROUP/NAME; `mapper_uuid` is its UUID to device-mapper. `device` is None, and
    `problem` says why, where it is not served. `extents` are what it takes of its members, as far as that is known.
    """

    name: str
    group: str
    size: int
    device: BlockDevice | None
    writable: bool = True
    extents: tuple[Extent, ...] = ()
    problem: ImgkitError | None = None
    mapper_uuid: str = ""


@dataclass(frozen=True, slots=True)
class Assembly:
    """All that was made of some members.

    `groups` has the volume group of each member that belongs to one that is understood, `problems` why another member
    belongs to none; both by the member's name. `notices` are sentences for a person.
    """

    volumes: tuple[LogicalVolume, ...] = ()
    groups: dict[str, str] = field(default_factory=dict)
    problems: dict[str, ImgkitError] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
