"""LVM's configuration text, in which volume groups are written: sections, numbers, strings and lists.

    group { id = "..." seqno = 3 status = ["READ", "WRITE"] physical_volumes { pv0 { ... } } }

The text is untrusted. Its size is bounded by whoever reads it, depth here.

Specification: lvm.conf(5), "SYNTAX"; libdm/libdm-config.c of https://sourceware.org/git/lvm2.git
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from imgkit.volumes.lvm2.label import damage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.errors import FormatError

Value: TypeAlias = "int | str | list[int | str]"

_DEEPEST = 12
# Atomic, so that no text takes more than one pass.
_TOKEN = re.compile(
    r'(?>(?:[\s\0]|\#[^\n]*+)*)(?:(?P<text>"(?>(?:[^"\\]|\\.)*)")|(?P<word>[\w.+/@-]++)|(?P<mark>[{}\[\]=,])|(?P<end>\Z))',
    re.ASCII | re.DOTALL,
)
_NUMBER = re.compile(r"-?\d+")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Section:
    """One section. `path` is its place in the text ("group/logical_volumes/root"), for messages."""

    path: str
    offset: int
    values: dict[str, Value] = field(default_factory=dict)
    sections: dict[str, Section] = field(default_factory=dict)

    def number(self, name: str, *, least: int = 0, most: int = (1 << 63) - 1) -> int:
        """A number in that range. FormatError for anything else."""
        value = self.values.get(name)
        if not isinstance(value, int) or not least <= value <= most:
            raise self.damage(f"{name} is {_shown(value)}, not a number from {least:,} to {most:,}", name)
        return value

    def text(self, name: str) -> str:
        """A string. FormatError for anything else."""
        value = self.values.get(name)
        if not isinstance(value, str):
            raise self.damage(f"{name} is {_shown(value)}, not a string", name)
        return value

    def items(self, name: str) -> list[int | str]:
        """A list, empty where there is none: LVM leaves out the lists that it has no use for."""
        value = self.values.get(name, [])
        return value if isinstance(value, list) else [value]

    def section(self, name: str) -> Section:
        """A section inside this one, empty where there is none."""
        return self.sections.get(name) or Section(f"{self.path}/{name}", self.offset)

    def strings(self) -> Iterator[tuple[str, str]]:
        """Name and text of all strings in this section and below it, also of those in lists."""
        for name, value in self.values.items():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, str):
                    yield name, item
        for section in self.sections.values():
            yield from section.strings()

    def damage(self, message: str, name: str) -> FormatError:
        """FormatError about a value of this section."""
        return damage(f"the LVM2 metadata is damaged: in {self.path}, {message}", self.offset, f"{self.path}/{name}")


def parse(raw: bytes, offset: int) -> Section:
    """The text as one section. `offset` is where it lies, for messages. FormatError where it breaks the syntax."""
    # Names are ASCII; what descriptions and host names hold does not matter here.
    return _Parser(raw.decode("utf-8", "replace"), offset).parse()


class _Parser:
    __slots__ = ("_kind", "_offset", "_position", "_start", "_symbol", "_text")

    def __init__(self, text: str, offset: int) -> None:
        self._text, self._offset = text, offset
        self._position = self._start = 0
        self._kind = self._symbol = ""
        self._advance()

    def parse(self) -> Section:
        top = Section("", self._offset)
        self._fill(top, 0)
        if self._kind != "end":
            raise self._damage(f"{self._symbol!r} closes nothing")
        return top

    def _fill(self, section: Section, depth: int) -> None:
        if depth > _DEEPEST:
            raise self._damage("sections are nested too deep")
        while self._kind == "word":
            name = self._take()
            if name in section.values or name in section.sections:
                raise self._damage(f"{name} occurs twice")
            if self._symbol == "{":
                self._take()
                inner = Section(f"{section.path}/{name}".lstrip("/"), self._offset + self._start)
                section.sections[name] = inner
                self._fill(inner, depth + 1)
                self._expect("}")
            else:
                self._expect("=")
                section.values[name] = self._list() if self._symbol == "[" else self._item()

    def _list(self) -> list[int | str]:
        self._expect("[")
        items: list[int | str] = []
        while self._symbol != "]":
            items.append(self._item())
            if self._symbol != "]":
                self._expect(",")
        self._take()
        return items

    def _item(self) -> int | str:
        if self._kind == "text":
            return _ESCAPE.sub(r"\1", self._take()[1:-1])
        if self._kind != "word":
            raise self._damage(f"{self._symbol or 'the end'!r} where a value belongs")
        word = self._take()
        # No number that counts is longer, and Python takes quadratic time for the digits of a number.
        return int(word) if len(word) < 20 and _NUMBER.fullmatch(word) else word  # noqa: PLR2004

    def _expect(self, mark: str) -> None:
        if self._kind != "mark" or self._symbol != mark:
            raise self._damage(f"{self._symbol or 'the end'!r} where {mark!r} belongs")
        self._take()

    def _take(self) -> str:
        symbol = self._symbol
        self._advance()
        return symbol

    def _advance(self) -> None:
        found = _TOKEN.match(self._text, self._position)
        if found is None:
            self._start = self._position
            raise self._damage(f"{self._text[self._position : self._position + 20]!r} is not valid syntax")
        self._kind, self._position = found.lastgroup or "", found.end()
        self._symbol = found[self._kind]
        self._start = self._position - len(self._symbol)

    def _damage(self, message: str) -> FormatError:
        offset = self._offset + len(self._text[: self._start].encode())
        return damage(f"the LVM2 metadata is damaged: {message}", offset, "text")


def _shown(value: Value | None) -> str:
    return "missing" if value is None else "a list" if isinstance(value, list) else repr(value)[:40]
