"""Inputs that fuzzing has found to reach something new: a file for each parser, a line for each input.

A line is the input, compressed with zlib, in base 85. They are ours: made from the well-formed inputs of `parsers`.
"""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 24 << 10  # characters of one file


def path_of(name: str) -> Path:
    """Where the inputs of a parser are."""
    return Path(__file__).with_name(f"{name.replace(' ', '-')}.txt")


def load(name: str) -> list[bytes]:
    """The inputs of a parser; none where it was never fuzzed."""
    path = path_of(name)
    lines = path.read_text().split() if path.exists() else []
    return [zlib.decompress(base64.b85decode(line)) for line in lines]


def save(name: str, inputs: Iterable[bytes]) -> None:
    """Keep the shortest of these, as many as fit."""
    lines = sorted({base64.b85encode(zlib.compress(data, 9)).decode() for data in inputs}, key=lambda s: (len(s), s))
    kept, room = [], _MOST
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    path_of(name).write_text("".join(f"{line}\n" for line in kept))
