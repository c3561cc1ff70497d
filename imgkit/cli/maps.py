"""The map of an image in a terminal: a bar of blocks, to scale, with a legend.

Every area gets a block at least, so that none is too small to be seen; the many small ones of an ISO are joined.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from imgkit.cli.render import colour
from imgkit.layoutmap.model import LayoutMap, RangeKind, coarsened, columns
from imgkit.units import format_size
from imgkit.visible import visible_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.layoutmap.model import Area

_WIDEST, _NARROWEST = 120, 20
_MOST = 24  # lines of legend
_MARGIN = 2
_LAST_DIGIT = 9
_TAKEN, _LEFT = "█", "▒"
_GLYPHS = {
    RangeKind.TABLE: "▚",
    RangeKind.FILE_SYSTEM: "▓",
    RangeKind.SWAP: "▞",
    RangeKind.CONTAINER: "▓",
    RangeKind.PARTITION: "░",
    RangeKind.FREE: "·",
    RangeKind.SYSTEM_AREA: "▚",
    RangeKind.DESCRIPTORS: "▞",
    RangeKind.PATH_TABLES: "▞",
    RangeKind.DIRECTORIES: "▓",
    RangeKind.FILES: "█",
    RangeKind.BOOT: "▒",
    RangeKind.PADDING: "·",
    RangeKind.OTHER: "░",
    RangeKind.MIXED: "▚",
}
_ASCII = str.maketrans("█▓▒░▚▞·", "#@=-%/.")
_GREEN, _YELLOW, _BLUE, _MAGENTA, _CYAN, _DIM, _RESET = (f"\x1b[{n}m" for n in (32, 33, 34, 35, 36, 2, 0))
_COLOURS = {
    RangeKind.TABLE: _MAGENTA,
    RangeKind.FILE_SYSTEM: _GREEN,
    RangeKind.SWAP: _CYAN,
    RangeKind.CONTAINER: _BLUE,
    RangeKind.PARTITION: _YELLOW,
    RangeKind.SYSTEM_AREA: _MAGENTA,
    RangeKind.DESCRIPTORS: _MAGENTA,
    RangeKind.PATH_TABLES: _CYAN,
    RangeKind.DIRECTORIES: _CYAN,
    RangeKind.FILES: _GREEN,
    RangeKind.BOOT: _YELLOW,
    RangeKind.OTHER: _BLUE,
    RangeKind.MIXED: _BLUE,
}


def map_lines(drawn: LayoutMap) -> Iterator[str]:
    """The drawing, coloured on a terminal, in plain letters where the output's encoding has no blocks."""
    width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns) - 2 * _MARGIN)
    areas = coarsened(drawn.areas, min(_MOST, width // 2))
    counts = columns(LayoutMap(drawn.size, areas), width)
    painted, plain = colour(sys.stdout), not _has_blocks(sys.stdout.encoding)
    bars = (_painted(_bar(area, count), area.kind, painted) for area, count in zip(areas, counts, strict=True))
    margin = " " * _MARGIN
    if areas:
        yield _told(margin + "".join(bars), plain)
        yield margin + _numbers(counts)
    for number, area in enumerate(areas, 1):
        glyph = _painted(_bar(area, 1), area.kind, painted)
        used = "" if area.used is None else f", {format_size(area.used)} used"
        told = visible_line(f"{area.label}{used}")
        line = f"{margin}{number:>2} {glyph} {format_size(area.length):>10}  {area.kind:<13}{told}"
        yield _told(line.rstrip(), plain)


def _bar(area: Area, count: int) -> str:
    """An area's blocks; of a file system whose use is known, dark ones for what is taken."""
    if area.used is None:
        return _GLYPHS[area.kind] * count
    taken = min(count, -(-area.used * count // area.length))
    return _TAKEN * taken + _LEFT * (count - taken)


def _numbers(counts: list[int]) -> str:
    """Each area's number below its first block, where there is room for it."""
    line, position = "", 0
    for number, count in enumerate(counts, 1):
        if len(line) + (number > _LAST_DIGIT) <= position:  # 9 and 10 side by side would be 910
            line = line.ljust(position) + str(number)
        position += count
    return line


def _painted(blocks: str, kind: RangeKind, painted: bool) -> str:
    return f"{_COLOURS.get(kind, _DIM)}{blocks}{_RESET}" if painted else blocks


def _has_blocks(encoding: str) -> bool:
    try:
        "".join(_GLYPHS.values()).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _told(line: str, plain: bool) -> str:
    return line.translate(_ASCII) if plain else line
