"""Link counts of directories, as Rock Ridge has them.

A directory has a link from its parent, one of its own, and one from each directory in it; genisoimage counts them, in
the record of the directory, in its ".", and in the ".." of its children. xorriso says 1 of every directory. What an
image has is kept up. RRIP 1.12, 4.1.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.iso import layout
from imgkit.iso.directory import Naming, records
from imgkit.iso.newrecord import both_32
from imgkit.iso.rockridge import located_entries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.iso.directory import Namespace, Record
    from imgkit.iso.extentmap import Directory
    from imgkit.iso.volume import IsoVolume

_OF_ITS_OWN = 2
_LINKS = slice(8, 16)


def own_links(volume: IsoVolume, namespace: Namespace, directory: Directory) -> int:
    """How many links a directory says that it has; 0 where it does not say."""
    own = next(records(volume.device, namespace.descriptor, directory.where))
    return next((_links(payload) for payload, _ in _attributes(volume, namespace, own)), 0)


def recount(volume: IsoVolume, namespace: Namespace, directory: Directory, change: int) -> None:
    """Bring the count of a directory up to date to which `change` directories have come, if it was right before."""
    if namespace.naming is not Naming.ROCK_RIDGE:
        return
    own, parent, *others = records(volume.device, namespace.descriptor, directory.where)
    children = [record for record in others if record.is_directory]
    links = _OF_ITS_OWN + len(children)
    if own_links(volume, namespace, directory) != links - change:
        return
    _say(volume, namespace, own, links)
    _say(volume, namespace, parent if directory.record is None else directory.record, links)
    for child in children:
        _, above, *_ = records(volume.device, namespace.descriptor, child.extent)
        _say(volume, namespace, above, links)


def _say(volume: IsoVolume, namespace: Namespace, record: Record, links: int) -> None:
    for payload, position in _attributes(volume, namespace, record):
        volume.device.write_at(position, payload[: _LINKS.start] + both_32(links) + payload[_LINKS.stop :])


def _attributes(volume: IsoVolume, namespace: Namespace, record: Record) -> Iterator[tuple[bytes, int]]:
    """Payload and position of the PX entries of a record."""
    use = record.system_use
    at_root = record.start == namespace.descriptor.root.start and record.identifier == b"\0"
    skip = 0 if at_root else namespace.skip
    start = record.position + len(record.raw) - len(use) + skip
    for signature, payload, position in located_entries(volume.device, namespace.descriptor, use[skip:], start):
        if signature == b"PX" and len(payload) >= layout.POSIX_ATTRIBUTES.size:
            yield payload, position


def _links(payload: bytes) -> int:
    return int(layout.POSIX_ATTRIBUTES.unpack_from(payload)[1])
