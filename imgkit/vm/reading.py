"""What comes over a serial line, for reading: without what moves a cursor, sets colours, and blanks a screen.

A boot menu draws itself anew with each second of its countdown; on a terminal that shows other things too, and in a
log, its sequences are noise at best. Not here: a terminal. Who wants the machine's own picture attaches to its console.

The sequences: ECMA-48, https://ecma-international.org/publications-and-standards/standards/ecma-48/
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field

_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*(?P<final>[@-~])"  # control sequences
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)"  # strings, as a window's title
    r"|[ -/]+[0-~]|[0-Z\\^-~])"  # character sets, and short ones
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[ -/]*)$")
_LONGEST = 256  # characters of a sequence that may still end
_WIDEST = 512  # characters of white space that count
_SILENT = dict.fromkeys(b"\0\a\b\r\x0e\x0f")  # bell, steps back, shifts between character sets
_MOVES = "HfABEFJ"  # what follows stands elsewhere


@dataclass(slots=True)
class Reader:
    """Takes the line's bytes as they come; gives text as soon as it is known."""

    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )
    _unfinished: str = ""
    _gap: str = "\n"  # white space that waits for what follows it: it may be the end of a blanked line

    def read(self, data: bytes) -> str:
        """The text of more bytes: no empty line follows another, no line ends in spaces."""
        text = self._unfinished + self._decoder.decode(data)
        tail = _UNFINISHED.search(text, max(0, len(text) - _LONGEST))
        self._unfinished = tail[0] if tail else ""
        text = _SEQUENCE.sub(_plain, text[: len(text) - len(self._unfinished)])
        text = text.translate(_SILENT)
        shown = ""
        for part in re.split(r"(\s+)", text):
            if part.isspace():
                self._gap = (self._gap + part)[-_WIDEST:]
            elif part:
                shown += self._spaced() + part
        return shown

    def _spaced(self) -> str:
        lines, spaces = self._gap.count("\n"), self._gap.rpartition("\n")[2]
        self._gap = ""
        return "\n" * min(lines, 2) + spaces


def _plain(sequence: re.Match[str]) -> str:
    final = sequence["final"]
    if final == "C":
        return " "
    return "\n" if final and final in _MOVES else ""
