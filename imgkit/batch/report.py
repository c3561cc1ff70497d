"""What a batch came to, from its ledger: totals, failures by cause, times by engine. How it looks is not known here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from imgkit.batch.ledger import State
from imgkit.layoutmap.model import LayoutMap, decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imgkit.batch.ledger import Ledger, Outcome, Record

_VALUE = re.compile(
    r"(?P<quoted>'[^']*'|\"[^\"]*\")|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b|\b0x[0-9a-fA-F]+\b"
    r"|\b\d[\d,]*(?:\.\d+)?\b"
)


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its number in the ledger, its name below the folder of all, and what came of it.

    `message` is the outcome's, without the image's own name.
    """

    number: int
    name: str
    input: str
    output: str
    operation: str
    outcome: Outcome
    message: str
    layout: LayoutMap | None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why images failed: the error's class, what its messages have in common, the way out, and the images' numbers."""

    error: str
    message: str
    hint: str
    images: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long an engine's images took, in seconds, sorted; `failed` ones have none, and stand for themselves."""

    engine: str
    seconds: tuple[float, ...]

    def quantile(self, part: float) -> float:
        """The time that so great a part of the images did not exceed."""
        return self.seconds[min(len(self.seconds) - 1, int(part * len(self.seconds)))]


@dataclass(frozen=True, slots=True)
class Report:
    """A batch. `folder` is what all of its images' names begin with."""

    batch: str
    folder: str
    counts: dict[State, int]
    images: tuple[Image, ...]
    causes: tuple[Cause, ...]
    timings: tuple[Timing, ...]


def make_report(ledger: Ledger) -> Report:
    """The report of a ledger, as it is now."""
    records = list(ledger.records())
    folder = _folder([str(record.input) for record in records])
    images = tuple(_image(record, folder) for record in records)
    counts = {state: sum(image.outcome.state is state for image in images) for state in State}
    return Report(ledger.folder.name, folder, counts, images, causes(images), timings(images))


def causes(images: Iterable[Image]) -> tuple[Cause, ...]:
    """The failures by cause, the most frequent first."""
    found: dict[tuple[str, str], list[Image]] = {}
    for image in images:
        if image.outcome.state is State.FAILED:
            key = (image.outcome.error, shape(image.outcome.message, image.input, image.output))
            found.setdefault(key, []).append(image)
    made = []
    for (error, message), alike in found.items():
        first = alike[0]
        told = message if len(alike) > 1 else first.message
        hint = _without_names(first.outcome.hint, first.input, first.output)
        made.append(Cause(error, told, hint, tuple(image.number for image in alike)))
    return tuple(sorted(made, key=lambda cause: -len(cause.images)))


def shape(message: str, *names: str) -> str:
    """A message without what differs from image to image: their names, numbers, and what is quoted."""
    return _VALUE.sub(lambda match: "'…'" if match["quoted"] else "…", _without_names(message, *names))


def timings(images: Iterable[Image]) -> tuple[Timing, ...]:
    """Times by engine, failures apart, the most used engine first."""
    found: dict[str, list[float]] = {}
    for image in images:
        outcome = image.outcome
        if outcome.seconds > 0:
            found.setdefault(engine_of(outcome), []).append(outcome.seconds)
    made = [Timing(engine, tuple(sorted(seconds))) for engine, seconds in found.items()]
    return tuple(sorted(made, key=lambda timing: (timing.engine == "failed", -len(timing.seconds))))


def engine_of(outcome: Outcome) -> str:
    """Whose time it is: an engine's, or that of a failure."""
    return "failed" if outcome.state is State.FAILED else outcome.engine or "not known"


def _image(record: Record, folder: str) -> Image:
    name = str(record.input)
    output = str(record.output) if record.output else ""
    layout = decode(record.outcome.layout) if record.outcome.layout else None
    message = _without_names(record.outcome.message, name, output)
    return Image(record.id, name.removeprefix(folder), name, output, record.operation, record.outcome, message, layout)


def _folder(names: Sequence[str]) -> str:
    """What all names begin with, up to a slash."""
    # Of all strings, the first and the last differ earliest. The names may be URLs, which `commonpath` would mangle.
    first, last = (min(names), max(names)) if names else ("", "")
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    return first[: first.rfind("/", 0, same) + 1]


def _without_names(message: str, *names: str) -> str:
    """A message with IMAGE for the image's own names; one at its start, which says nothing, goes."""
    for name in sorted(filter(None, names), key=len, reverse=True):
        message = message.replace(name, "IMAGE")
    for short in {PurePosixPath(name).name for name in names} - {""}:
        message = re.sub(rf"(?<![\w.-]){re.escape(short)}(?![\w-]|\.\w)", lambda _match: "IMAGE", message)
    return message.removeprefix("IMAGE: ")
