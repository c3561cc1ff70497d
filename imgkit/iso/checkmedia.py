"""SUSE's sums over a whole image, which its installer compares at "Check Installation Media".

They stand as tags in the primary volume descriptor, in the bytes for the application's use: `sha256sum=HEX;pad=150`.
The sum covers the volume, whose last `pad` sectors count as zeros; `partition=START,COUNT,HEX`, in blocks of 512 bytes,
has one for a partition. Blank to both are the tags themselves, the first block, and, behind its mark, the block of
`signature=START`, where the tags may be signed. Nobody but SUSE can sign them anew, so that an edit removes the
signature: checkmedia calls the image unsigned then, not forged.

https://github.com/openSUSE/checkmedia
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from imgkit.errors import FormatError
from imgkit.iso import layout
from imgkit.iso.hybrid import Scheme
from imgkit.units import MIB, ByteRange

if TYPE_CHECKING:
    from imgkit.iso.volume import IsoVolume

_BLOCK = 512
_TAG = re.compile(rb"(?P<gap>\s*)(?P<key>[a-zA-Z0-9]+)(?P<sign>\s*=\s*)(?P<value>\S*)(?P<rest>.*)", re.DOTALL)
_ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
_SUMS = tuple(f"{name}sum".encode() for name in _ALGORITHMS)
_BY_DIGITS = {2 * hashlib.new(name, usedforsecurity=False).digest_size: name for name in _ALGORITHMS}
_NO_TYPE = "0x00"
_SIGNATURE_MARK = b"7984fc91-a43f-4e45-bf27-6d3aa08b24cf"
_SIGNATURE_HEAD = 64


def is_tagged(application_use: bytes) -> bool:
    """Whether the bytes for the application's use hold sums of checkmedia."""
    return any(key in _SUMS or key == b"partition" for key in _tags(application_use))


def refresh(volume: IsoVolume) -> None:
    """Bring the sums up to date. FormatError for tags that cannot be understood."""
    position = volume.primary.position + layout.APPLICATION_USE_OFFSET
    old = volume.device.read_at(position, layout.APPLICATION_USE_SIZE)
    tags = _tags(old)
    blanks = [(ByteRange(0, _BLOCK), b"\0"), (ByteRange(position, position + len(old)), b" ")]
    signature = _signature(volume, tags)
    if signature is not None:
        volume.device.write_at(signature.start, bytes(signature.size))
    pad = _number(volume, tags.get(b"pad", b"0")) * layout.SECTOR
    size = volume.primary.space.stop
    regions: dict[bytes, tuple[ByteRange, int]] = {}
    for key in tags:
        if key in _SUMS:
            regions[key] = ByteRange(0, size - min(pad, size)), min(pad, size)
        elif key == b"partition":
            regions[key] = _partition(volume, tags[key]), 0
    names = {key: _algorithm(volume, tags[key].rpartition(b",")[2]) for key in regions}
    sums = _sums(volume, regions, names, blanks)
    for key, (where, _) in regions.items():
        numbers = b"%d,%d," % (where.start // _BLOCK, where.size // _BLOCK) if key == b"partition" else b""
        tags[key] = numbers + sums[key].encode()
    new = _with_tags(old, tags)
    if len(new) > len(old):
        raise _damage(volume, "no room for the new sums")
    volume.device.write_at(position, new.ljust(len(old), b" "))


def _tags(application_use: bytes) -> dict[bytes, bytes]:
    found = (_TAG.fullmatch(field) for field in application_use.rstrip(b" \0").split(b";"))
    return {tag["key"].lower(): tag["value"] for tag in found if tag}


def _with_tags(old: bytes, tags: dict[bytes, bytes]) -> bytes:
    fields = old.rstrip(b" \0").split(b";")
    for number, field in enumerate(fields):
        if tag := _TAG.fullmatch(field):
            fields[number] = tag["gap"] + tag["key"] + tag["sign"] + tags[tag["key"].lower()] + tag["rest"]
    return b";".join(fields)


def _sums(
    volume: IsoVolume,
    regions: dict[bytes, tuple[ByteRange, int]],
    names: dict[bytes, str],
    blanks: list[tuple[ByteRange, bytes]],
) -> dict[bytes, str]:
    """The sum of each region, and of as many zeros behind it as it says; the image is read once."""
    digests = {key: hashlib.new(names[key], usedforsecurity=False) for key in regions}
    for start in range(0, max(where.stop for where, _ in regions.values()), MIB):
        piece = ByteRange(start, min(start + MIB, volume.device.size))
        data = bytearray(volume.device.read_at(start, piece.size))
        for where, filling in blanks:
            if where.overlaps(piece):
                shown = _common(where, piece)
                data[shown] = filling * (shown.stop - shown.start)
        for key, (where, _) in regions.items():
            if where.overlaps(piece):
                digests[key].update(memoryview(data)[_common(where, piece)])
    for key, (_, zeros) in regions.items():
        for start in range(0, zeros, MIB):
            digests[key].update(bytes(min(MIB, zeros - start)))
    return {key: digest.hexdigest() for key, digest in digests.items()}


def _common(where: ByteRange, piece: ByteRange) -> slice:
    return slice(max(where.start, piece.start) - piece.start, min(where.stop, piece.stop) - piece.start)


def _partition(volume: IsoVolume, value: bytes) -> ByteRange:
    """The partition of a tag: the one that ends last in the MBR, as tagmedia chooses, or else what the tag says."""
    start, _, rest = value.partition(b",")
    first = _number(volume, start) * _BLOCK
    told = ByteRange(first, first + _number(volume, rest.partition(b",")[0]) * _BLOCK)
    slots = [slot.where for slot in volume.tables.slots if slot.scheme is Scheme.MBR and slot.type != _NO_TYPE]
    where = max(slots, key=lambda each: each.stop, default=told)
    if where.stop > volume.device.size:
        raise _damage(volume, "a partition leaves the image")
    return where


def _signature(volume: IsoVolume, tags: dict[bytes, bytes]) -> ByteRange | None:
    """Where the signature's text is; None where there is none."""
    start = _number(volume, tags.get(b"signature", b"0")) * _BLOCK
    where = ByteRange(start + _SIGNATURE_HEAD, start + layout.SECTOR)
    if not start or where.stop > volume.device.size:
        return None
    return where if volume.device.read_at(start, len(_SIGNATURE_MARK)) == _SIGNATURE_MARK else None


def _algorithm(volume: IsoVolume, digits: bytes) -> str:
    if len(digits) not in _BY_DIGITS:
        raise _damage(volume, "a sum of an unknown kind")
    return _BY_DIGITS[len(digits)]


def _number(volume: IsoVolume, text: bytes) -> int:
    if not text.isdigit() or len(text) > 12:  # noqa: PLR2004
        raise _damage(volume, "no number where one belongs")
    return int(text)


def _damage(volume: IsoVolume, message: str) -> FormatError:
    return FormatError(
        f"checkmedia's tags cannot be understood: {message}",
        structure="primary volume descriptor",
        offset=volume.primary.position + layout.APPLICATION_USE_OFFSET,
        field="application use",
        hint="Remove them with `tagmedia --clean`.",
    )
