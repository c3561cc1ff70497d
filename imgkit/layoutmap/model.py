"""Areas of an image, and the scale on which they are drawn. Nothing is read here and nothing drawn.

A map is made of claims, which may overlap and contradict each other as the image does, and which `tile` turns into
areas that touch and cover the image exactly:

    claims   |table|     |file system      |   |file system  |table|
    areas    |table|free |file system      |free|file system |table|
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, replace
from enum import StrEnum
from heapq import heappop, heappush
from itertools import accumulate, groupby, pairwise
from typing import TYPE_CHECKING

from imgkit.units import ByteRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MOST_AREAS = 256
_MOST_CHANGED = 256
_LONGEST_LABEL = 60
_FINEST = 2048  # changes that lie closer than this part of an image are one: no drawing tells them apart


class RangeKind(StrEnum):
    """What an area is for."""

    TABLE = "table"
    FILE_SYSTEM = "file system"
    SWAP = "swap"
    CONTAINER = "container"
    PARTITION = "partition"
    FREE = "free"
    SYSTEM_AREA = "system area"
    DESCRIPTORS = "descriptors"
    PATH_TABLES = "path tables"
    DIRECTORIES = "directories"
    FILES = "files"
    BOOT = "boot"
    PADDING = "padding"
    OTHER = "other"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Claim:
    """What something says of a range; it may leave the image. `used` are the bytes of it that are taken, if known."""

    where: ByteRange
    kind: RangeKind
    label: str
    used: int | None = None


@dataclass(frozen=True, slots=True)
class Area:
    """A piece of an image, in bytes. `used` are the bytes of it that are taken, None where that is not known."""

    start: int
    length: int
    kind: RangeKind
    label: str
    used: int | None = None

    @property
    def stop(self) -> int:
        """Where it ends, exclusive."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class LayoutMap:
    """An image of `size` bytes in areas that cover it without gap or overlap, and the ranges that an edit changed."""

    size: int
    areas: tuple[Area, ...]
    changed: tuple[ByteRange, ...] = ()


def make_map(
    size: int,
    claims: Iterable[Claim],
    changed: Iterable[ByteRange] = (),
    *,
    gap: Callable[[ByteRange], tuple[RangeKind, str]] = lambda _where: (RangeKind.FREE, ""),
) -> LayoutMap:
    """The map of an image of `size` bytes; `gap` says what a range is that nothing claims."""
    areas = coarsened(tile(size, claims, gap), MOST_AREAS)
    return LayoutMap(size, areas, joined(changed, size))


def tile(
    size: int,
    claims: Iterable[Claim],
    gap: Callable[[ByteRange], tuple[RangeKind, str]] = lambda _where: (RangeKind.FREE, ""),
) -> tuple[Area, ...]:
    """Areas that cover [0, size) exactly. Where claims overlap, the one that comes first counts."""
    ranked = list(claims)
    inside = [(max(c.where.start, 0), min(c.where.stop, size), rank) for rank, c in enumerate(ranked)]
    opening = sorted(entry for entry in inside if entry[0] < entry[1])
    bounds = sorted({0, size, *(entry[0] for entry in opening), *(entry[1] for entry in opening)})
    owners: list[tuple[int, int, int | None]] = []
    valid: list[tuple[int, int]] = []  # a heap of (rank, stop)
    following = 0
    for start, stop in pairwise(bounds):
        while following < len(opening) and opening[following][0] <= start:
            _, end, rank = opening[following]
            heappush(valid, (rank, end))
            following += 1
        while valid and valid[0][1] <= start:
            heappop(valid)
        owners.append((start, stop, valid[0][0] if valid else None))
    areas: list[Area] = []
    for owner, pieces in groupby(owners, key=lambda piece: piece[2]):
        run = list(pieces)
        where = ByteRange(run[0][0], run[-1][1])
        areas.append(_area(where, ranked[owner]) if owner is not None else _gap(where, gap))
    return tuple(_merged(list(alike)) for _, alike in groupby(areas, key=_alike))


def coarsened(areas: tuple[Area, ...], most: int) -> tuple[Area, ...]:
    """At most so many areas that cover the same: small neighbours become one."""
    threshold = max(1, areas[-1].stop // most) if areas else 1
    while len(areas) > most:
        areas = tuple(
            piece
            for small, run in groupby(areas, key=lambda area, limit=threshold: area.length < limit)  # type: ignore[misc]
            for piece in ([_merged(list(run))] if small else run)
        )
        threshold *= 2
    return areas


def joined(ranges: Iterable[ByteRange], size: int) -> tuple[ByteRange, ...]:
    """Sorted ranges inside [0, size), those that touch or nearly touch as one; a few hundred at most."""
    near = size // _FINEST
    found = sorted(r for r in ranges if r.start < r.stop and r.start < size)
    while True:
        runs: list[ByteRange] = []
        for each in found:
            if runs and each.start - runs[-1].stop <= near:
                runs[-1] = ByteRange(runs[-1].start, max(runs[-1].stop, each.stop))
            else:
                runs.append(each)
        if len(runs) <= _MOST_CHANGED:
            return tuple(ByteRange(run.start, min(run.stop, size)) for run in runs)
        near = max(1, near * 2)


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a drawing puts the bytes of a map: `edges` are the left ends of its areas, and the drawing's width."""

    edges: tuple[float, ...]
    _starts: tuple[int, ...]
    _size: int

    def at(self, position: int) -> float:
        """The place of a byte; places rise with bytes."""
        if position >= self._size or not self._starts:
            return self.edges[-1]
        index = max(0, bisect_right(self._starts, position) - 1)
        start = self._starts[index]
        stop = self._starts[index + 1] if index + 1 < len(self._starts) else self._size
        left, right = self.edges[index], self.edges[index + 1]
        return left + (right - left) * (max(position, start) - start) / (stop - start)


def scale(drawn: LayoutMap, width: float, least: float) -> Scale:
    """A drawing of that width, to scale, but with no area narrower than `least`, so that each can be seen."""
    lengths = [area.length for area in drawn.areas]
    widths = _widths(lengths, width, min(least, width / max(1, len(lengths))))
    edges = (0.0, *accumulate(widths))
    return Scale((*edges[:-1], float(width)), tuple(area.start for area in drawn.areas), drawn.size)


def columns(drawn: LayoutMap, width: int) -> list[int]:
    """How many of `width` columns each area gets, at least one. There may be no more areas than columns."""
    shares = _widths([area.length for area in drawn.areas], width, 1)
    edges = [round(edge) for edge in accumulate(shares)]
    counts = [max(1, stop - start) for start, stop in pairwise([0, *edges])]
    while sum(counts) > width:
        counts[counts.index(max(counts))] -= 1
    while counts and sum(counts) < width:
        counts[counts.index(max(counts))] += 1
    return counts


def encode(drawn: LayoutMap) -> str:
    """A map as one short line of JSON."""
    areas = [[a.start, a.length, a.kind, a.label, a.used] for a in drawn.areas]
    content = {"size": drawn.size, "areas": areas, "changed": [[r.start, r.stop] for r in drawn.changed]}
    return json.dumps(content, separators=(",", ":"))


def decode(line: str) -> LayoutMap:
    """The map that `encode` wrote."""
    content = json.loads(line)
    areas = tuple(
        Area(start, length, RangeKind(kind), label, used) for start, length, kind, label, used in content["areas"]
    )
    return LayoutMap(content["size"], areas, tuple(ByteRange(*pair) for pair in content["changed"]))


def _widths(lengths: Sequence[int], width: float, least: float) -> list[float]:
    """Widths by length that sum up to `width`, none below `least`."""
    narrow: set[int] = set()
    while True:
        rest = sum(length for index, length in enumerate(lengths) if index not in narrow)
        unit = (width - least * len(narrow)) / rest if rest else 0.0
        more = {index for index, length in enumerate(lengths) if index not in narrow and length * unit < least}
        if not more:
            return [least if index in narrow else length * unit for index, length in enumerate(lengths)]
        narrow |= more


def _area(where: ByteRange, claim: Claim) -> Area:
    used = claim.used if where == claim.where else None
    return Area(where.start, where.size, claim.kind, claim.label, used)


def _gap(where: ByteRange, gap: Callable[[ByteRange], tuple[RangeKind, str]]) -> Area:
    kind, label = gap(where)
    return Area(where.start, where.size, kind, label)


def _alike(area: Area) -> object:
    return (area.kind, area.label) if area.used is None else area


def _merged(run: list[Area]) -> Area:
    """Neighbours as one area."""
    first = run[0]
    if len(run) == 1:
        return first
    length = run[-1].stop - first.start
    if len({(area.kind, area.label) for area in run}) == 1:
        return replace(first, length=length, used=None)
    kinds = {area.kind for area in run}
    label = ", ".join(dict.fromkeys(area.label or str(area.kind) for area in run))
    if len(label) > _LONGEST_LABEL:
        label = f"{len(run)} small areas"
    return Area(first.start, length, kinds.pop() if len(kinds) == 1 else RangeKind.MIXED, label)
