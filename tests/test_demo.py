"""The recording in the README: a valid asciicast of a run that worked, and an SVG that shows the same."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pyte
import pytest

from fixtures.cast import frames, svg
from fixtures.record import COMMANDS

DEMO = Path(__file__).parents[1] / "docs" / "demo"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def cast():
    return (DEMO / "imgkit.cast").read_text()


@pytest.fixture(scope="module")
def drawing():
    return ET.parse(DEMO / "imgkit.svg").getroot()


def test_the_cast_is_an_asciicast_of_version_2(cast):
    header, *events = map(json.loads, cast.splitlines())
    assert header["version"] == 2
    assert all(isinstance(header[name], int) and header[name] > 0 for name in ("width", "height"))
    assert isinstance(header["idle_time_limit"], float | int)
    assert all(isinstance(value, str) for value in header["env"].values())
    times = [when for when, _, _ in events]
    assert times == sorted(times)
    assert times[0] >= 0
    assert all(kind == "o" and isinstance(text, str) and text for _, kind, text in events)


def test_what_was_recorded_worked(cast):
    said = "".join(json.loads(line)[2] for line in cast.splitlines()[1:])
    at = [said.replace("\r\n", "").find(command) for command in COMMANDS]
    assert -1 not in at
    assert at == sorted(at)
    assert "serial console ttyS0 enabled" in said
    assert "imgkit-42-shell" in said  # only a shell in the guest can have said this
    assert "the serial console works" in said
    assert "FAILED" not in said


def rows(drawing):
    """The text of each frame's rows, as they stand in the SVG."""
    lines = {line.get("id"): line for line in drawing.iter(f"{SVG}g") if (line.get("id") or "").startswith("l")}
    for frame in drawing.find(f"{SVG}g[@class='film']"):
        shown = {}
        for use in frame:
            text = ""
            for run in lines[use.get("href").removeprefix("#")].iter(f"{SVG}text"):
                text = text.ljust(round(float(run.get("x")) / 8.4)) + run.text
            shown[int(use.get("y")) // 18] = text.rstrip()
        yield shown


def test_the_drawing_shows_what_a_terminal_shows(cast, drawing):
    header, *events = map(json.loads, cast.splitlines())
    screen = pyte.Screen(header["width"], header["height"])
    stream, seen = pyte.Stream(screen), set()
    for _, _, text in events:
        stream.feed(text)
        seen.add(tuple(line.rstrip() for line in screen.display))
    last = list(rows(drawing))[-1]
    assert [last.get(row, "") for row in range(header["height"])] == [line.rstrip() for line in screen.display]
    for shown in rows(drawing):
        assert tuple(shown.get(row, "") for row in range(header["height"])) in seen


def test_the_drawing_is_that_of_the_cast(cast, drawing):
    assert svg(cast) == (DEMO / "imgkit.svg").read_text()
    assert len(drawing.find(f"{SVG}g[@class='film']")) == len(frames(cast))
    width, height = map(float, drawing.get("viewBox").split()[2:])
    assert (float(drawing.get("width")), float(drawing.get("height"))) == (width, height)
    assert drawing.find(f"{SVG}title").text
    assert "prefers-reduced-motion" in drawing.find(f"{SVG}style").text
    assert next(drawing.iter(f"{SVG}script"), None) is None


def test_both_are_small():
    assert sum(path.stat().st_size for path in DEMO.iterdir()) < 300 << 10


def test_the_readme_shows_it():
    assert "docs/demo/imgkit.svg" in (DEMO.parents[1] / "README.md").read_text()[:3000]
