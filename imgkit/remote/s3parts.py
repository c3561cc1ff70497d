"""How a changed image becomes an object of an S3 store from parts, most of which the store copies by itself.

The rules (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html): at most 10,000 parts; each of 5 MiB to
5 GiB, only the last may be smaller. So a small change in the middle cannot be a part; sent with as much around it as a
part needs, it would cost 5 MiB down and 5 MiB up. But in an object of its own it can be the last part, behind 5 MiB
that the store copies, and this object, whole, can be a part:

    source   |-------------------------------------------|
    changed                      ==
    stitch               [ copy ][up]                          5 MiB copied, and the change, sent
    object   |  copy    ||  stitch  ||  copy             |

A change near the start is sent with what precedes it. Nothing here talks to a store.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from imgkit.units import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LEAST = 5 * MIB
MOST = 10_000
_MOST_EVEN = 8_000  # parts that a long range is cut into
_NEAR = 512 * KIB  # changes this close are sent with what lies between them
_SENT = 6 * MIB  # of one part, or up to twice as much, unless there would be too many; some are in memory at a time
_COPIED = 256 * MIB  # as above; several are copied at a time


@dataclass(frozen=True, slots=True)
class Copy:
    """A part that the store copies from the same place of the source."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Upload:
    """A part that is sent."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Stitch:
    """A part that is an object first: [start, middle) copied, [middle, stop) sent."""

    start: int
    middle: int
    stop: int


Part: TypeAlias = Copy | Upload | Stitch


def plan_parts(changed: Sequence[tuple[int, int]], size: int) -> list[Part]:
    """The parts, in order, of an object of `size` bytes that differs from its source in `changed` (sorted, half-open).

    What is not changed is in the source at the same offset.
    """
    near = _NEAR
    while len(parts := _parts(_islands(changed, size, near), size)) > MOST:
        near *= 4
    return parts


def _parts(islands: list[tuple[int, int]], size: int) -> list[Part]:
    parts: list[Part] = []
    position = 0
    for start, stop in islands:
        if stop > position:
            position = _lay(parts, position, max(start, position), stop, size)
    if position < size or not parts:
        parts.append(Copy(position, size) if size else Upload(0, 0))
    return [piece for part in parts for piece in _cut(part, size)]


def _islands(changed: Iterable[tuple[int, int]], size: int, near: int) -> list[tuple[int, int]]:
    islands: list[tuple[int, int]] = []
    for start, stop in changed:
        if islands and start - islands[-1][1] < near:
            islands[-1] = (islands[-1][0], min(stop, size))
        elif start < size:
            islands.append((start, min(stop, size)))
    return islands


def _lay(parts: list[Part], position: int, start: int, stop: int, size: int) -> int:
    """Add the parts of [position, stop), of which [start, stop) is changed; where they end, at `stop` or later."""
    gap = start - position
    if gap >= LEAST:
        if stop - start >= LEAST or stop == size:
            parts += [Copy(position, start), Upload(start, stop)]
            return stop
        first = start - LEAST if gap >= 2 * LEAST else position
        if first > position:
            parts.append(Copy(position, first))
        parts.append(Stitch(first, start, stop))
        return stop
    # Too little before it for a part: it is sent too, with the part before that, if there is one.
    last = parts.pop() if parts else Upload(0, 0)
    if isinstance(last, Stitch):
        if stop - last.middle < LEAST:
            parts.append(Stitch(last.start, last.middle, stop))
            return stop
        parts.append(Copy(last.start, last.middle))
        last = Upload(last.middle, last.middle)
    reached = max(stop, min(last.start + LEAST, size))
    parts.append(Upload(last.start, reached))
    return reached


def _cut(part: Part, size: int) -> list[Part]:
    """A part as parts of the sizes that are allowed and wanted."""
    if isinstance(part, Stitch):
        return [part]
    kind, wanted = (Copy, _COPIED) if isinstance(part, Copy) else (Upload, _SENT)
    wanted = max(wanted, -(-size // _MOST_EVEN))
    number = max(1, (part.stop - part.start) // wanted)
    edges = [part.start + (part.stop - part.start) * n // number for n in range(number + 1)]
    return [kind(start, stop) for start, stop in pairwise(edges)]
