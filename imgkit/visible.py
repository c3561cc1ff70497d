"""Text that comes from an image, a server or another user, made fit for a terminal, a log and a page: here alone.

Control characters, bytes that are no UTF-8 and characters that turn the direction of writing become escapes, so that no
name can forge a line, a message or a terminal's sequence.
"""

from __future__ import annotations

_DELETE = 0x7F
_KEPT = b"\t\n"


def visible_text(text: str) -> str:
    """Text of several lines: all that cannot be seen, but line ends and tabs, as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)


def visible_line(text: str) -> str:
    """Text of one line: a line end in it is an escape too."""
    return visible_text(text).replace("\n", "\\n")


def visible_bytes(data: bytes) -> bytes:
    """Bytes as `cat -v` shows them: ^X for controls, M- before what has its highest bit set; tabs and line ends stay.

    Characters of UTF-8 that can be seen stay as well, which cat(1) would spoil.
    """
    shown = bytearray()
    for char in data.decode(errors="surrogateescape"):
        if char.isprintable():
            shown += char.encode()
        else:
            for byte in char.encode(errors="surrogateescape"):
                shown += _shown(byte)
    return bytes(shown)


def _shown(byte: int) -> bytes:
    if byte in _KEPT:
        return bytes([byte])
    high, low = (b"M-", byte & _DELETE) if byte > _DELETE else (b"", byte)
    if low < ord(" ") or low == _DELETE:
        return high + b"^" + bytes([low ^ 0x40])
    return high + bytes([low])
