"""Sizes and ranges: bytes, sectors and half-open byte ranges are different types.

On disk, tables name sectors (LBAs) and often an inclusive last one. They are converted once, by the parser, through
`sectors_to_range`; everything above a parser counts in bytes and half-open ranges.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_SUFFIXES = ("", "K", "M", "G", "T")


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """Half-open range [start, stop) of byte positions."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"not a byte range: [{self.start}, {self.stop})")

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.stop - self.start

    def overlaps(self, other: ByteRange) -> bool:
        """Whether the two share at least one byte."""
        return self.start < other.stop and other.start < self.stop

    def contains(self, other: ByteRange) -> bool:
        """Whether `other` lies wholly inside."""
        return self.start <= other.start and other.stop <= self.stop


def sectors_to_range(first: int, last: int, sector_size: int) -> ByteRange:
    """Byte range of the sectors `first` to `last`, both inclusive, as partition tables name them."""
    return ByteRange(first * sector_size, (last + 1) * sector_size)


def parse_size(text: str) -> int:
    """Bytes in a human size: "512", "64K", "1.5 GiB". Powers of 1024. ValueError on anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a size: {text!r} (write 512, 64K, 10M or 8G)")
    return int(float(match[1]) * 1024 ** _SUFFIXES.index(match[2].upper()))


def format_size(size: int) -> str:
    """A size for a person, in powers of 1024: "512 B", "1.5 GiB"."""
    value = float(size)
    for suffix in _SUFFIXES:
        if value < 1024 or suffix == _SUFFIXES[-1]:  # noqa: PLR2004
            unit = f"{suffix}iB" if suffix else "B"
            return f"{value:.0f} {unit}" if value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")
