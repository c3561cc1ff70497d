"""What an image is: format, partitions, file systems, the installed system, its boot loaders and its console."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.block.image import open_image
from imgkit.console.status import status
from imgkit.errors import ConfigError, FormatError, GuestError, UnsupportedError
from imgkit.guest.facts import GuestFacts, find_facts
from imgkit.guest.native import NativeEngine
from imgkit.guest.session import open_guest
from imgkit.partition.table import read_table

if TYPE_CHECKING:
    from pathlib import Path

    from imgkit.block.image import Format, Image
    from imgkit.console.model import Status
    from imgkit.editing import Source
    from imgkit.guest.session import Guest
    from imgkit.guest.volume import Volume
    from imgkit.partition.model import PartitionTable


@dataclass(frozen=True, slots=True)
class System:
    """The installed system: who serves it, which volume is mounted where, what it is, and its console."""

    engine: str
    mounts: dict[str, str]
    facts: GuestFacts
    console: Status | None
    enabled: bool


@dataclass(frozen=True, slots=True)
class Inspection:
    """One image. Sizes are in bytes; `file_size` is what the host file has, `allocated` what it takes on the disk.

    `problem` says why there is no `system`, or why its console is not known; `hint` is the way out.
    """

    path: Path
    format: Format
    size: int
    file_size: int
    allocated: int
    backing: tuple[Path, ...]
    snapshots: tuple[str, ...]
    table: PartitionTable
    volumes: tuple[Volume, ...]
    system: System | None
    problem: str
    hint: str
    notices: tuple[str, ...]


def inspect(source: Source) -> Inspection:
    """Look at an image without changing it. Raises what opening it raises; what is inside may be anything."""
    with open_image(source.path, image_format=source.image_format, allow=source.allow) as image:
        table = read_table(image.disk)
        volumes = NativeEngine(image, table, now=0).volumes()
        system: System | None = None
        problem = hint = ""
        notices = (*table.notices, *image.notices)
        try:
            with open_guest(
                image,
                now=0,
                engine=source.engine,
                root=source.root,
                keys=source.keys,
                on_appliance=source.on_appliance,
            ) as guest:
                volumes, notices = guest.volumes, (*guest.notices, *image.notices)
                system, problem, hint = _system(guest)
        except (GuestError, UnsupportedError, FormatError) as error:
            problem, hint = str(error), error.hint or ""
        return Inspection(
            path=source.path,
            format=image.format,
            size=image.disk.size,
            file_size=image.host.size,
            allocated=image.host.allocated(),
            backing=image.chain,
            snapshots=_snapshots(image),
            table=table,
            volumes=volumes,
            system=system,
            problem=problem,
            hint=hint,
            notices=notices,
        )


def _system(guest: Guest) -> tuple[System, str, str]:
    console: Status | None = None
    problem = hint = ""
    try:
        console = status(guest.tree)
    except ConfigError as error:
        problem, hint = str(error), error.hint or ""
    mounts = {point: volume.name for point, volume in guest.mounts.items()}
    enabled = console is not None and console.enabled
    return System(guest.engine, mounts, find_facts(guest.tree), console, enabled), problem, hint


def _snapshots(image: Image) -> tuple[str, ...]:
    header = getattr(image.disk, "header", None)
    return tuple(snapshot.name for snapshot in header.snapshots) if header else ()
