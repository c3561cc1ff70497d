"""`imgkit inspect`: what an image is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from imgkit.cli.compose import composed
from imgkit.cli.options import AsJson, make_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.checks import Status
    from imgkit.editing import ImageSource
    from imgkit.guest.volume import GuestVolume
    from imgkit.inspection import Inspection, IsoInspection


@composed(source=make_source)
def inspect(
    source: ImageSource,
    *,
    with_map: Annotated[bool, typer.Option("--map", help="Draw a map of the image, to scale.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what an image is: format, partitions, file systems, system, boot loaders, console.

    Of an ISO: volume, boot images, partition tables, checksums, installer, boot menus, console.

    Examples:
      imgkit inspect debian.qcow2
      imgkit inspect debian-12-netinst.iso
      imgkit inspect disk.img --map
      imgkit inspect disk.img --json
    """
    from imgkit.cli.maps import map_lines
    from imgkit.cli.render import emit, note, out, print_json
    from imgkit.inspection import Inspection
    from imgkit.inspection import inspect as look

    found = look(source, with_map=with_map)
    if as_json:
        fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
        name = "inspect" if isinstance(found, Inspection) else "inspect-iso"
        drawn = {"size": found.map.size, "areas": found.map.areas} if found.map else None
        print_json(name, 1, {"image": fields.pop("path"), **fields, "map": drawn})
        return
    for line in _lines(found) if isinstance(found, Inspection) else _iso_lines(found):
        out(line)
    for line in map_lines(found.map) if found.map else ():
        emit(line + "\n")
    for notice in found.notices:
        note(notice)
    if found.problem:
        note(found.problem)
    if found.hint:
        note(f"  {found.hint}")


_NAME_WIDTH = 12
_TITLES = 6


def _lines(found: Inspection) -> Iterator[str]:
    from imgkit.units import format_size

    kinds = f"{found.format}, {format_size(found.size)} disk, {format_size(found.allocated)} on the host"
    yield f"{found.path}: {kinds}"
    if found.backing:
        yield f"  backing: {' <- '.join(map(str, found.backing))}"
    if found.snapshots:
        yield f"  snapshots: {', '.join(found.snapshots)}"
    table = found.table
    hybrid = ", hybrid MBR" if table.hybrid else ""
    backup = ", RECOVERED FROM THE BACKUP" if table.recovered_from_backup else ""
    if table.scheme == "none":
        yield "  no partition table"
    else:
        yield f"  {table.scheme.upper()}, {table.sector_size}-byte sectors, id {table.disk_id}{hybrid}{backup}"
    mounts = found.system.mounts if found.system else {}
    width = max((len(volume.name) for volume in found.volumes), default=0)
    for volume in found.volumes:
        points = (point for point, name in mounts.items() if name == volume.name)  # of ostree's several, "/" is first
        yield _volume(volume, next(points, ""), found, max(width, _NAME_WIDTH))
    if found.system:
        yield from _system(found)


def _volume(volume: GuestVolume, point: str, found: Inspection, width: int) -> str:
    from imgkit.units import format_size

    partition = next((p for p in found.table.partitions if p.number == volume.number), None)
    kind = volume.kind or (partition.type_name if partition else "") or ("not served" if volume.problem else "empty")
    if volume.group:
        kind += f" of {volume.group}"
    label = f" {volume.label!r}" if volume.label else ""
    return f"  {volume.name:<{width}} {format_size(volume.size):>10}  {kind}{label}  {point}".rstrip()


def _system(found: Inspection) -> Iterator[str]:
    assert found.system is not None
    facts, console = found.system.facts, found.system.console
    name = facts.name or facts.distribution or "a system without an os-release file"
    yield f"  system: {name}, {facts.arch or 'architecture not known'}, {facts.init} ({found.system.engine} engine)"
    loaders = ", ".join(f"{file.loader} {file.path}" for file in facts.boot_files)
    yield f"  boot: {loaders or 'no known boot loader'}"
    yield from _console(console)


def _console(console: Status | None) -> Iterator[str]:
    if console is not None:
        missing = sum(not link.ok for link in console.links)
        told = "enabled" if console.enabled else f"not enabled, {missing} of {len(console.links)} checks failed"
        yield f"  serial console {console.console.port}: {told}"


def _iso_lines(found: IsoInspection) -> Iterator[str]:
    from imgkit.units import format_size

    volume = found.volume
    trees = ", ".join([volume.naming, *(["joliet"] if volume.joliet else []), *(["udf"] if volume.udf else [])])
    yield f"{found.path}: ISO 9660 {volume.volume_id!r}, {trees}, {format_size(found.size)}"
    for image, path in zip(volume.boot_images, volume.boot_paths, strict=True):
        loads = format_size(image.load_size)
        yield f"  boots {image.platform:<8} {path or f'byte {image.start:,}'}, {image.media}, loads {loads}"
    for slot in volume.partitions:
        where = f"{slot.where.start:>13,} to {slot.where.stop:>13,}"
        yield f"  {slot.scheme} {slot.number:<3} {where}  {slot.type} {slot.name}".rstrip()
    for fat in volume.fat_images:
        yield f"  FAT {fat.path}"
    yield f"  checksums: {', '.join(volume.checksums) or 'none'}"
    if found.installer:
        installer = found.installer
        yield f"  installer: {installer.name or installer.family} ({installer.family}), {installer.arch}"
    menus = ", ".join(f"{menu.loader} {menu.path}" for menu in found.menus)
    yield f"  boot menus: {menus or 'none known'}"
    if found.unattended:
        more = f" and {len(found.unattended) - _TITLES:,} more" if len(found.unattended) > _TITLES else ""
        yield f"  MAY ERASE DISKS WITHOUT ASKING: {', '.join(map(repr, found.unattended[:_TITLES]))}{more}"
    yield from _console(found.console)
