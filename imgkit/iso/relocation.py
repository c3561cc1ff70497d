"""Deep directories of Rock Ridge, which lie in a directory of their own, `rr_moved`, and are seen elsewhere.

    seen at   /a/b/c/d/e/f/g/h    a record with an entry CL, which leads to where the directory lies
    lies at   /rr_moved/h         its record has an entry RE; its ".." has an entry PL, which leads to /a/b/c/d/e/f/g

When a directory moves, the entries that lead to it follow. RRIP 1.12, 4.1.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.iso.directory import Naming, records
from imgkit.iso.newrecord import both_32
from imgkit.iso.rockridge import located_entries

if TYPE_CHECKING:
    from imgkit.iso.directory import Namespace
    from imgkit.iso.volume import IsoVolume
    from imgkit.units import ByteRange

_LEADING = (b"CL", b"PL")


def follow(volume: IsoVolume, namespace: Namespace, old: ByteRange, new: ByteRange) -> None:
    """Have entries that led to a directory at its old place lead to the new one."""
    if namespace.naming is not Naming.ROCK_RIDGE:
        return
    device, descriptor = volume.device, namespace.descriptor
    blocks = (both_32(descriptor.block(where.start)) for where in (old, new))
    before, after = blocks
    for directory in volume.extents.directories:
        if directory.descriptor.position != descriptor.position or directory.where == old:
            continue
        for record in records(device, descriptor, directory.where):
            if not any(signature in record.raw for signature in (*_LEADING, b"CE")):
                continue
            use = record.system_use[namespace.skip :]
            start = record.position + len(record.raw) - len(use)
            for signature, payload, position in located_entries(device, descriptor, use, start):
                if signature in _LEADING and payload[:8] == before:
                    device.write_at(position, after)
