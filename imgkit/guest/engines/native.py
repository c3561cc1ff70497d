"""The native engine: partitions, logical volumes and file systems are read and edited in this process."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from imgkit.errors import EngineError, FormatError, UnsupportedError
from imgkit.filesystem.probe import open_filesystem
from imgkit.formats.image import Format
from imgkit.guest.volume import search_volumes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.filesystem.base import FileSystem
    from imgkit.formats.image import Image
    from imgkit.guest.engines import Shared
    from imgkit.guest.finding import Finding
    from imgkit.guest.volume import GuestVolume
    from imgkit.partition.model import PartitionTable


def start(
    image: Image,
    table: PartitionTable,
    *,
    now: int,
    keys: Sequence[str],  # noqa: ARG001 - as all engines have it; LUKS is for others
    shared: Shared | None,  # noqa: ARG001
) -> NativeEngine:
    """An engine for one image, which starts nothing."""
    return NativeEngine(image, table, now=now)


def check() -> Iterator[Finding]:
    """libext2fs, and the modules that the rest needs."""
    from imgkit.filesystem.ext.library import load  # noqa: PLC0415 - loads the library
    from imgkit.guest.finding import Finding, look_for_module  # noqa: PLC0415

    serves = "native engine: ext2, ext3, ext4, also on LVM2"
    try:
        load()
        yield Finding("libext2fs", serves, True, "loaded")
    except EngineError as error:
        yield Finding("libext2fs", serves, False, error.message, error.hint or "")
    for module, what in (("fatfs", "native engine: FAT"), ("zstandard", "zstd-compressed qcow2")):
        yield look_for_module(module, what, f"pip install {module}")


class NativeEngine:
    """File systems in process, over the image's overlay. `now` is the time, in seconds, that edits are stamped with."""

    name = "native"

    def __init__(self, image: Image, table: PartitionTable, *, now: int) -> None:
        self._now = now
        self._image = image
        self._open: dict[str, FileSystem] = {}
        self._found = search_volumes(image.disk, table)
        self._notices = list(self._found.notices)

    @property
    def notices(self) -> tuple[str, ...]:
        """What was found on the volumes opened so far."""
        return tuple(self._notices)

    def volumes(self) -> tuple[GuestVolume, ...]:
        """All partitions, or the disk itself where it has no table, and the logical volumes on them."""
        return self._found.volumes

    def open(self, volume: GuestVolume, /) -> FileSystem:
        """The file system of a volume, checked to be clean."""
        name = volume.name
        if name not in self._open:
            if name in self._found.problems:
                raise self._found.problems[name]
            writable = name not in self._found.read_only
            try:
                self._open[name] = open_filesystem(
                    self._found.devices[name],
                    writable=writable,
                    now=self._now,
                    on_notice=lambda notice: self._notices.append(f"{name} {notice}"),
                )
            except (UnsupportedError, FormatError) as error:
                from imgkit.filesystem.ext.superblock import REPAIR_HINT  # noqa: PLC0415 - only for an error

                if error.hint == REPAIR_HINT:
                    error.hint = f"{self._repair(volume)}, or use --engine uml or guestfs, in which Linux decides."
                raise
        return self._open[name]

    def _repair(self, volume: GuestVolume) -> str:
        """How e2fsck gets at a file system inside the image, without root."""
        name = str(self._image.path)
        if len(volume.extents) != 1:
            return f"Repair it: `guestfish -a {shlex.quote(name)} run : e2fsck {volume.name} forceall:true`"
        offset = volume.extents[0].start
        raw = name if self._image.format is Format.RAW else f"{name}.raw"
        target = shlex.quote(f"{raw}?offset={offset}" if offset else raw)
        first = "" if raw == name else f"`qemu-img convert -O raw {shlex.quote(name)} {shlex.quote(raw)}` and "
        return f"Repair it: {first}`e2fsck -fy {target}`"

    def finish(self) -> None:
        """Flush all file systems to the overlay."""
        for file_system in self._open.values():
            file_system.flush()
        self.close()

    def close(self) -> None:
        """Close all file systems."""
        for file_system in self._open.values():
            file_system.close()
        self._open.clear()
