"""Edits of a FAT volume through FatFs (package fatfs-ng), and what FatFs does not do right set right afterwards.

FatFs allocates clusters and makes directory entries, with short names and long ones, in both copies of the table. It
is mounted for the length of one edit, because it keeps sectors in memory, and its wrapper knows one volume per slot.
It takes the time from the clock of the machine (without hours), and refuses read-only files that a kernel lets root
write: `stamp` and `set_attributes` write these fields of a directory entry themselves.

Reference: http://elm-chan.org/fsw/ff/ ; what was found when it was evaluated is in docs/decisions/022-fatfs.md.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from imgkit.errors import EngineError, OutputError, UnsupportedError
from imgkit.filesystem.fat import layout
from imgkit.filesystem.fat.directory import encode_time
from imgkit.filesystem.fat.volume import REPAIR_HINT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.filesystem.fat.volume import BootSector
    from imgkit.storage.device import BlockDevice

_WRITE, _CREATE_NEW = 0x02, 0x04
_DENIED = 7
_CLUSTERS_FOR_FAT32 = 65525


def require_editable(boot: BootSector) -> None:
    """UnsupportedError for a volume that FatFs would take for something else than it is."""
    if not boot.looks_standard:
        raise UnsupportedError("this FAT volume has an unusual boot sector; it can only be read", hint=REPAIR_HINT)
    if boot.bits == 32 and boot.cluster_count < _CLUSTERS_FOR_FAT32:  # noqa: PLR2004
        raise UnsupportedError(
            f"this FAT32 volume has only {boot.cluster_count:,} clusters; it can only be read",
            hint="Use the Linux driver: --engine uml or --engine guestfs.",
        )


def write_file(device: BlockDevice, boot: BootSector, path: bytes, data: bytes, *, create: bool) -> None:
    """Replace the contents of a file, or make it. OutputError where there is no room."""
    with _mounted(device, boot) as (fatfs, prefix):
        handle = fatfs.FIL_Handle()
        _raise_for("f_open", fatfs.pyf_open(handle, prefix + path, _WRITE | (_CREATE_NEW if create else 0)))
        _, written = fatfs.pyf_write(handle, data)
        if written != len(data):
            raise _full()
        _raise_for("f_truncate", fatfs.pyf_truncate(handle))
        _raise_for("f_close", fatfs.pyf_close(handle))


def make_directory(device: BlockDevice, boot: BootSector, path: bytes) -> None:
    """Make an empty directory. OutputError where there is no room."""
    with _mounted(device, boot) as (fatfs, prefix):
        _raise_for("f_mkdir", fatfs.pyf_mkdir(prefix + path))


def remove(device: BlockDevice, boot: BootSector, path: bytes) -> None:
    """Remove a file or an empty directory."""
    with _mounted(device, boot) as (fatfs, prefix):
        _raise_for("f_unlink", fatfs.pyf_unlink(prefix + path))


def stamp(device: BlockDevice, offset: int, now: int, *, created: bool) -> None:
    """Set the times of the directory entry at `offset`: last write and access, with `created` all of them."""
    time = encode_time(now).to_bytes(4, "little")
    device.write_at(offset + layout.WRITE_OFFSET, time)
    device.write_at(offset + layout.ACCESS_OFFSET, time[2:])
    if created:
        device.write_at(offset + layout.CREATION_OFFSET, bytes((now % 2 * 100,)) + time)


def set_attributes(device: BlockDevice, offset: int, attributes: int) -> None:
    """Set the attributes of the directory entry at `offset`."""
    device.write_at(offset + layout.ATTRIBUTE_OFFSET, bytes((attributes,)))


class _Disk:
    """A block device as the wrapper wants it: sectors, and counts in bytes.

    The wrapper reports success when one of these methods raises, so that failures are kept for later.
    """

    def __init__(self, device: BlockDevice, sector_size: int) -> None:
        self._device, self._sector_size = device, sector_size
        self._failure: BaseException | None = None

    def ioctl_get_sector_count(self) -> int:
        """Number of sectors."""
        return self._device.size // self._sector_size

    def ioctl_get_sector_size(self) -> int:
        """Bytes in a sector."""
        return self._sector_size

    def ioctl_get_block_size(self) -> int:
        """Erase block size in sectors, of which a disk has none."""
        return 1

    def ioctl_sync(self) -> None:
        """Nothing is cached here."""

    def read(self, sector: int, count: int) -> bytes:
        """`count` bytes from a sector on, zeros after a failure."""
        try:
            return self._device.read_at(sector * self._sector_size, count)
        except BaseException as failure:  # noqa: BLE001  raised by `raise_failure`
            self._failure = self._failure or failure
            return bytes(count)

    def write(self, sector: int, _count: int, data: bytes) -> None:
        """Write from a sector on, unless something has failed before or nothing would change."""
        offset = sector * self._sector_size
        try:
            if self._failure is None and self._device.read_at(offset, len(data)) != data:
                self._device.write_at(offset, data)
        except BaseException as failure:  # noqa: BLE001  raised by `raise_failure`
            self._failure = failure

    def raise_failure(self) -> None:
        """Raise what was kept."""
        if self._failure is not None:
            raise self._failure


@contextmanager
def _mounted(device: BlockDevice, boot: BootSector) -> Iterator[tuple[Any, bytes]]:
    """FatFs with the device mounted: its module, and the prefix of paths."""
    from fatfs import wrapper  # noqa: PLC0415  machine code that only edits of FAT need

    disk = _Disk(device, boot.sector_size)
    partition = wrapper.Partition(disk)
    try:
        partition.mount()
        yield wrapper, partition.pname
    except wrapper.FatFSException as error:
        disk.raise_failure()
        raise EngineError(str(error), hint=REPAIR_HINT) from error
    finally:
        partition.unmount()
    disk.raise_failure()


def _raise_for(function: str, code: int) -> None:
    if code == _DENIED:
        raise _full()
    if code:
        raise EngineError(f"FatFs: {function} failed with code {code}", hint=REPAIR_HINT)


def _full() -> OutputError:
    return OutputError(
        "no room is left in the FAT volume or its root directory", hint="Free some space in it, or enlarge it."
    )
