"""An ISO that is open for reading and editing, in the form that an installed system has when it is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.iso.detection import is_iso

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgkit.formats.image import Image
    from imgkit.iso.tree import IsoTree


@dataclass(frozen=True, slots=True)
class IsoImage:
    """An ISO, open. `tree` is where it is read and edited; `finish` brings the edits into the overlay.

    `engine` and `notices` are as an installed system has them; some notices are known when all is finished.
    """

    tree: IsoTree
    finish: Callable[[], None]
    engine: str = "iso"

    @property
    def notices(self) -> tuple[str, ...]:
        """Facts that whoever edits the image should hear."""
        return self.tree.notices


def find_medium(image: Image, *, now: int) -> IsoImage | None:
    """The ISO that an image file is, or None. `now`, in seconds, stamps what is edited in FAT boot images.

    Raises FormatError for an ISO whose descriptors or boot catalogue are damaged.
    """
    if image.disk is not image.overlay or not is_iso(image.disk):
        return None
    from imgkit.iso.tree import IsoTree  # noqa: PLC0415 - only for ISOs
    from imgkit.iso.volume import IsoVolume  # noqa: PLC0415

    tree = IsoTree(IsoVolume.open(image.overlay, str(image.path)), now=now)
    return IsoImage(tree, tree.finish)
