"""Maps and times as SVG. Each distinct map is drawn once, as a symbol, and shown wherever an image has it.

SVG 2, https://www.w3.org/TR/SVG2/ ; colours are those of the style sheet, by class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgkit.batch.markup import Html, element, joined
from imgkit.batch.report import engine_of
from imgkit.layoutmap.model import LayoutMap, RangeKind, scale
from imgkit.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgkit.batch.report import Image, Report, Timing
    from imgkit.layoutmap.model import Area

_WIDTH, _HEIGHT = 1000, 30
_LEAST = 4  # of the width: what is narrower would not be seen
_MOST_TOLD = 8
_MARK = 5  # least width of a mark
_CLASSES = {kind: f"k{number}" for number, kind in enumerate(RangeKind)}
_ROW, _DOT, _BINS = 64, 3.2, 130
_DECADES = dict(enumerate(("0.1 ms", "1 ms", "10 ms", "0.1 s", "1 s", "10 s", "100 s", "17 min", "2.8 h"), -4))


@dataclass(slots=True)
class MapBook:
    """The distinct maps of a report, and the distinct sets of changed ranges, in the order in which they came."""

    _maps: dict[LayoutMap, int] = field(default_factory=dict)
    _marks: dict[str, int] = field(default_factory=dict)

    def draw(self, drawn: LayoutMap) -> tuple[Html, int, int | None]:
        """A small drawing of an image's map, and the numbers of the map and of its marks."""
        bare = LayoutMap(drawn.size, drawn.areas)
        number = self._maps.setdefault(bare, len(self._maps))
        marks = _marks(drawn)
        mark = self._marks.setdefault(marks, len(self._marks)) if marks else None
        uses = [element("use", href=f"#m{number}")]
        if mark is not None:
            uses.append(element("use", href=f"#c{mark}"))
        label = f"Map of {format_size(drawn.size)}: {_summary(drawn)}"
        return element("svg", *uses, class_="map", role="img", aria_label=label), number, mark

    def symbols(self) -> Html:
        """What the small drawings refer to."""
        box = {"viewBox": f"0 0 {_WIDTH} {_HEIGHT}", "preserveAspectRatio": "none"}
        found = [element("symbol", *_shapes(each), id=f"m{number}", **box) for each, number in self._maps.items()]
        for marks, number in self._marks.items():
            found.append(element("symbol", element("path", class_="mark", d=marks), id=f"c{number}", **box))
        return element("svg", *found, class_="symbols", width="0", height="0", aria_hidden="true")

    def legends(self) -> Iterator[Html]:
        """Every map in full: the drawing, and a table of its areas."""
        for drawn, number in self._maps.items():
            told = any(area.used is not None for area in drawn.areas)
            rows = (_legend_row(area, told) for area in drawn.areas)
            head = [
                ("Area", "kind"),
                ("What", None),
                ("Size", None),
                *([("Taken", None)] * told),
                ("First byte", "wide"),
            ]
            cells = (element("th", element("span", name, class_=hidden), scope="col") for name, hidden in head)
            picture = element("svg", element("use", href=f"#m{number}"), class_="map large", aria_hidden="true")
            table = element("table", element("thead", element("tr", *cells)), element("tbody", *rows))
            box = element("div", table, class_="scroll", role="region", aria_label="Areas", tabindex="0")
            yield element("div", picture, box, class_="legend", id=f"map{number}")


def _legend_row(area: Area, told: bool) -> Html:
    """An area in words, and what is taken if that is `told` of any. The kind may be hidden where there is a label."""
    kind = element("span", str(area.kind), class_="kind")
    return element(
        "tr",
        element("td", element("span", class_=f"key {_CLASSES[area.kind]}"), kind),
        element("td", area.label or element("span", str(area.kind), class_="else")),
        element("td", format_size(area.length), class_="number"),
        element("td", format_size(area.used) if area.used is not None else "", class_="number") if told else "",
        element("td", f"{area.start:,}", class_="number wide"),
    )


def _summary(drawn: LayoutMap) -> str:
    """What a person who does not see the drawing is told of it."""
    told = [f"{area.label or area.kind}" for area in drawn.areas if area.length * 50 >= drawn.size]
    places = len(drawn.changed)
    changed = f"; changed in {places} place{'s' if places != 1 else ''}" if places else ""
    return ", ".join(told[:_MOST_TOLD]) + changed


def _shapes(drawn: LayoutMap) -> Iterator[Html]:
    """One path for all areas of a kind; what file systems have taken is a path above them."""
    edges = scale(drawn, _WIDTH, _LEAST).edges
    paths: dict[str, str] = {}
    taken = ""
    for area, left, right in zip(drawn.areas, edges, edges[1:], strict=False):
        gap = 1.0 if right - left > _LEAST else 0.5
        box = _box(left, right - left - gap, 8, _HEIGHT - 8)
        paths[_CLASSES[area.kind]] = paths.get(_CLASSES[area.kind], "") + box
        if area.used:
            taken += _box(left, (right - left - gap) * min(1.0, area.used / area.length), 8, _HEIGHT - 8)
    yield from (element("path", class_=name, d=path) for name, path in paths.items())
    if taken:
        yield element("path", class_="taken", d=taken)


def _marks(drawn: LayoutMap) -> str:
    """A path of triangles' worth of marks above what changed; overlapping ones are one."""
    scaled = scale(drawn, _WIDTH, _LEAST)
    path, end = "", -1.0
    for each in drawn.changed:
        left, right = scaled.at(each.start), scaled.at(each.stop)
        left = min(max(left, end), _WIDTH - _MARK)
        right = max(right, left + _MARK)
        if right > end:
            path += _box(left, right - left, 0, 6)
            end = right
    return path


def _box(left: float, width: float, top: int, height: int) -> str:
    return f"M{_short(left)} {top}h{_short(max(width, 0.5))}v{height}h-{_short(max(width, 0.5))}z"


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def time_plot(report: Report) -> Html:
    """How long the images took, a dot for each, by engine, on one logarithmic axis."""
    times = [seconds for timing in report.timings for seconds in timing.seconds]
    if not times:
        return Html()
    low = math.floor(math.log10(max(min(times), 1e-4)) * 2) / 2
    high = max(low + 1, math.ceil(math.log10(max(times)) * 2) / 2)

    def place(seconds: float) -> float:
        return 3 + 94 * (math.log10(max(seconds, 1e-4)) - low) / (high - low)

    rows = [_row(timing, place, _named(report.images, timing.engine)) for timing in report.timings]
    ticks = [decade for decade in _DECADES if low - 1e-9 <= decade <= high + 1e-9]
    axis = joined(*(_tick(f"{place(10**decade):.2f}%", _DECADES[decade]) for decade in ticks))
    return joined(*rows, element("svg", axis, class_="axis", aria_hidden="true"))


def _tick(x: str, label: str) -> Html:
    return joined(
        element("line", x1=x, x2=x, y1="0", y2="5"), element("text", label, x=x, y="19", text_anchor="middle")
    )


def _named(images: Iterable[Image], engine: str) -> list[tuple[float, int, str]]:
    mine = (image for image in images if image.outcome.seconds > 0 and engine_of(image.outcome) == engine)
    return sorted((image.outcome.seconds, image.number, image.name) for image in mine)


def _row(timing: Timing, place: object, named: list[tuple[float, int, str]]) -> Html:
    assert callable(place)
    bins: dict[int, list[tuple[float, int, str]]] = {}
    for entry in named:
        bins.setdefault(int(place(entry[0]) / 100 * _BINS), []).append(entry)
    dots = []
    for mine in bins.values():
        alike = sorted(mine, key=lambda entry: entry[1])  # by number: by time they would make stripes
        # A swarm: what would lie on one place is spread to both sides, and closer where there are many.
        step = min(2 * _DOT, (_ROW - 4 * _DOT) / max(1, len(alike) - 1))
        for index, (seconds, _, name) in enumerate(alike):
            y = _ROW / 2 + step * ((index + 1) // 2) * (1 if index % 2 else -1)
            title = element("title", f"{name}: {duration(seconds)}")
            dots.append(element("circle", title, cx=f"{place(seconds):.2f}%", cy=_short(y), r=_short(_DOT)))
    median = f"{place(timing.quantile(0.5)):.2f}%"
    line = element("line", x1=median, x2=median, y1="2", y2=str(_ROW - 2), class_="median")
    number = len(timing.seconds)
    told = f"median {duration(timing.quantile(0.5))}, 95 % within {duration(timing.quantile(0.95))}"
    told += f", longest {duration(timing.seconds[-1])}"
    label = f"{timing.engine}: {number:,} image{'s' if number != 1 else ''}, {told}"
    chart = element("svg", *dots, line, class_="strip", role="img", aria_label=label)
    caption = element("figcaption", element("b", timing.engine), f" {number:,} · {told}")
    return element("figure", caption, chart, class_=f"timing {'failed' if timing.engine == 'failed' else ''}".strip())


def duration(seconds: float) -> str:
    """A time for a person."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"  # noqa: PLR2004
    if seconds < 120:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"  # noqa: PLR2004
