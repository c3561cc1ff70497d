"""What an engine offers: the volumes of a disk, and the file system on each of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from imgkit.errors import LockedVolumeError, TreeError, UnsupportedError
from imgkit.filesystem.probe import probe
from imgkit.storage.device import Window
from imgkit.units import ByteRange
from imgkit.volumes.model import Member
from imgkit.volumes.registry import assemble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.errors import ImgkitError
    from imgkit.filesystem.base import FileSystem
    from imgkit.partition.model import Partition, PartitionTable
    from imgkit.storage.device import BlockDevice
    from imgkit.volumes.model import LogicalVolume

WHOLE_DISK = "/dev/sda"
SUBVOLUME_PREFIX = "btrfsvol:"  # as libguestfs names them


@dataclass(frozen=True, slots=True)
class GuestVolume:
    """A partition, a logical volume or a whole disk: whatever can hold one file system.

    `name` is what the guest calls it if this is its first disk: /dev/sda3, /dev/vg/root. `kind` is its type as blkid
    says it ("" where it holds nothing that is known). `number` is the partition's, 0 for other volumes. `extents` are
    the bytes of the disk that it takes, none where that is not known. `group` is the volume group that a physical
    volume belongs to. `problem` says why a logical volume is not served by the engine, "" where it is. `subvolume` is
    the path of a btrfs subvolume, "/" for the top level, "" where it is not known, and `subvolume_id` its number.
    `mapper_uuid` is a logical volume's UUID to device-mapper, as in /dev/disk/by-id/dm-uuid-LVM-...
    """

    name: str
    kind: str
    size: int
    uuid: str = ""
    label: str = ""
    number: int = 0
    partuuid: str = ""
    partlabel: str = ""
    type_id: str = ""
    extents: tuple[ByteRange, ...] = ()
    group: str = ""
    problem: str = ""
    subvolume: str = ""
    subvolume_id: int = 0
    mapper_uuid: str = ""

    @property
    def is_default(self) -> bool:
        """Whether it is what is mounted where no subvolume is named."""
        return not self.name.startswith(SUBVOLUME_PREFIX)

    @property
    def device(self) -> str:
        """The name without that of a subvolume: what volumes of one file system have in common."""
        return self.name if self.is_default else self.name.removeprefix(SUBVOLUME_PREFIX).removesuffix(self.subvolume)


def read_only_error(volume: GuestVolume, path: str) -> TreeError:
    """What an engine raises for an edit where Linux has mounted a volume that cannot be written to."""
    what = "btrfs subvolume" if volume.kind == "btrfs" else f"{volume.kind} file system"
    return TreeError(
        f"cannot be changed: the {what} {volume.name} is read-only",
        path=path,
        hint="Transactional systems, such as openSUSE MicroOS, change files in a new snapshot: use "
        "`transactional-update` in the guest.",
    )


class Engine(Protocol):
    """Serves an installed guest's file systems; two of them are alike to all who use them."""

    @property
    def name(self) -> str:
        """As `--engine` takes it."""
        ...

    @property
    def notices(self) -> tuple[str, ...]:
        """Facts about the volumes opened so far that whoever edits the image should hear."""
        ...

    def volumes(self) -> tuple[GuestVolume, ...]:
        """All volumes of the disk, in the order of their names."""
        ...

    def open(self, volume: GuestVolume, /) -> FileSystem:
        """The file system of a volume; the same object each time.

        Raises UnsupportedError for what this engine does not serve, FormatError for what is damaged.
        """
        ...

    def finish(self) -> None:
        """Bring all that was staged into the image's overlay. No file system can be used afterwards."""
        ...

    def close(self) -> None:
        """Let go of everything; what `finish` has not saved is dropped."""
        ...


def check_mountable(volume: GuestVolume, problem: str = "") -> None:
    """Raise UnsupportedError for a volume that cannot hold a file system; `problem` is why nothing was made of it."""
    if volume.kind == "crypto_LUKS" and not problem:
        raise LockedVolumeError(
            f"{volume.name} is encrypted (LUKS), and no key that was given opens it",
            hint="Give its passphrase with --key-file FILE.",
        )
    if volume.kind in ("", "swap", "unknown", "crypto_LUKS") or volume.kind.endswith("_member"):
        why = f"; {problem}" if problem else ""
        raise UnsupportedError(
            f"{volume.name} holds no file system (it is {volume.kind or 'unknown'}){why}",
            hint="`imgkit inspect` shows which volumes of the image hold file systems.",
        )


def disk_volumes(disk: BlockDevice, table: PartitionTable) -> Iterator[tuple[GuestVolume, Window]]:
    """All partitions, or the disk itself where it has no table, and where each lies."""
    if not table.partitions:
        window = Window(disk, ByteRange(0, disk.size))
        yield _volume(WHOLE_DISK, window, None), window
    for partition in table.partitions:
        if not partition.extended:
            window = Window(disk, partition.where)
            yield _volume(f"{WHOLE_DISK}{partition.number}", window, partition), window


@dataclass(frozen=True, slots=True)
class VolumeSearch:
    """All volumes of a disk, logical ones too, in the order of their names; and what they are made of, by name.

    A volume without a device is not served natively: `problems` says why.
    """

    volumes: tuple[GuestVolume, ...]
    devices: dict[str, BlockDevice]
    read_only: frozenset[str]
    problems: dict[str, ImgkitError]
    notices: tuple[str, ...]


def search_volumes(disk: BlockDevice, table: PartitionTable) -> VolumeSearch:
    """All partitions, or the disk itself where it has no table, and the logical volumes on them."""
    plain = list(disk_volumes(disk, table))
    assembly = assemble([Member(volume.name, volume.kind, window) for volume, window in plain])
    starts = {volume.name: volume.extents[0].start for volume, _ in plain}
    logical = sorted((_logical(each, starts) for each in assembly.volumes), key=lambda volume: volume.name)
    own = {each.name: each.problem for each in assembly.volumes if each.problem}
    return VolumeSearch(
        volumes=(*(replace(volume, group=assembly.groups.get(volume.name, "")) for volume, _ in plain), *logical),
        devices={
            **{volume.name: window for volume, window in plain},
            **{each.name: each.device for each in assembly.volumes if each.device is not None},
        },
        read_only=frozenset(each.name for each in assembly.volumes if not each.writable),
        problems={**assembly.problems, **own},
        notices=assembly.notices,
    )


def _volume(name: str, window: Window, partition: Partition | None) -> GuestVolume:
    volume = GuestVolume(name, *_identity(window))
    if partition is None:
        return replace(volume, extents=(ByteRange(0, window.size),))
    return replace(
        volume,
        number=partition.number,
        partuuid=partition.partuuid,
        partlabel=partition.name,
        type_id=partition.type_id,
        extents=(partition.where,),
    )


def _logical(volume: LogicalVolume, starts: dict[str, int]) -> GuestVolume:
    where = ((starts[extent.member], extent.where) for extent in volume.extents)
    extents = tuple(ByteRange(start + inner.start, start + inner.stop) for start, inner in where)
    found = GuestVolume(volume.name, "", volume.size, extents=extents, mapper_uuid=volume.mapper_uuid)
    if volume.device is None:
        return replace(found, problem=volume.problem.message if volume.problem else "")
    kind, _, uuid, label = _identity(volume.device)
    return replace(found, kind=kind, uuid=uuid, label=label)


def _identity(device: BlockDevice) -> tuple[str, int, str, str]:
    """Type, size, UUID and label."""
    identity = probe(device)
    return (identity.kind, device.size, identity.uuid, identity.label) if identity else ("", device.size, "", "")
