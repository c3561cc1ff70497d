"""The map of an open image, with what is staged in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.guest.volume import search_volumes
from imgkit.iso.medium import IsoImage, find_medium
from imgkit.partition.table import read_table
from imgkit.units import ByteRange

if TYPE_CHECKING:
    from imgkit.formats.image import Image
    from imgkit.guest.session import Guest
    from imgkit.layoutmap.model import LayoutMap
    from imgkit.storage.overlay import PatchPlan


def map_of(image: Image, contents: Guest | IsoImage, plan: PatchPlan) -> LayoutMap:
    """The map of an image that is open, with the ranges that its plan, made of all that is staged, changes.

    Raises FormatError where what is described is damaged.
    """
    if isinstance(contents, IsoImage):
        from imgkit.layoutmap.iso import iso_map  # noqa: PLC0415  here and below: an image is one or the other

        return iso_map(contents.tree, changed_ranges(image, plan))
    from imgkit.layoutmap.disk import disk_map  # noqa: PLC0415

    return disk_map(image.disk, contents.table, contents.volumes, changed_ranges(image, plan))


def map_of_file(image: Image) -> LayoutMap:
    """The map of an image of which nothing is known but that it is open. Raises FormatError."""
    from imgkit.layoutmap.disk import disk_map  # noqa: PLC0415
    from imgkit.layoutmap.iso import iso_map  # noqa: PLC0415

    medium = find_medium(image, now=0)
    if medium is not None:
        return iso_map(medium.tree)
    table = read_table(image.disk)
    return disk_map(image.disk, table, search_volumes(image.disk, table).volumes)


def changed_ranges(image: Image, plan: PatchPlan) -> tuple[ByteRange, ...]:
    """The ranges of the disk, not of the host file, that a plan changes."""
    if image.disk is image.overlay:
        return tuple(ByteRange(patch.offset, patch.offset + len(patch.after)) for patch in plan.patches)
    return tuple(getattr(image.disk, "written", ()))
