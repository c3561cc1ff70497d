"""The El Torito boot catalogue: which boot images a firmware finds, for which platforms, and how it loads them.

It reads; the one field that ever changes, an entry's address and length, is rewritten by `rewrite`.
El Torito 1.0, chapter 2; platform 0xEF is UEFI Specification 2.10, 13.3.2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from imgkit.errors import FormatError
from imgkit.iso import layout
from imgkit.units import ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.storage.device import BlockDevice, BlockReader

_MOST_ENTRIES = 256
_HEADER, _FINAL_HEADER, _EXTENSION = 0x90, 0x91, 0x44
_BOOTABLE = 0x88
_LAST_MEDIA_TYPE = 4
_VIRTUAL_SECTOR = 512
_PLATFORMS = {0x00: "BIOS", 0x01: "PowerPC", 0x02: "Mac", 0xEF: "UEFI"}


class Media(StrEnum):
    """What the firmware makes of a boot image."""

    NONE = "no emulation"
    FLOPPY_12 = "floppy of 1.2 MB"
    FLOPPY_144 = "floppy of 1.44 MB"
    FLOPPY_288 = "floppy of 2.88 MB"
    HARD_DISK = "hard disk"


_FLOPPY_SIZES = {Media.FLOPPY_12: 1200 << 10, Media.FLOPPY_144: 1440 << 10, Media.FLOPPY_288: 2880 << 10}


@dataclass(frozen=True, slots=True)
class BootImage:
    """One entry. `position` is where it lies, `start` where its image does, both in bytes of the ISO image.

    `platform` is a name, or "0x.." for one without. `load_size` are the bytes that the firmware loads.
    """

    number: int
    position: int
    platform: str
    bootable: bool
    media: Media
    load_segment: int
    load_size: int
    start: int

    @property
    def least_extent(self) -> ByteRange:
        """What the image takes at least; a file of the tree, or a partition, may say that it is more."""
        return ByteRange(self.start, self.start + max(_FLOPPY_SIZES.get(self.media, 0), self.load_size))


@dataclass(frozen=True, slots=True)
class BootCatalog:
    """The catalogue: its range in bytes, and its entries in order."""

    where: ByteRange
    images: tuple[BootImage, ...]


def read_catalog(device: BlockReader, position: int) -> BootCatalog:
    """The catalogue at a byte position. FormatError where it is damaged."""
    first = _entry(device, position)
    if first[0] != 1 or first[30:] != b"\x55\xaa":
        raise _damage("there is no boot catalogue where the boot record says", position, "header_id")
    words = (int.from_bytes(first[at : at + 2], "little") for at in range(0, len(first), 2))
    if sum(words) & 0xFFFF:
        raise _damage("the boot catalogue's checksum is wrong", position, "checksum")
    images = tuple(_images(device, position, first[1]))
    end = max((image.position for image in images), default=position) + layout.CATALOG_ENTRY_SIZE
    return BootCatalog(ByteRange(position, end), images)


def rewrite(device: BlockDevice, image: BootImage, *, start: int, load_size: int) -> None:
    """Have an entry say that its image begins at another byte position, and how many bytes are to be loaded."""
    from pycdlib.eltorito import EltoritoEntry  # noqa: PLC0415  only edits need it, and it takes 25 ms
    from pycdlib.pycdlibexception import PyCdlibException  # noqa: PLC0415

    entry = EltoritoEntry()
    try:
        entry.parse(_entry(device, image.position))
    except PyCdlibException as error:
        raise _damage(str(error), image.position, "") from error
    entry.set_data_location(start // layout.SECTOR, 0)
    entry.sector_count = min(-(-load_size // _VIRTUAL_SECTOR), 0xFFFF)
    device.write_at(image.position, entry.record())


def _images(device: BlockReader, position: int, platform: int) -> Iterator[BootImage]:
    """The initial entry, then those of each section."""
    place = position + layout.CATALOG_ENTRY_SIZE
    yield _image(device, place, platform, 1)
    number, last = 2, False
    while not last:
        place += layout.CATALOG_ENTRY_SIZE
        header = layout.SECTION_HEADER.parse(_entry(device, place))
        if header.indicator not in (_HEADER, _FINAL_HEADER):
            return
        last = header.indicator == _FINAL_HEADER
        for _ in range(header.entries):
            if number > _MOST_ENTRIES:
                raise _damage(f"more than {_MOST_ENTRIES} boot images", place, "entries")
            place += layout.CATALOG_ENTRY_SIZE
            yield _image(device, place, header.platform_id, number)
            number += 1
            while _has_extension(device, place):
                place += layout.CATALOG_ENTRY_SIZE


def _has_extension(device: BlockReader, place: int) -> bool:
    """Whether an extension of an entry's selection criteria follows it."""
    following = place + layout.CATALOG_ENTRY_SIZE
    return following + layout.CATALOG_ENTRY_SIZE <= device.size and _entry(device, following)[0] == _EXTENSION


def _image(device: BlockReader, place: int, platform: int, number: int) -> BootImage:
    parsed = layout.SECTION_ENTRY.parse(_entry(device, place))
    media_type = parsed.media_type & 0x0F
    if parsed.boot_indicator not in (0, _BOOTABLE):
        raise _damage("a boot image is neither bootable nor not", place, "boot_indicator")
    if media_type > _LAST_MEDIA_TYPE:
        raise _damage(f"boot media type {media_type}", place, "media_type")
    return BootImage(
        number,
        place,
        _PLATFORMS.get(platform, f"0x{platform:02x}"),
        parsed.boot_indicator == _BOOTABLE,
        tuple(Media)[media_type],
        parsed.load_segment,
        parsed.sector_count * _VIRTUAL_SECTOR,
        parsed.load_rba * layout.SECTOR,
    )


def _entry(device: BlockReader, place: int) -> bytes:
    if place + layout.CATALOG_ENTRY_SIZE > device.size:
        raise _damage("the boot catalogue leaves the image", place, "")
    return device.read_at(place, layout.CATALOG_ENTRY_SIZE)


def _damage(message: str, position: int, field: str) -> FormatError:
    return FormatError(
        message,
        structure="El Torito boot catalogue",
        offset=position,
        field=field,
        hint="The image is damaged; download it again.",
    )
