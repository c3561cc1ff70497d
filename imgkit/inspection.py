"""What an image is: format, partitions, file systems, the installed system, its boot loaders and its console.

Of an ISO: volume, boot images, partition tables, checksums, the installer, its menus and its console.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imgkit.confining import confine_reading
from imgkit.console.contents import status as console_of
from imgkit.console.facts import GuestFacts, find_facts
from imgkit.console.status import status
from imgkit.editing import open_file, without_system
from imgkit.errors import ConfigError, FormatError, GuestError, NoRootError, UnsupportedError
from imgkit.guest.engines.native import NativeEngine
from imgkit.guest.session import open_guest
from imgkit.iso.medium import find_medium
from imgkit.layoutmap.disk import disk_map
from imgkit.partition.table import read_table

if TYPE_CHECKING:
    from pathlib import Path

    from imgkit.bootloaders.files import BootFile
    from imgkit.configtext.checks import Status
    from imgkit.editing import ImageSource
    from imgkit.formats.image import Format, Image
    from imgkit.guest.session import Guest
    from imgkit.guest.volume import GuestVolume
    from imgkit.installers.detection import Installer
    from imgkit.iso.description import IsoDescription
    from imgkit.iso.medium import IsoImage
    from imgkit.layoutmap.model import LayoutMap
    from imgkit.partition.model import PartitionTable
    from imgkit.remote import Address


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

    `problem` says why there is no `system`, or why its console is not known; `hint` is the way out. `map` is None where
    it was not asked for.
    """

    path: Address
    format: Format
    size: int
    file_size: int
    allocated: int
    backing: tuple[Path, ...]
    snapshots: tuple[str, ...]
    table: PartitionTable
    volumes: tuple[GuestVolume, ...]
    system: System | None
    problem: str
    hint: str
    notices: tuple[str, ...]
    map: LayoutMap | None = None


@dataclass(frozen=True, slots=True)
class IsoInspection:
    """One ISO. `installer` is None where none is known; `menus` are the files that its boot loaders read, in order.

    `problem` says why the console is not known; `hint` is the way out. `map` is None where it was not asked for.
    `unattended` are the titles of menu entries that may install, and erase, without a question.
    """

    path: Address
    size: int
    volume: IsoDescription
    installer: Installer | None
    menus: tuple[BootFile, ...]
    console: Status | None
    enabled: bool
    problem: str
    hint: str
    notices: tuple[str, ...]
    map: LayoutMap | None = None
    unattended: tuple[str, ...] = ()


def inspect(source: ImageSource, *, with_map: bool = False) -> Inspection | IsoInspection:
    """Look at an image without changing it. Raises what opening it raises; what is inside may be anything.

    `with_map` asks for what lies where in it, which takes reading some more of an ISO.
    """
    with open_file(replace(source, on_pending=None)) as image:  # it is among the notices
        medium = find_medium(image, now=0)
        if medium is not None:
            confine_reading(source.confinement, image, medium.engine)
            return _inspect_iso(image, medium, with_map=with_map)
        table = read_table(image.disk)
        volumes = on_disk = NativeEngine(image, table, now=0).volumes()
        system: System | None = None
        problem = hint = ""
        told = (*image.notices, *filter(None, [image.pending]))
        notices = (*table.notices, *told)
        try:
            with open_guest(
                image,
                now=0,
                engine=source.engine,
                root=source.root,
                keys=source.keys,
                on_appliance=source.on_appliance,
            ) as guest:
                confine_reading(source.confinement, image, guest.engine)
                volumes, notices = guest.volumes, (*guest.notices, *told)
                system, problem, hint = _system(guest)
        except NoRootError as error:
            explained = error if source.root else without_system(image, error)
            problem, hint = explained.message, explained.hint or ""
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
            map=disk_map(image.disk, table, on_disk) if with_map else None,
        )


def _inspect_iso(image: Image, medium: IsoImage, *, with_map: bool) -> IsoInspection:
    from imgkit.bootloaders.bootmenu import Behaviour  # noqa: PLC0415
    from imgkit.bootloaders.menus import boot_menus  # noqa: PLC0415
    from imgkit.installers.detection import find_installer  # noqa: PLC0415
    from imgkit.installers.menufiles import find_starts  # noqa: PLC0415
    from imgkit.iso.description import describe  # noqa: PLC0415
    from imgkit.layoutmap.iso import iso_map  # noqa: PLC0415
    from imgkit.treeedits import TreeEdits  # noqa: PLC0415  here and below: only for ISOs

    console: Status | None = None
    menus: tuple[BootFile, ...] = ()
    unattended: tuple[str, ...] = ()
    problem = hint = ""
    try:
        edits = TreeEdits(medium.tree)
        menus = find_starts(edits, medium.tree.boot_roots())
        shown = [menu for boot in menus for menu in boot_menus(edits, boot)]
        choices = [choice for menu in shown for choice in menu.choices]
        found = (choice.full_title for choice in choices if choice.behaviour() is Behaviour.UNATTENDED)
        unattended = tuple(dict.fromkeys(found))
        console = console_of(medium, None)
    except (ConfigError, UnsupportedError) as error:
        problem, hint = str(error), error.hint or ""
    return IsoInspection(
        path=image.path,
        size=image.disk.size,
        volume=describe(medium.tree),
        installer=find_installer(medium.tree),
        menus=menus,
        console=console,
        enabled=console is not None and console.enabled,
        problem=problem,
        hint=hint,
        notices=(*medium.notices, *filter(None, [image.pending])),
        map=iso_map(medium.tree) if with_map else None,
        unattended=unattended,
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
