"""What every tokenizer here stands on: bytes to text and back, lines, and splices.

A splice replaces one range of a text. Edits are lists of splices, so whatever no splice names stays as it was, byte
for byte: spacing, comments, line ends. Text is `str` in which bytes that are not UTF-8 are surrogate escapes (PEP 383).
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_SIZE = 1 << 20
"""Longest configuration file that is read, in bytes. Real ones stay below 200 KiB."""

_LINE_END = re.compile(r"\n")


@dataclass(frozen=True, slots=True)
class Splice:
    """Replace the characters [start, stop) by `new`."""

    start: int
    stop: int
    new: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it was found: the line, from 1, what it sets, and to what."""

    line: int
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Line:
    """One physical line: its number from 1, its offset in the text, and what it holds without its line end."""

    number: int
    start: int
    body: str

    @property
    def stop(self) -> int:
        """Offset of the line end."""
        return self.start + len(self.body)


def decode(data: bytes) -> str:
    """Text of a configuration file. Raises `ConfigError` for what cannot be one: too long, or with NUL bytes."""
    if len(data) > MAX_SIZE:
        raise ConfigError(f"too long for a configuration file: {len(data):,} bytes")
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise ConfigError(
            "contains NUL bytes: it is UTF-16 or not text", line=line, hint="Save the file as UTF-8 or restore it."
        )
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Bytes of a text that `decode` gave."""
    return text.encode("utf-8", "surrogateescape")


def lines(text: str) -> Iterator[Line]:
    r"""Physical lines, ended by \n or \r\n; `str.splitlines` would also split at form feeds and U+2028."""
    start = 0
    for number, body in enumerate(text.split("\n"), 1):
        stop = start + len(body)
        if stop < len(text):
            yield Line(number, start, body.removesuffix("\r"))
        elif body:
            yield Line(number, start, body)
        start = stop + 1


def line_number(text: str, offset: int) -> int:
    """Number, from 1, of the line that holds `offset`."""
    return bisect_left(_line_ends(text), offset) + 1


@functools.lru_cache(maxsize=4)  # one look at a menu asks for thousands of numbers in one text
def _line_ends(text: str) -> tuple[int, ...]:
    return tuple(match.start() for match in _LINE_END.finditer(text))


def newline(text: str) -> str:
    r"""The line end that new lines take: \r\n where the text's first line ends so."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def splice(text: str, splices: Iterable[Splice]) -> str:
    """`text` with all splices applied, the same object where they change nothing.

    They must not overlap. Insertions at one offset come in the order given.
    """
    parts: list[str] = []
    at = 0
    for change in sorted(splices, key=lambda change: (change.start, change.stop)):
        assert at <= change.start <= change.stop <= len(text), f"overlapping splices at {change.start}"
        parts += (text[at : change.start], change.new)
        at = change.stop
    changed = "".join((*parts, text[at:]))
    return text if changed == text else changed


def insert_lines(text: str, offset: int, new: Iterable[str], end: str = "") -> Splice:
    """Splice that puts whole lines at `offset`, the start of a line or the end of the text.

    They end in `end`, or as the text's lines do.
    """
    end = end or newline(text)
    block = "".join(line + end for line in new)
    if block and offset == len(text) and text and not text.endswith("\n"):
        # The last line has no end: the new text has none either.
        block = end + block.removesuffix(end)
    return Splice(offset, offset, block)


def append_lines(text: str, new: Iterable[str], end: str = "") -> str:
    """`text` with whole lines added at its end."""
    return splice(text, [insert_lines(text, len(text), new, end)])


def line_start(text: str, offset: int) -> int:
    """Offset at which the line that holds `offset` starts."""
    return text.rfind("\n", 0, offset) + 1
