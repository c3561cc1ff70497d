"""Messages between the engine and its agent: lists of byte strings.

    line      length of the body, 4 bytes | body, if it is short
    mailbox   body, if it is not: a place on the disk of the two, as a serial line of User-Mode Linux is slow and stalls
    body      each field behind its own length

Neither end decodes more than lengths, which are bounded: what comes from the kernel is as untrusted as the image.
Run inside the kernel too, from its file: it imports nothing of imgkit.
"""

from __future__ import annotations

import struct

LENGTH = struct.Struct("<I")
INLINE = 1024  # bytes of the longest body that goes over the line
MAILBOX_START, MAILBOX_SIZE = 1 << 20, 16 << 20  # bytes on the disk
BLOCK = 4096  # direct I/O goes by these


def pack(*fields: bytes) -> bytes:
    """A body with these fields."""
    return b"".join(LENGTH.pack(len(field)) + field for field in fields)


def unpack(body: bytes) -> list[bytes]:
    """The fields of a frame's body. Raises ValueError where the lengths do not add up."""
    fields = []
    at = 0
    while at < len(body):
        if at + LENGTH.size > len(body):
            raise ValueError("a field's length is cut off")
        (length,) = LENGTH.unpack_from(body, at)
        at += LENGTH.size
        if at + length > len(body):
            raise ValueError("a field leaves its frame")
        fields.append(body[at : at + length])
        at += length
    return fields
