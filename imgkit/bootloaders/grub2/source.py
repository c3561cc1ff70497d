r"""Where a script is written: in a file, or in a string of a file that `eval` runs.

A script in a string has a text of its own, with quotes resolved and variables filled in. Each of its characters knows
where it is written, if it is written anywhere, so that an edit of the script becomes an edit of the file:

    file      eval "menuentry 'Live' {\n linux /vmlinuz $options quiet\n}"
                    |                                            |
    script          menuentry 'Live' {\n linux /vmlinuz boot=live quiet\n}
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from imgkit.bootloaders.grub2 import script
from imgkit.configtext.text import Splice, line_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imgkit.bootloaders.grub2.script import Block
    from imgkit.bootloaders.grub2.words import Cell

_SPECIAL_IN_DOUBLE = re.compile(r'([$\\"])')
_SPECIAL_BARE = re.compile(r"([^A-Za-z0-9_.,:/=+@%~^-])")


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A script: the file that holds it, its text and its syntax tree.

    For one that `eval` runs, `outer` is the script with the string, and `cells` says of each character of the text
    where in the text of `outer` it is written; None: nowhere, since a variable stands for it.
    """

    file: str
    text: str
    block: Block
    outer: Source | None = None
    cells: tuple[Cell | None, ...] = ()

    def line(self, offset: int) -> int:
        """Number, from 1, of the file's line that `offset` of the text is written on."""
        if self.outer is None:
            return line_number(self.text, offset)
        written = (cell for cell in (*self.cells[offset:], *reversed(self.cells[:offset])) if cell is not None)
        return self.outer.line(next((cell.start for cell in written), 0))

    def key(self, offset: int) -> tuple[str, int]:
        """A file and a line that mean this place, whichever way GRUB came to it."""
        return self.file, self.line(offset)

    def in_file(self, changes: Iterable[Splice]) -> Iterator[Splice]:
        """Changes of the text as changes of the file, without those that it cannot express."""
        if self.outer is None:
            yield from changes
        else:
            translated = (self._in_outer(change) for change in changes)
            yield from self.outer.in_file(change for change in translated if change is not None)

    def _in_outer(self, change: Splice) -> Splice | None:
        replaced = self.cells[change.start : change.stop]
        if not replaced:
            return self._insertion(change)
        places = [cell for cell in replaced if cell is not None]
        # What is not written in one piece cannot be replaced as one.
        if len(places) < len(replaced) or any(a.stop != b.start or a.quote != b.quote for a, b in pairwise(places)):
            return None
        new = _written(change.new, places[0].quote)
        return None if new is None else Splice(places[0].start, places[-1].stop, new)

    def _insertion(self, change: Splice) -> Splice | None:
        at = change.start
        before = self.cells[at - 1] if at else None
        behind = self.cells[at] if at < len(self.cells) else None
        cell = before or behind
        if cell is None:
            return None
        new, place = _written(change.new, cell.quote), cell.stop if before else cell.start
        return None if new is None else Splice(place, place, new)


def file_source(file: str, text: str) -> Source:
    """The script that a file is. Raises `ConfigError` where it is none."""
    return Source(file, text, script.parse(text))


def string_source(outer: Source, cells: Sequence[tuple[str, Cell | None]]) -> Source:
    """The script in a string of `outer`, from its characters and where each is written. Raises `ConfigError`."""
    text = "".join(character for character, _ in cells)
    return Source(outer.file, text, script.parse(text), outer, tuple(cell for _, cell in cells))


def _written(new: str, quote: str) -> str | None:
    """`new` as it has to be written inside such quotes; None where it cannot be."""
    match quote:
        case '"':
            return _SPECIAL_IN_DOUBLE.sub(r"\\\1", new)
        case "'":
            return None if "'" in new else new
    return None if "\n" in new else _SPECIAL_BARE.sub(r"\\\1", new)
