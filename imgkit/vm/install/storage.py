"""Disks of machines that stay: where they are, what is asked for on a command line, making them.

A new disk is sparse: it takes room as its guest writes. Without a path it is in the folder of libvirt's default pool,
`libvirt/images` below the user's data folder, where virt-install and virt-manager put disks too.

Not here: what is on a disk.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from imgkit.errors import EngineError, OutputError, UsageError
from imgkit.formats.image import Format, open_image
from imgkit.storage.durable import sync_directory
from imgkit.storage.host import HostFile, exists, no_such_file, real_path
from imgkit.storage.syscalls import rename_without_clobber
from imgkit.storage.temporary import temporary_file
from imgkit.units import format_size, parse_size

_EXAMPLE = "For example: --disk size=8G, or --disk path=disk.qcow2, or --disk path=new.img,size=8G,format=raw."
_FORMATS = ("qcow2", "raw")
_LEAST, _MOST = 1 << 20, 64 << 40  # bytes
_METADATA = 1 << 20  # what an empty image takes at most
_BLANK = 64 << 10  # bytes at the beginning, in which every boot loader and partition table has something


@dataclass(frozen=True, slots=True)
class DiskWish:
    """A disk as asked for: one that is there (no size), or a new one of `size` bytes."""

    path: Path | None = None
    size: int | None = None
    image_format: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedDisk:
    """A disk of a machine. `size` is that of a new one in bytes, None for one that is there.

    `is_blank`: nothing on it can be started.
    """

    path: Path
    image_format: str
    size: int | None
    is_blank: bool


def default_folder() -> Path:
    """The folder for disks without a path.

    Where that is: https://specifications.freedesktop.org/basedir-spec/latest/
    """
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "libvirt" / "images"


def parse_disk(words: str) -> DiskWish:
    """`path=…`, `size=8G` and `format=qcow2|raw`, with commas between them. UsageError for anything else."""
    given: dict[str, str] = {}
    for word in words.split(","):
        key, equals, value = word.partition("=")
        if key not in ("path", "size", "format") or not equals or not value or key in given:
            raise UsageError(f"--disk {words}: {word!r} is not understood", hint=_EXAMPLE)
        given[key] = value
    if given.get("format", "raw") not in _FORMATS:
        raise UsageError(f"--disk {words}: the format is one of {', '.join(_FORMATS)}", hint=_EXAMPLE)
    if not given.keys() & {"path", "size"}:
        raise UsageError(f"--disk {words}: needs a path or a size", hint=_EXAMPLE)
    size = None
    if "size" in given:
        try:
            size = parse_size(given["size"])
        except ValueError as error:
            raise UsageError(f"--disk {words}: {error}", hint=_EXAMPLE) from error
        if not _LEAST <= size <= _MOST:
            raise UsageError(
                f"--disk {words}: {format_size(size)} is not a valid disk size", hint="Write 8G for eight gibibytes."
            )
    return DiskWish(Path(given["path"]) if "path" in given else None, size, given.get("format"))


def plan_disks(name: str, options: list[DiskWish]) -> list[PlannedDisk]:
    """The disks of a machine, with nothing done yet.

    Raises OutputError where a new one exists already or has no room, InUseError for one that is in use, and what
    opening an image raises.
    """
    planned = []
    for number, wish in enumerate(options, 1):
        planned.append(_existing(wish) if wish.size is None else _new(name, number, wish))
    paths = [disk.path for disk in planned]
    if len(set(paths)) < len(paths):
        raise UsageError("two of the disks are the same file", hint="Give each its own path.")
    return planned


def make_disk(disk: PlannedDisk) -> None:
    """Make a new disk; it appears under its name when it is complete, and replaces nothing.

    Raises OutputError where it cannot be written, EngineError where qemu-img is missing or fails.
    """
    _make_folder(disk.path.parent)
    with temporary_file(disk.path) as (_, temporary):
        command = ["qemu-img", "create", "-q", "-f", disk.image_format, str(temporary), str(disk.size)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except FileNotFoundError as error:
            raise EngineError("qemu-img is missing", hint="Install qemu-utils.") from error
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()
            raise OutputError(f"{disk.path}: cannot be made: {said}", hint="Choose another path: path=FILE.") from error
        try:
            temporary.chmod(0o600)
            rename_without_clobber(temporary, disk.path)
            sync_directory(disk.path.parent)
        except FileExistsError as error:
            raise _exists(disk.path) from error
        except OSError as error:
            raise OutputError(f"{disk.path}: cannot be made ({error.strerror})") from error


def room(folder: Path) -> int:
    """Bytes that are free where a folder is, or will be."""
    while not exists(folder) and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_room(path: Path, needed: int) -> None:
    """Raise OutputError unless `needed` bytes fit where `path` is to be."""
    free = room(path.parent)
    if free < needed:
        raise OutputError(
            f"{path}: {format_size(needed)} are needed there, and {format_size(free)} are free",
            hint="Free some space there, or choose another path.",
        )


def _existing(wish: DiskWish) -> PlannedDisk:
    assert wish.path is not None
    path = real_path(wish.path)
    if not exists(path):
        raise no_such_file(wish.path, f"To create it, give its size: path={wish.path},size=8G.")
    named = Format.QCOW2 if wish.image_format == Format.QCOW2 else None
    # Refused where something has it open, or it may not be written; but nothing is, here.
    with open_image(path, image_format=named) as image, HostFile(path, writable=True):
        image.plain_file("the virtual machine")
        found = str(image.format)
        start = image.disk.read_at(0, min(_BLANK, image.disk.size))
    if wish.image_format not in (None, found):
        raise UsageError(f"{wish.path}: is {found}, not {wish.image_format}", hint="Omit format=.")
    return PlannedDisk(path, found, None, not any(start))


def _new(name: str, number: int, wish: DiskWish) -> PlannedDisk:
    image_format = wish.image_format or "qcow2"
    suffix = "qcow2" if image_format == "qcow2" else "img"
    plain = default_folder() / f"{name}{'' if number == 1 else f'-{number}'}.{suffix}"
    path = (wish.path or plain).absolute()
    if exists(path):
        raise _exists(path)
    check_room(path, _METADATA)
    return PlannedDisk(path, image_format, wish.size, is_blank=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror})", hint="Choose another path: --disk path=FILE,size=8G."
        ) from error


def _exists(path: Path) -> OutputError:
    return OutputError(
        f"{path}: exists, and no disk is overwritten",
        hint=f"Use it as it is with path={path}, name another, or remove it.",
    )
