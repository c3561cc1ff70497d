"""New directory records, with the system use entries that give a file its POSIX name and attributes.

Entries that do not fit the record go to a continuation area, for which the caller finds room. SUSP 1.12, RRIP 1.12.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from imgkit.iso import layout

_LONGEST = 254  # one byte holds the length, and it is even
_CE_SIZE = 28
_LONGEST_TEXT = 248
_CONTINUES, _CURRENT, _PARENT, _ROOT = 0x01, 0x02, 0x04, 0x08
_STAMPS = 0x0E  # modification, access, attributes
_SERIAL_SINCE = 44


@dataclass(frozen=True, slots=True)
class Posix:
    """What Rock Ridge is to say of a new file: its name as bytes ("" for "." and ".."), `st_mode`, a link's target.

    `px_size` is the length of the volume's own PX entries: 36 bytes in RRIP 1.10, 44 with serial numbers in 1.12.
    `links` is `st_nlink`.
    """

    name: bytes
    mode: int
    target: bytes = b""
    px_size: int = 36
    skip: int = 0
    links: int = 1


def both_16(number: int) -> bytes:
    """A number recorded twice, little-endian first (ECMA-119, 7.2.3)."""
    return number.to_bytes(2, "little") + number.to_bytes(2, "big")


def both_32(number: int) -> bytes:
    """A number recorded twice, little-endian first (ECMA-119, 7.3.3)."""
    return number.to_bytes(4, "little") + number.to_bytes(4, "big")


def short_stamp(now: int) -> bytes:
    """The seven bytes of a time, in UTC (ECMA-119, 10.1.6)."""
    when = time.gmtime(now)
    return bytes((min(max(when.tm_year - 1900, 0), 255), *when[1:6], 0))


def system_use(posix: Posix, now: int) -> list[bytes]:
    """The entries of a new file, in order."""
    px = both_32(posix.mode) + both_32(posix.links) + both_32(0) + both_32(0)
    px += both_32(0) if posix.px_size >= _SERIAL_SINCE else b""
    found = [_entry(b"PX", px), _entry(b"TF", bytes([_STAMPS]) + short_stamp(now) * 3)]
    pieces = [posix.name[at : at + _LONGEST_TEXT] for at in range(0, len(posix.name), _LONGEST_TEXT)]
    found += [_entry(b"NM", bytes([piece is not pieces[-1]]) + piece) for piece in pieces]
    return found + (_link(posix.target) if posix.target else [])


def split(identifier: bytes, skip: int, entries: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Entries that fit the record, and those for a continuation area, which takes an entry CE in the record."""
    room = _LONGEST - layout.DIRECTORY_RECORD_SIZE - len(identifier) - (1 - len(identifier) % 2) - skip
    if sum(map(len, entries)) <= room:
        return entries, []
    inside: list[bytes] = []
    while entries and sum(map(len, inside)) + len(entries[0]) + _CE_SIZE <= room:
        inside.append(entries[0])
        entries = entries[1:]
    return inside, entries


def continuation(block: int, length: int) -> bytes:
    """The entry that leads to a continuation area at the start of a block."""
    return _entry(b"CE", both_32(block) + both_32(0) + both_32(length))


def pack(identifier: bytes, block: int, size: int, flags: int, now: int, use: bytes = b"") -> bytes:
    """A directory record (ECMA-119, 10.1); `use` is its system use field."""
    fixed = both_32(block) + both_32(size) + short_stamp(now) + bytes([flags, 0, 0]) + both_16(1)
    body = fixed + bytes([len(identifier)]) + identifier + b"\0" * (1 - len(identifier) % 2) + use
    body += b"\0" * (len(body) % 2)
    return bytes([len(body) + 2, 0]) + body


def _link(target: bytes) -> list[bytes]:
    """SL entries: components, each cut where an entry is full, and marked as going on (RRIP 1.12, 4.1.3)."""
    parts = [b"\x08\0"] if target.startswith(b"/") else []
    for name in filter(None, target.split(b"/")):
        special = {b".": _CURRENT, b"..": _PARENT}.get(name)
        if special is not None:
            parts.append(bytes([special, 0]))
            continue
        pieces = [name[at : at + 200] for at in range(0, len(name), 200)]
        parts += [bytes([_CONTINUES if piece is not pieces[-1] else 0, len(piece)]) + piece for piece in pieces]
    groups: list[bytes] = [b""]
    for part in parts:
        if len(groups[-1]) + len(part) > _LONGEST_TEXT:
            groups.append(b"")
        groups[-1] += part
    return [_entry(b"SL", bytes([group is not groups[-1]]) + group) for group in groups]


def _entry(signature: bytes, payload: bytes) -> bytes:
    return signature + bytes([len(payload) + 4, 1]) + payload
