"""The volumes and file systems of one image, in a kernel."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING

from imgkit.errors import EngineError, UnsupportedError
from imgkit.filesystem.probe import probe
from imgkit.guest.engines.choice import EngineChoice
from imgkit.guest.engines.layer import replay
from imgkit.guest.engines.uml.filesystem import UmlFileSystem
from imgkit.guest.engines.uml.machine import Machine, Refused
from imgkit.guest.engines.uml.shelf import Shelf
from imgkit.guest.volume import SUBVOLUME_PREFIX, WHOLE_DISK, GuestVolume, check_mountable, search_volumes
from imgkit.storage.overlay import Overlay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.formats.image import Image
    from imgkit.guest.volume import VolumeSearch
    from imgkit.partition.model import PartitionTable

_MOST_LEVELS = 4  # of volumes in volumes: LVM on LUKS on RAID and one more
_TOOLS = {"LVM2_member": "lvm2", "linux_raid_member": "mdadm", "crypto_LUKS": "cryptsetup-bin"}
_LUKS = "crypto_LUKS"
# A copy of an XFS in the same image may be mounted; FAT's modes and names as the native engine has them.
_OPTIONS = {"xfs": "nouuid", "vfat": "umask=022,utf8"}
_MEMORY, _MEMORY_FOR_LUKS2 = 192, 1400  # MiB; argon2id may ask for 1 GiB


class MachineKeeper:
    """A kernel that serves images that trust each other, one after another; started for the first that needs it."""

    engine = EngineChoice.UML

    def __init__(self) -> None:
        self._machine: Machine | None = None

    def take(self, memory: int) -> Machine:
        """The kernel, with nothing on its shelf and at least so many MiB of memory."""
        if self._machine is not None and self._machine.memory < memory:
            self.close()
        if self._machine is None:
            self._machine = Machine(Shelf(), memory=memory)
        return self._machine

    def give_back(self) -> None:
        """Take down what an image has left, whatever its file systems were in the middle of; else kill the kernel."""
        if self._machine is None:
            return
        try:
            self._machine.call("end")
            self._machine.shelf.clear()
        except (EngineError, Refused):
            self.close()

    def close(self) -> None:
        """Kill the kernel. The next image gets another one."""
        if self._machine is not None:
            self._machine.close()
            self._machine = None


class UmlEngine:
    """File systems in a kernel, started at once. `keys` are tried on every LUKS volume.

    `now` is the time, in seconds, that edited files are stamped with; Linux keeps its own time elsewhere. `keeper` has
    a kernel for several images in turn; without one the kernel is the engine's own.
    """

    name = "uml"

    def __init__(
        self,
        image: Image,
        table: PartitionTable,
        *,
        now: int,
        keys: Sequence[str] = (),
        keeper: MachineKeeper | None = None,
    ) -> None:
        self._now = now
        self._disk = image.disk
        self._layer = Overlay(image.disk)
        found = search_volumes(self._layer, table)
        volumes = _served_here(found)
        self._keeper = keeper
        memory = _memory(volumes, keys)
        self._machine = keeper.take(memory) if keeper else Machine(Shelf(), memory=memory)
        self._is_closed = False
        self._open: dict[str, UmlFileSystem] = {}
        self._paths: dict[str, str] = {}
        self._read_only = found.read_only
        self._problems: dict[str, str] = {}
        try:
            places = [self._machine.shelf.put(found.devices[volume.name]) for volume in volumes]
            self._machine.call("partitions", *(f"{place.start}:{place.size}" for place in places))
            self._paths = {volume.name: f"/dev/vda{number}" for number, volume in enumerate(volumes, 1)}
            self._volumes = tuple(self._with_subvolumes(self._with_assembled(volumes, keys)))
        except Refused as error:
            self.close()
            raise EngineError(f"the uml engine cannot read the disk: {error.message}") from error
        except BaseException:
            self.close()
            raise

    @property
    def notices(self) -> tuple[str, ...]:
        """Nothing: Linux tells its log."""
        return ()

    def volumes(self) -> tuple[GuestVolume, ...]:
        """All partitions, logical volumes, RAID devices, unlocked LUKS volumes and btrfs subvolumes."""
        return self._volumes

    def open(self, volume: GuestVolume, /) -> UmlFileSystem:
        """The file system of a volume, mounted in the kernel."""
        if volume.name not in self._open:
            check_mountable(volume, self._problems.get(volume.name, ""))
            mount = len(self._open)
            options = f"subvolid={volume.subvolume_id}" if volume.subvolume_id else ""
            try:
                self._mount(volume, options, mount)
            except Refused as error:
                raise UnsupportedError(
                    f"{volume.name} cannot be mounted by the uml engine: {error.message} ({volume.kind})",
                    hint="It may be damaged, or newer than the kernel: check it, or use --engine guestfs.",
                ) from error
            self._open[volume.name] = UmlFileSystem(self._machine, mount, volume, self._now)
        return self._open[volume.name]

    def finish(self) -> None:
        """Unmount all, and bring what the kernel wrote into the image's overlay."""
        self._open.clear()
        try:
            self._machine.call("end")
        except Refused as error:
            raise EngineError(f"the uml engine's kernel did not unmount cleanly: {error.message}") from error
        replay(self._layer.written(), self._layer, self._disk)
        self.close()

    def close(self) -> None:
        """Kill the kernel, or make it ready for the next image."""
        if self._keeper is None:
            self._machine.close()
        elif not self._is_closed:
            self._keeper.give_back()
        self._is_closed = True

    def _mount(self, volume: GuestVolume, options: str, number: int) -> None:
        mode = "ro" if volume.name in self._read_only else "rw"
        options = options or _OPTIONS.get(volume.kind, "")
        self._machine.call("mount", self._paths[volume.name], volume.kind, options, number, mode)

    def _with_assembled(self, volumes: list[GuestVolume], keys: Sequence[str]) -> list[GuestVolume]:
        """The volumes, and those that are made of them, and those that are made of these."""
        done: set[str] = set()
        for _ in range(_MOST_LEVELS):
            members = [
                volume for volume in volumes if volume.kind in _TOOLS and not volume.group and volume.name not in done
            ]
            if not members:
                break
            done |= {volume.name for volume in members}
            for kind in sorted({volume.kind for volume in members} - {_LUKS}):
                self._assemble(kind, volumes, [volume for volume in members if volume.kind == kind])
            for volume in members:
                if volume.kind == _LUKS:
                    self._unlock(volume, volumes, keys)
        return volumes

    def _assemble(self, kind: str, volumes: list[GuestVolume], members: list[GuestVolume]) -> None:
        problem = ""
        try:
            fields = self._machine.call("assemble", kind)
            if not self._add(volumes, fields):
                lines = fields[0].decode(errors="replace").strip().splitlines()
                problem = f"nothing could be made of it: {lines[-1].strip() if lines else 'no reason given'}"
        except Refused as error:
            problem = _missing(kind, error) if error.code == errno.ENOENT else error.message
        if problem:
            self._problems |= dict.fromkeys((volume.name for volume in members), problem)

    def _unlock(self, volume: GuestVolume, volumes: list[GuestVolume], keys: Sequence[str]) -> None:
        """Try the keys; a volume that stays locked says so when it is opened."""
        for key in keys:
            try:
                fields = self._machine.call("unlock", self._paths[volume.name], f"luks-{volume.uuid}", key)
            except Refused as error:
                if error.code == errno.ENOENT:
                    self._problems[volume.name] = _missing(_LUKS, error)
                    return
            else:
                volumes[volumes.index(volume)] = replace(volume, group=f"luks-{volume.uuid}")
                self._add(volumes, fields)
                return

    def _add(self, volumes: list[GuestVolume], fields: list[bytes]) -> int:
        """Add the volumes of an answer that are not known yet; how many these are."""
        before = len(volumes)
        for field in fields[1:]:
            path, name, size = field.decode(errors="replace").split("\0")
            if name in self._paths:
                continue
            self._paths[name] = path
            identity = probe(_GuestDevice(self._machine, path, int(size)))
            told = (identity.kind, int(size), identity.uuid, identity.label) if identity else ("", int(size))
            volumes.append(GuestVolume(name, *told))
        return len(volumes) - before

    def _with_subvolumes(self, volumes: list[GuestVolume]) -> Iterator[GuestVolume]:
        for volume in volumes:
            if volume.kind == "btrfs":
                yield from self._subvolumes(volume)
            else:
                yield volume

    def _subvolumes(self, volume: GuestVolume) -> Iterator[GuestVolume]:
        """The default subvolume under the volume's own name, and the others under theirs."""
        number = 1 << 20  # no other mount has it
        try:
            self._mount(volume, "subvolid=5", number)
            fields = self._machine.call("subvolumes", number)
            self._machine.call("unmount", number)
        except Refused:
            yield volume  # opening it will say what is wrong
            return
        others = []
        for field in fields:
            identifier, raw, flags = field.split(b"\0")
            path = raw.decode(errors="surrogateescape")
            if b"d" in flags:
                yield replace(volume, subvolume=path, subvolume_id=int(identifier))
            else:
                name = f"{SUBVOLUME_PREFIX}{volume.name}{path}"
                self._paths[name] = self._paths[volume.name]
                others.append(replace(volume, name=name, size=0, subvolume=path, subvolume_id=int(identifier)))
        yield from sorted(others, key=lambda other: other.name)


class _GuestDevice:
    """A block device in the kernel, to be read."""

    def __init__(self, machine: Machine, path: str, size: int) -> None:
        self._machine = machine
        self._path = path
        self.size = size

    def read_at(self, offset: int, length: int, /) -> bytes:
        """The `length` bytes at `offset`."""
        (data,) = self._machine.call("device-read", self._path, offset, length)
        return data.ljust(length, b"\0")


def _served_here(found: VolumeSearch) -> list[GuestVolume]:
    """The volumes of the disk, without the logical ones where some of them are left to the host's lvm."""
    if not any(volume.problem for volume in found.volumes):
        return list(found.volumes)
    return [replace(volume, group="") for volume in found.volumes if volume.number or volume.name == WHOLE_DISK]


def _memory(volumes: Sequence[GuestVolume], keys: Sequence[str]) -> int:
    """Mebibytes for the kernel; they are taken when they are used."""
    return _MEMORY_FOR_LUKS2 if keys and any(volume.kind == _LUKS for volume in volumes) else _MEMORY


def _missing(kind: str, error: Refused) -> str:
    return f"the uml engine needs {_TOOLS[kind]} for it ({error.message}; Debian: apt install {_TOOLS[kind]})"
