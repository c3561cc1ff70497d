"""How inputs are changed: where something is, and mostly to values that mean something."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable

_INTERESTING = (0, 1, 2, 3, 4, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x400, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_PIECES = (
    *("\r", "\n", "\r\n", "\t", " ", '"', "'", "\\", "$x", "${x", "`", "#", "--", "---", "=", "console=ttyS0"),
    *("{", "}", "[", "]", "(", ")", ";", ":", ",", "/", "é", "\x0b", "\0", "\udcff", "if", "fi", "menuentry", "label"),
)


def mutated(data: bytes, noise: random.Random, where: Callable[[], int]) -> bytearray:
    """`data` with one to four changes at the offsets that `where` gives."""
    changed = bytearray(data)
    for _ in range(noise.randint(1, 4)):
        at = max(min(where(), len(changed) - 8), 0)
        width = noise.choice((1, 2, 4))
        old = int.from_bytes(changed[at : at + width], "little")
        value = noise.choice(
            (
                noise.choice(_INTERESTING),
                old ^ 1 << noise.randrange(8 * width),
                old + noise.choice((-1, 1)),
                noise.getrandbits(32),
            )
        )
        changed[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, noise.choice(("little", "big")))
    return changed


def somewhere(data: bytes, noise: random.Random) -> Callable[[], int]:
    """Offsets at or beside bytes that are not zero."""
    used = _used(data)
    return lambda: max(noise.choice(used) + noise.choice((-4, -2, 0, 0, 0, 1, 2)), 0)


def changed_bytes(data: bytes, noise: random.Random) -> bytes:
    """A binary structure, changed; sometimes it ends early."""
    changed = mutated(data or bytes(8), noise, somewhere(data, noise))
    return bytes(changed[: noise.randrange(len(changed))] if noise.random() < 0.05 else changed)


def changed_text(data: bytes, noise: random.Random) -> bytes:
    """A text with up to six pieces put in, taken out, replaced or repeated."""
    text = data.decode(errors="surrogateescape")
    for _ in range(noise.randint(1, 6)):
        at = noise.randrange(len(text) + 1)
        piece = noise.choice((*_PIECES, "", text[at : at + noise.randrange(30)]))
        piece *= 300 if noise.random() < 0.01 else 1
        text = text[:at] + piece + text[at + noise.choice((0, 0, 1, 4)) :]
    return text.encode(errors="surrogateescape")


@functools.cache
def _used(data: bytes) -> list[int]:
    return [at for at, byte in enumerate(data) if byte] or [0]
