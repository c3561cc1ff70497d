"""The report as one HTML page, which needs no network, no script to be read, and nothing but itself.

What images, paths and the ledger say is hostile. All of it goes through `imgkit.batch.markup`, and the page's own
policy lets no script run and no style apply but those whose SHA-256 it names
(https://www.w3.org/TR/CSP3/#meta-element).

Maps and diffs that are alike are there once: an image's card refers to them, and the script shows them there.
"""

from __future__ import annotations

import base64
import hashlib
import time
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

from imgkit import __version__
from imgkit.batch.drawings import MapBook, duration, time_plot
from imgkit.batch.ledger import State
from imgkit.batch.markup import Html, element, joined
from imgkit.console.judge import sentence
from imgkit.units import MIB, format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.batch.ledger import FileChange
    from imgkit.batch.report import Cause, Image, Report

_MOST_DIFFS = 3 * MIB
_LONGEST_DIFF = 2000  # lines
_MOST_NAMED = 5
_MOST_CAUSES = 6
_LINE_CLASSES = {"+": "add", "-": "del", "@": "hunk"}
_FILE_LINES = 2  # the first ones of a unified diff name the file


def render(report: Report, now: float) -> str:
    """The page; `now`, in seconds since 1970, is when it was made."""
    assets = {name: _asset(f"report.{name}") for name in ("html", "css", "js")}
    book, diffs = MapBook(), _DiffBook()
    cause_of = {number: index for index, cause in enumerate(report.causes) for number in cause.images}
    cards = joined(*(_card(image, book, diffs, cause_of.get(image.number)) for image in report.images))
    parts = {
        "policy": element(
            "meta",
            http_equiv="Content-Security-Policy",
            content=f"default-src 'none'; style-src {_hash(assets['css'])}; script-src {_hash(assets['js'])}; "
            "base-uri 'none'; form-action 'none'",
        ),
        "title": joined(report.batch),
        "style": assets["css"],
        "script": assets["js"],
        "intro": _intro(report, now),
        "totals": _totals(report),
        "failures": _failures(report),
        "times": _times(report),
        "states": _states(report),
        "count": joined(f"{len(report.images):,}"),
        "cards": cards,
        "symbols": book.symbols(),
        "maps": joined(*book.legends()),
        "diffs": joined(*diffs.all()),
        "version": joined(__version__),
    }
    return Template(assets["html"]).substitute(parts)


class _DiffBook:
    """The distinct changes of a report, in the order in which they came, as far as there is room."""

    def __init__(self) -> None:
        self._numbers: dict[FileChange, int | None] = {}
        self._shown: list[Html] = []
        self._left = _MOST_DIFFS

    def number(self, change: FileChange) -> int | None:
        """The number of a change, None where the page has no room for it."""
        if change not in self._numbers:
            self._numbers[change] = None
            shown = _diff(change, len(self._shown))
            if len(shown) <= self._left:
                self._left -= len(shown)
                self._numbers[change] = len(self._shown)
                self._shown.append(shown)
        return self._numbers[change]

    def all(self) -> list[Html]:
        """Every change in full."""
        return self._shown


def _diff(change: FileChange, number: int) -> Html:
    lines = change.diff.removesuffix("\n").split("\n")
    shown: list[str] = [element("span", line, class_="file") for line in lines[:_FILE_LINES]]
    for line in lines[_FILE_LINES:_LONGEST_DIFF]:
        name = _LINE_CLASSES.get(line[:1])
        shown.append(element("span", line, class_=name) if name else f"{line}\n")
    if len(lines) > _LONGEST_DIFF:
        shown.append(f"… and {len(lines) - _LONGEST_DIFF:,} lines more\n")
    body = element("pre", element("code", *shown), tabindex="0", role="region", aria_label=f"Diff of {change.path}")
    added, removed = (sum(line.startswith(sign) for line in lines[_FILE_LINES:]) for sign in "+-")
    numbers = joined(element("ins", f"+{added}"), " ", element("del", f"-{removed}"))
    return element("details", element("summary", element("code", change.path), " ", numbers), body, id=f"diff{number}")


def _intro(report: Report, now: float) -> Html:
    operations = dict.fromkeys(image.operation for image in report.images)
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    told = [element("code", each) for each in list(operations)[:3]]
    more = f" and {len(operations) - 3:,} other operations" if len(operations) > 3 else ""  # noqa: PLR2004
    where = joined(" in ", element("code", report.folder)) if report.folder else ""
    separated = [part for each in told for part in (each, ", ")][:-1]
    return joined(
        element("p", *separated, more, where, class_="what"),
        element("p", "As of ", element("time", made), class_="when"),
    )


def _totals(report: Report) -> Html:
    total = len(report.images)
    shown = [(state, number) for state, number in report.counts.items() if number]
    position, boxes = 0.0, []
    for state, number in shown:
        width = 100 * number / total
        boxes.append(
            element("rect", x=f"{position:.3f}%", width=f"{width:.3f}%", y="0", height="100%", class_=f"s-{state}")
        )
        position += width
    label = ", ".join(f"{number:,} {state}" for state, number in shown) or "no images"
    tiles = [_tile(f"{total:,}", "images", "all")]
    tiles += [_tile(f"{number:,}", str(state), f"s-{state}") for state, number in shown]
    times = [image.outcome.seconds for image in report.images if image.outcome.seconds > 0]
    if times:
        tiles.append(_tile(duration(sum(times)), "of work", "all"))
    bar = element("svg", *boxes, class_="bar", role="img", aria_label=label)
    return joined(element("div", *tiles, class_="tiles"), bar)


def _tile(number: str, word: str, name: str) -> Html:
    return element("div", element("b", number), element("span", word), class_=f"tile {name}")


def _failures(report: Report) -> Html:
    if not report.causes:
        return Html()
    names = {image.number: image.name for image in report.images}
    found = [_cause(cause, index, names) for index, cause in enumerate(report.causes)]
    failed = report.counts[State.FAILED]
    heading = f"{failed:,} failed, for {len(found)} reason{'s' if len(found) != 1 else ''}"
    listed = [element("ul", *found[:_MOST_CAUSES], class_="causes")]
    if more := found[_MOST_CAUSES:]:
        named = f"{len(more):,} more reason{'s' if len(more) != 1 else ''}"
        listed.append(
            element("details", element("summary", named), element("ul", *more, class_="causes"), class_="more")
        )
    return element("section", element("h2", heading, id="failures"), *listed, aria_labelledby="failures")


def _cause(cause: Cause, index: int, names: dict[int, str]) -> Html:
    number = len(cause.images)
    links = [element("a", names[each], href=f"#i{each}") for each in cause.images[:_MOST_NAMED]]
    more = f" and {number - _MOST_NAMED:,} more" if number > _MOST_NAMED else ""
    listed = [part for link in links for part in (link, ", ")][:-1]
    show = element("button", f"Show {'it' if number == 1 else f'all {number:,}'}", type="button", data_cause=str(index))
    return element(
        "li",
        element("div", element("b", f"{number:,}"), element("code", cause.error), show, class_="head"),
        element("p", _prose(cause.message), class_="message"),
        element("p", element("strong", "Way out: "), _prose(cause.hint), class_="hint") if cause.hint else "",
        element("p", *listed, more, class_="names"),
    )


def _times(report: Report) -> Html:
    plot = time_plot(report)
    if not plot:
        return Html()
    return element("section", element("h2", "Time per image", id="times"), plot, aria_labelledby="times")


def _states(report: Report) -> Html:
    shown = [(state, number) for state, number in report.counts.items() if number]
    return joined(
        *(
            element(
                "label",
                element("input", type="checkbox", name="state", value=str(state), checked=True),
                element("span", str(state), " ", element("b", f"{number:,}"), class_=f"s-{state}"),
            )
            for state, number in shown
        )
    )


def _card(image: Image, book: MapBook, diffs: _DiffBook, cause: int | None) -> Html:
    outcome = image.outcome
    folder, slash, name = image.name.rpartition("/")
    drawing: Html | str = ""
    number = mark = None
    if image.layout is not None and image.layout.areas:
        drawing, number, mark = book.draw(image.layout)
    shown = [(change, diffs.number(change)) for change in outcome.changes]
    files = len(shown)
    told = image.message or (f"{files} file{'s' if files != 1 else ''} changed" if files else "")
    if outcome.failing:
        told = f"not enabled: {', '.join(dict.fromkeys(check.kind for check in outcome.failing))}"
    told_first = outcome.state in (State.FAILED, State.PARTLY)
    summary = element(
        "summary",
        element("span", str(outcome.state), class_=f"state s-{outcome.state}"),
        element("span", element("span", folder + slash, class_="folder") if folder else "", name, class_="name"),
        drawing if drawing and not told_first else element("span", told, class_="nomap"),
        element("span", duration(outcome.seconds) if outcome.seconds else "", class_="seconds"),
    )
    size = image.layout.size if image.layout else 0
    return element(
        "details",
        summary,
        element("div", *_body(image, shown, number), class_="body"),
        id=f"i{image.number}",
        class_="image",
        data_state=str(outcome.state),
        data_seconds=f"{outcome.seconds:.4f}",
        data_size=str(size),
        data_cause=None if cause is None else str(cause),
        data_map=None if number is None else str(number),
        data_mark=None if mark is None else str(mark),
        data_diffs=" ".join(str(each) for _, each in shown if each is not None) or None,
    )


def _body(image: Image, shown: list[tuple[FileChange, int | None]], number: int | None) -> Iterator[Html]:
    outcome = image.outcome
    if outcome.message:
        yield element("p", element("code", outcome.error), " ", _prose(image.message), class_="message")
    if outcome.hint:
        yield element("p", element("strong", "Way out: "), _prose(outcome.hint), class_="hint")
    for check in outcome.failing:
        yield element("p", element("strong", "Not enabled: "), sentence(check), class_="message")
        yield element("p", element("strong", "Fix: "), _prose(check.hint), class_="hint")
    yield from (element("p", notice, class_="notice") for notice in (*outcome.announcements, *outcome.notices))
    if shown:
        entries = []
        for change, each in shown:
            path = element("code", change.path)
            entries.append(path if each is None else element("a", path, href=f"#diff{each}"))
        listed = [part for entry in entries for part in (entry, ", ")][:-1]
        yield element("p", "Changed: ", *listed, class_="changed")
        if any(each is None for _, each in shown):
            yield element("p", "Diffs that were left out for size are in the ledger.", class_="notice")
    facts = [
        ("Input", element("code", image.input)),
        ("Output", element("code", image.output) if image.output else ""),
        ("SHA-256", element("code", outcome.sha256) if outcome.sha256 else ""),
        ("Engine", outcome.engine),
        ("Size", format_size(image.layout.size) if image.layout else ""),
        ("Map", element("a", "what lies where", href=f"#map{number}") if number is not None else ""),
    ]
    rows = [element("div", element("dt", name), element("dd", value)) for name, value in facts if value]
    yield element("dl", *rows)


def _prose(sentence: str) -> Html:
    """A sentence in which what stands in backticks is code."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:
        return joined(sentence)
    return joined(*(element("code", part) if index % 2 else part for index, part in enumerate(parts)))


def _asset(name: str) -> str:
    return resources.files("imgkit.batch").joinpath("assets", name).read_text("utf-8")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
