"""Whether an image is an ISO 9660 volume, told without anything that takes time to import. ECMA-119, 6.7.1 and 8.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgkit.storage.device import BlockReader

STANDARD_IDENTIFIER = b"CD001"
_SECTOR = 2048


def is_iso(device: BlockReader) -> bool:
    """Whether there is a volume descriptor where the first one belongs, in sector 16."""
    return has_descriptor(device, 16 * _SECTOR)


def has_descriptor(device: BlockReader, position: int) -> bool:
    """Whether a whole volume descriptor of any type lies at a byte position."""
    return position + _SECTOR <= device.size and device.read_at(position + 1, 5) == STANDARD_IDENTIFIER
