"""The guestfs engine: what the native engine does not serve, served by Linux itself in libguestfs's appliance.

XFS, btrfs, LVM, RAID, LUKS with a key, file systems whose journal has to be recovered.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from imgkit.errors import PathNotFoundError, TreeError
from imgkit.guest.engines.guestfs.appliance import Appliance, translated
from imgkit.guest.volume import SUBVOLUME_PREFIX, GuestVolume, check_mountable, disk_volumes, read_only_error
from imgkit.tree import FileType, Stat, refuse_large, relabelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from imgkit.formats.image import Image
    from imgkit.partition.model import PartitionTable
    from imgkit.tree import Attributes

_PARTS = ("_member", "_LUKS")  # kinds of volumes that something is assembled from
_CHUNK = 1 << 20
_OUR_DISK = "/dev/sda"
# The binding passes no errno on; the appliance has no locale but C.
_READ_ONLY = "Read-only file system"
_NOT_THERE = ("No such file or directory", "Not a directory")


class GuestfsEngine:
    """File systems in the appliance, started at once. `keys` are tried on every LUKS volume.

    `now` is the time, in seconds, that edited files are stamped with; Linux keeps its own time elsewhere. `shared` is
    an appliance that is already running and has the image among its drives; whoever started it closes it.
    """

    name = "guestfs"

    def __init__(
        self,
        image: Image,
        table: PartitionTable,
        *,
        now: int,
        keys: Sequence[str] = (),
        shared: Appliance | None = None,
    ) -> None:
        self._now = now
        self._image = image
        self._appliance = shared or Appliance((image,))
        self._is_ours = shared is None
        self._handle: Any = self._appliance.handle
        self._open: dict[str, GuestfsFileSystem] = {}
        try:
            self._device = self._appliance.turn_to(image)
            with translated("the appliance cannot read the disk"):
                self._volumes = tuple(self._find_volumes(image, table, keys))
        except BaseException:
            self.close()
            raise

    @property
    def notices(self) -> tuple[str, ...]:
        """Nothing: Linux tells its log."""
        return ()

    def volumes(self) -> tuple[GuestVolume, ...]:
        """All partitions, logical volumes and RAID devices."""
        return self._volumes

    def open(self, volume: GuestVolume, /) -> GuestfsFileSystem:
        """The file system of a volume, mounted in the appliance."""
        if volume.name not in self._open:
            check_mountable(volume)
            point = (
                f"/{self._device.rpartition('/')[2]}-{len(self._open)}"  # no two images of an appliance have the same
            )
            with translated(f"{volume.name} cannot be mounted"):
                self._handle.mkmountpoint(point)
                self._handle.mount_options("noatime", self._there(volume.name), point)
            self._open[volume.name] = GuestfsFileSystem(self._handle, point, volume, self._appliance.folder, self._now)
        return self._open[volume.name]

    def finish(self) -> None:
        """Unmount all, and bring what the appliance wrote into the image's overlay."""
        self._open.clear()
        self._appliance.replay(self._image)
        self.close()

    def close(self) -> None:
        """Kill the appliance, unless it serves others too."""
        if self._is_ours:
            self._appliance.close()

    def _there(self, name: str) -> str:
        """What the appliance calls a volume of the image's own disk, which is `/dev/sda` to us."""
        return re.sub(rf"^(btrfsvol:)?{_OUR_DISK}(?=\d|$)", rf"\g<1>{self._device}", name)

    def _find_volumes(self, image: Image, table: PartitionTable, keys: Sequence[str]) -> Iterator[GuestVolume]:
        """Partitions are told by our own reading: libguestfs's `list_filesystems` takes seconds under emulation."""
        plain = [volume for volume, _ in disk_volumes(image.disk, table)]
        yield from plain
        if any(volume.kind.endswith(_PARTS) for volume in plain):
            assembled = self._assembled()
            if self._unlock([*plain, *assembled], keys):
                assembled = self._assembled()
            yield from assembled
        for volume in plain:
            if volume.kind == "btrfs":
                for subvolume in self._handle.btrfs_subvolume_list(self._there(volume.name)):
                    name = f"{SUBVOLUME_PREFIX}{volume.name}/{subvolume['btrfssubvolume_path']}"
                    path = f"/{subvolume['btrfssubvolume_path']}"
                    yield replace(
                        volume, name=name, size=0, subvolume=path, subvolume_id=subvolume["btrfssubvolume_id"]
                    )

    def _assembled(self) -> list[GuestVolume]:
        """Logical volumes, arrays and what was unlocked."""
        handle = self._handle
        return [
            GuestVolume(
                name,
                self._property(handle.vfs_type, name),
                handle.blockdev_getsize64(name),
                self._property(handle.vfs_uuid, name),
                self._property(handle.vfs_label, name),
            )
            for name in sorted({*handle.lvs(), *handle.list_md_devices(), *handle.list_dm_devices()})
        ]

    def _unlock(self, volumes: Sequence[GuestVolume], keys: Sequence[str]) -> bool:
        """Try every key on every LUKS volume; whether any could be tried."""
        locked = [volume.name for volume in volumes if volume.kind == "crypto_LUKS"]
        for index, (device, key) in enumerate((device, key) for device in locked for key in keys):
            try:
                self._handle.cryptsetup_open(self._there(device), key, f"luks{index}")
            except RuntimeError:
                continue  # a key of another volume; one that stays locked says so when it is opened
        if locked and keys:
            self._handle.lvm_scan(True)
        return bool(locked and keys)

    @staticmethod
    def _property(call: Any, name: str) -> str:
        try:
            return str(call(name))
        except RuntimeError:
            return ""


class GuestfsFileSystem:
    """One file system, mounted at `point` in the appliance (see `imgkit.filesystem.base.FileSystem`)."""

    def __init__(self, handle: Any, point: str, volume: GuestVolume, folder: Path, now: int) -> None:
        self._handle = handle
        self._point = point
        self._volume = volume
        self._transfer = folder / "transfer"
        self._now = now

    @property
    def kind(self) -> str:
        """Its type as blkid says it."""
        return self._volume.kind

    @property
    def uuid(self) -> str:
        """Its UUID."""
        return self._volume.uuid

    @property
    def label(self) -> str:
        """Its label."""
        return self._volume.label

    def read(self, path: str, /) -> bytes:
        """Contents of a regular file of at most READ_LIMIT bytes; `read_chunks` has no limit."""
        refuse_large(self.stat(path).size, path)
        return b"".join(self.read_chunks(path))

    def read_chunks(self, path: str, /) -> Iterator[bytes]:
        """Contents of a regular file in pieces of 1 MiB."""
        self._require(path, FileType.FILE, "is not a regular file")
        with self._errors(path):
            self._handle.download(self._point + path, str(self._transfer))
        with self._transfer.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def write(self, path: str, data: bytes, /) -> None:
        """Replace the contents of a regular file, or create it."""
        is_new = not self.exists(path)
        if not is_new:
            self._require(path, FileType.FILE, "is not a regular file")
        self._transfer.write_bytes(data)
        with self._errors(path):
            self._handle.upload(str(self._transfer), self._point + path)
            if is_new:
                self._settle_new_file(path)
            self._stamp(path)

    def exists(self, path: str, /) -> bool:
        """Whether there is anything at the path, be it a link that leads nowhere."""
        try:
            self.stat(path)
        except PathNotFoundError:
            return False
        return True

    def listdir(self, path: str, /) -> list[str]:
        """Sorted names in a directory."""
        self._require(path, FileType.DIRECTORY, "is not a directory")
        with self._errors(path):
            return sorted(self._names(self._point + path))

    def stat(self, path: str, /, *, follow: bool = False) -> Stat:  # noqa: ARG002 - no link is followed here
        """Metadata of what is at the path."""
        with self._errors(path):
            found = self._handle.lstatns(self._point + path)
        mode = found["st_mode"]
        return Stat(
            _TYPES.get(mode & 0o170000, FileType.OTHER),
            mode & 0o7777,
            found["st_uid"],
            found["st_gid"],
            found["st_size"],
            found["st_mtime_sec"],
        )

    def readlink(self, path: str, /) -> str:
        """Target of a symbolic link."""
        self._require(path, FileType.LINK, "is not a symbolic link")
        with self._errors(path):
            return str(self._handle.readlink(self._point + path))

    def symlink(self, target: str, path: str, /) -> None:
        """Make a symbolic link."""
        with self._errors(path):
            self._handle.ln_s(target, self._point + path)
            self._settle_owner(path)
            self._stamp(path)

    def mkdir(self, path: str, /) -> None:
        """Make one directory."""
        with self._errors(path):
            self._handle.mkdir(self._point + path)
            self._handle.chmod(0o755, self._point + path)
            self._settle_owner(path)
            self._stamp(path)

    def remove(self, path: str, /) -> None:
        """Remove a file, a link, or an empty directory."""
        is_directory = self.stat(path).type is FileType.DIRECTORY
        with self._errors(path):
            (self._handle.rmdir if is_directory else self._handle.rm)(self._point + path)

    def set_attributes(self, path: str, attributes: Attributes, /) -> None:
        """Set mode, owner and, where there is one, the SELinux label's type."""
        inner = self._point + path
        with self._errors(path):
            try:
                self._handle.lchown(attributes.uid, attributes.gid, inner)
                self._handle.chmod(attributes.mode, inner)
            except RuntimeError as error:
                if str(error).endswith(os.strerror(errno.EPERM)):  # FAT has neither
                    return
                raise
            label = self._label(inner) if attributes.label else b""
            if label:
                label = relabelled(label, attributes.label)
                self._handle.lsetxattr("security.selinux", label, len(label), inner)

    def flush(self) -> None:
        """Have Linux write everything to the layer."""
        with translated("the appliance cannot sync"):
            self._handle.sync()

    def close(self) -> None:
        """Nothing to let go of: the appliance ends with its engine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _names(self, folder: str) -> list[str]:
        # `ls` passes its result through UTF-8, which not all names are.
        self._handle.ls0(folder, str(self._transfer))
        return [os.fsdecode(name) for name in self._transfer.read_bytes().split(b"\0")[:-1]]

    def _require(self, path: str, kind: FileType, otherwise: str) -> None:
        if self.stat(path).type is not kind:
            raise TreeError(otherwise, path=path)

    def _settle_new_file(self, path: str) -> None:
        self._handle.chmod(0o644, self._point + path)
        self._settle_owner(path)

    def _settle_owner(self, path: str) -> None:
        """Give something new its directory's owner, and the SELinux label of its neighbours."""
        parent = path.rpartition("/")[0] or "/"
        stat = self.stat(parent)
        self._handle.lchown(stat.uid, stat.gid, self._point + path)
        if label := self._neighbours_label(parent, path):
            self._handle.lsetxattr("security.selinux", label, len(label), self._point + path)

    def _neighbours_label(self, parent: str, path: str) -> bytes:
        """The label of a regular file beside the new one, else of the directory."""
        folder = self._point + ("" if parent == "/" else parent)
        own = path.rpartition("/")[2]
        beside = (name for name in sorted(self._names(folder)) if name != own)
        files = (f"{folder}/{name}" for name in beside if self._handle.is_file(f"{folder}/{name}"))
        return self._label(next(files, folder))

    def _label(self, inner: str) -> bytes:
        try:
            attributes = self._handle.lgetxattrs(inner)
        except RuntimeError:
            return b""  # a file system without extended attributes
        return next((bytes(a["attrval"]) for a in attributes if a["attrname"] == "security.selinux"), b"")

    def _stamp(self, path: str) -> None:
        self._handle.utimens(self._point + path, self._now, 0, self._now, 0)

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if str(error).endswith(_NOT_THERE):
                raise PathNotFoundError("no such file or directory", path=path) from error
            if str(error).endswith(_READ_ONLY):
                raise read_only_error(self._volume, path) from error
            raise TreeError(str(error), path=path) from error
        except UnicodeError as error:
            raise TreeError(
                "has a name that is not UTF-8, which libguestfs's Python binding cannot pass on",
                path=path,
                hint="Use --engine native if it serves the file system.",
            ) from error


_TYPES = {
    0o100000: FileType.FILE,
    0o040000: FileType.DIRECTORY,
    0o120000: FileType.LINK,
    0o020000: FileType.DEVICE,
    0o060000: FileType.DEVICE,
}
