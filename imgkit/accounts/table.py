"""passwd, shadow, group and gshadow: lines of fields with colons between them. Text in, text out.

The formats: passwd(5), shadow(5), group(5), gshadow(5), https://github.com/shadow-maint/shadow
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.configtext.text import Splice, insert_lines, lines, splice

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWD, SHADOW, GROUP, GSHADOW = "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"

_NIS = ("+", "-")  # such lines send whoever reads on to NIS, and all that follows is read after it


@dataclass(frozen=True, slots=True)
class Row:
    """One line: its number from 1, its offset in the text, its fields."""

    line: int
    start: int
    fields: tuple[str, ...]

    def field(self, index: int) -> str:
        """A field, "" where the line is shorter."""
        return self.fields[index] if index < len(self.fields) else ""

    def number(self, index: int) -> int | None:
        """A field that is a decimal number; None where it is not."""
        text = self.field(index)
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None  # noqa: PLR2004 - 32 bits


def rows(text: str) -> Iterator[Row]:
    """The lines with at least one field; comments and NIS's lines are passed over."""
    for line in lines(text):
        if ":" in line.body and not line.body.startswith(("#", *_NIS)):
            yield Row(line.number, line.start, tuple(line.body.split(":")))


def find(text: str | None, name: str) -> Row | None:
    """The first line for a name, which is the one that counts."""
    return next((row for row in rows(text or "") if row.fields[0] == name), None)


def set_field(text: str, name: str, index: int, value: str) -> str:
    """`text` with one field of the first line for `name` set; as it is where there is no such line, or field."""
    row = find(text, name)
    if row is None or index >= len(row.fields):
        return text
    start = row.start + sum(len(field) + 1 for field in row.fields[:index])
    return splice(text, [Splice(start, start + len(row.fields[index]), value)])


def add(text: str, *fields: str) -> str:
    """`text` with one more line, at its end or before what belongs to NIS."""
    at = next((line.start for line in lines(text) if line.body.startswith(_NIS)), len(text))
    return splice(text, [insert_lines(text, at, [":".join(fields)])])
