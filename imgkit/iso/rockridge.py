"""Rock Ridge: POSIX names and attributes in the system use fields of directory records, and continuation areas.

It reads, with every chain bounded; entries that are no concern of a file tree are passed over. SUSP 1.12, RRIP 1.12.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgkit.errors import FormatError
from imgkit.iso import layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgkit.iso.descriptors import Descriptor
    from imgkit.storage.device import BlockReader

_MOST_AREAS = 64
_MOST_ENTRIES = 1024
"""In the continuation areas of one record: the longest link and many attributes take some hundred."""
_MOST_ENTRIES_OF_ALL = 1 << 20
_LONGEST_AREA = 32 * 1024
_XA_SIZE = 14
"""A CD-ROM XA record in front of the entries (SUSP 1.12, 5.3)."""

_CONTINUES, _CURRENT, _PARENT, _ROOT = 0x01, 0x02, 0x04, 0x08
_CREATION, _MODIFICATION, _LONG_FORM = 0x01, 0x02, 0x80


@dataclass(slots=True)
class Attributes:
    """What Rock Ridge says of one file; None where it says nothing.

    `child` is the block of a directory that was relocated from here, `relocated` says that this one was moved away
    and is seen elsewhere. `recoded_from` is the size of contents that are stored in another form: by zisofs, or as a
    sparse file.
    """

    name: bytes | None = None
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    mtime: int | None = None
    target: bytes | None = None
    child: int | None = None
    relocated: bool = False
    recoded_from: int | None = None
    _open_component: bool = field(default=False, repr=False)


class Continued:
    """What was read in the continuation areas of a volume: each record's once, and of all a bounded number of entries.

    Records that lead to the same areas would else cost as much as if each had some of its own.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, bytes], Attributes] = {}
        self._left = _MOST_ENTRIES_OF_ALL

    def attributes(self, device: BlockReader, descriptor: Descriptor, position: int, system_use: bytes) -> Attributes:
        """As the function `attributes`, of the record at `position`."""
        key = position, system_use
        found = self._known.get(key)
        if found is None:
            told = list(entries(device, descriptor, system_use))
            self._left -= len(told)
            if self._left < 0:
                raise _damage(f"files have more than {_MOST_ENTRIES_OF_ALL:,} entries in continuation areas", position)
            found = self._known[key] = _attributes(told)
        return found

    def forget(self) -> None:
        """Read all anew: records have changed."""
        self._known.clear()
        self._left = _MOST_ENTRIES_OF_ALL


def find_skip(device: BlockReader, descriptor: Descriptor, system_use: bytes) -> int | None:
    """Bytes to skip in each system use field, from that of the root's own record; None where there is no Rock Ridge."""
    for start in (0, _XA_SIZE):
        if system_use[start : start + 2] == b"SP" and system_use[start + 4 : start + 6] == b"\xbe\xef":
            signatures = {signature for signature, _ in entries(device, descriptor, system_use[start:])}
            return system_use[start + 6] if signatures & {b"PX", b"RR"} else None
    return None


def entries(device: BlockReader, descriptor: Descriptor, system_use: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Signature and payload of each entry of a system use field, continuation areas included."""
    return ((signature, payload) for signature, payload, _ in located_entries(device, descriptor, system_use, 0))


def located_entries(
    device: BlockReader, descriptor: Descriptor, system_use: bytes, start: int
) -> Iterator[tuple[bytes, bytes, int]]:
    """Signature, payload and the payload's byte position of each entry; the system use field is at `start`."""
    area, position, left = system_use, start, len(system_use) + _MOST_ENTRIES
    for _ in range(_MOST_AREAS):
        following = None
        for signature, payload, offset in _entries_of(area):
            left -= 1
            if left < 0:
                raise _damage(f"one file has more than {_MOST_ENTRIES:,} entries in continuation areas", position)
            if signature == b"CE" and len(payload) >= layout.CONTINUATION.size:
                following = layout.CONTINUATION.unpack_from(payload)
            yield signature, payload, position + offset
        if following is None:
            return
        position = descriptor.address(following[0]) + following[1]
        length = following[2]
        if length > _LONGEST_AREA or position + length > device.size:
            raise _damage(f"a continuation area of {length:,} bytes leaves the image", position)
        area = device.read_at(position, length)
    raise _damage("the chain of continuation areas does not end", position)


def _entries_of(area: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    position, head = 0, layout.SYSTEM_USE_ENTRY.size
    while position + head <= len(area):
        signature, length, _ = layout.SYSTEM_USE_ENTRY.unpack_from(area, position)
        if length < head or signature == b"ST":
            return
        yield signature, area[position + head : position + length], position + head
        position += length


def attributes(device: BlockReader, descriptor: Descriptor, system_use: bytes) -> Attributes:
    """What the entries of one system use field come to. FormatError for a chain of areas that is broken."""
    return _attributes(entries(device, descriptor, system_use))


def _attributes(told: Iterable[tuple[bytes, bytes]]) -> Attributes:
    found = Attributes()
    for signature, payload in told:
        if signature == b"NM" and payload:
            # Flags for "." and ".." come without a name of their own.
            found.name = (found.name or b"") + payload[1:]
        elif signature == b"PX" and len(payload) >= layout.POSIX_ATTRIBUTES.size:
            found.mode, _, found.uid, found.gid = layout.POSIX_ATTRIBUTES.unpack_from(payload)
        elif signature == b"TF" and payload:
            found.mtime = _modification(payload[0], payload[1:])
        elif signature == b"SL" and payload:
            _add_components(found, payload[1:])
        elif signature == b"CL" and len(payload) >= 4:  # noqa: PLR2004
            found.child = int.from_bytes(payload[:4], "little")
        elif signature == b"RE":
            found.relocated = True
        elif signature == b"ZF" and len(payload) >= 8:  # noqa: PLR2004
            found.recoded_from = int.from_bytes(payload[4:8], "little")
        elif signature == b"SF" and len(payload) >= 8:  # noqa: PLR2004
            # Since RRIP 1.12 the high half comes first.
            low = payload[8:12] if len(payload) > 16 else payload[:4]  # noqa: PLR2004
            found.recoded_from = int.from_bytes(low, "little")
    return found


def _add_components(found: Attributes, components: bytes) -> None:
    """Take the components of one SL entry; a component may go on in the next entry (RRIP 1.12, 4.1.3.1)."""
    target = found.target or b""
    position = 0
    while position + 2 <= len(components):
        flags, length = components[position], components[position + 1]
        text = components[position + 2 : position + 2 + length]
        if target and not target.endswith(b"/") and not found._open_component:  # noqa: SLF001
            target += b"/"
        target += b"/" if flags & _ROOT else b"." if flags & _CURRENT else b".." if flags & _PARENT else text
        found._open_component = bool(flags & _CONTINUES)  # noqa: SLF001
        position += 2 + length
    found.target = target


def _modification(flags: int, stamps: bytes) -> int | None:
    if not flags & _MODIFICATION:
        return None
    size = 17 if flags & _LONG_FORM else 7
    start = size if flags & _CREATION else 0
    stamp = stamps[start : start + size]
    return (long_time if flags & _LONG_FORM else short_time)(stamp)


def short_time(stamp: bytes) -> int:
    """Seconds since the epoch of the seven bytes of a directory record (ECMA-119, 9.1.5); 0 for an impossible time."""
    if len(stamp) != 7:  # noqa: PLR2004
        return 0
    year, month, day, hour, minute, second, zone = stamp
    return _epoch((1900 + year, month, day, hour, minute, second), zone)


def long_time(stamp: bytes) -> int:
    """Seconds since the epoch of the 17 bytes of ECMA-119, 8.4.26.1; 0 for an impossible time."""
    digits = stamp[:14]
    if len(stamp) != 17 or not digits.isdigit():  # noqa: PLR2004
        return 0
    places = ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14))
    return _epoch(tuple(int(digits[start:stop]) for start, stop in places), stamp[16])


def _epoch(when: tuple[int, ...], zone: int) -> int:
    """`zone` is a signed byte, in quarters of an hour east of Greenwich."""
    if not (1 <= when[1] <= 12 and 1 <= when[2] <= 31 and when[0] >= 1):  # noqa: PLR2004
        return 0
    quarters = zone - 256 if zone > 127 else zone  # noqa: PLR2004
    return calendar.timegm(when) - quarters * 15 * 60


def _damage(message: str, position: int) -> FormatError:
    return FormatError(
        message, structure="SUSP continuation area", offset=position, hint="The image is damaged; download it again."
    )
