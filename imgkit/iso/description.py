"""What an ISO is, for a person or a program to read: names, boot images, partition tables, checksums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.iso.media import carried_sums

if TYPE_CHECKING:
    from imgkit.iso.bootimages import FatImage
    from imgkit.iso.directory import Naming
    from imgkit.iso.eltorito import BootImage
    from imgkit.iso.hybrid import Slot
    from imgkit.iso.tree import IsoTree


@dataclass(frozen=True, slots=True)
class IsoDescription:
    """An ISO at a glance; sizes in bytes.

    `volume_size` is what the primary descriptor says, `partitions` are those of all tables. `boot_paths` are, in the
    order of `boot_images`, the files that they are, "" for one that is no file.
    """

    volume_id: str
    naming: Naming
    joliet: bool
    udf: bool
    hfs_plus: bool
    volume_size: int
    image_size: int
    boot_images: tuple[BootImage, ...]
    boot_paths: tuple[str, ...]
    partitions: tuple[Slot, ...]
    fat_images: tuple[FatImage, ...]
    checksums: tuple[str, ...]


def describe(tree: IsoTree) -> IsoDescription:
    """Describe the volume of a tree. FormatError where what is described is damaged."""
    volume = tree.volume
    images = volume.catalog.images if volume.catalog else ()
    return IsoDescription(
        volume.primary.volume_id,
        volume.namespace.naming,
        volume.joliet is not None,
        volume.udf,
        bool(volume.hfs_plus),
        volume.primary.space.size,
        volume.device.size,
        images,
        tuple(volume.extents.path(volume, image.start) for image in images),
        volume.tables.slots,
        tree.fat_images(),
        carried_sums(tree),
    )
