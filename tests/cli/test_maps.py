"""`inspect --map`: drawn to the width of the terminal, coloured there alone, and readable wherever it is sent."""

import os
import pty
import re
import subprocess

import pytest

from imgkit.cli import maps
from tests.cli.command import environment, imgkit, script
from tests.support.guests import Part, make_disk
from tests.support.images import fixture


@pytest.fixture
def disk(tmp_path):
    parts = [Part("vfat", label="ESP", size=40), Part("ext4", {"/a": b"x" * 3_000_000}, label="root\x1b[31m")]
    return make_disk(tmp_path / "disk.img", parts)


def drawing(text):
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(("  ▚", "  %")))
    return lines[start:]


def on_a_terminal(*words, **settings):
    """Standard output of a command that writes it to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([script(), *words], stdout=theirs, env=environment(TERM="xterm", **settings)) as running:
        os.close(theirs)
        text = b""
        while True:
            try:
                text += os.read(ours, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
        assert running.wait() == 0
    os.close(ours)
    return text.decode()


@pytest.mark.parametrize("width", [20, 41, 80, 120])
def test_the_bar_has_the_width_and_the_legend_all_areas(disk, width):
    done = imgkit("inspect", disk, "--map", env={"COLUMNS": str(width)})
    assert done.status == 0
    bar, numbers, *legend = drawing(done.text)
    assert len(bar) == max(20, width - 4) + 2
    assert numbers.split()[0].startswith("1")
    assert [line.split()[0] for line in legend] == ["1", "2", "3", "4", "5"]
    assert "\x1b" not in done.text
    assert "40 MiB  file system  /dev/sda1 vfat 'ESP', 0 B used" in done.text


def test_the_map_and_the_document_say_the_same(disk):
    areas = imgkit("inspect", disk, "--map", "--json").json["map"]["areas"]
    legend = drawing(imgkit("inspect", disk, "--map").text)[2:]
    told = [re.fullmatch(r" +\d+ . +[\d.]+ \w+  (\w[\w ]*?)(  .*)?", line)[1] for line in legend]
    assert told == [area["kind"] for area in areas]
    assert imgkit("inspect", disk, "--json").json["map"] is None


def test_colours_only_on_a_terminal_and_only_if_nobody_objects(disk):
    assert "\x1b[32m█" in on_a_terminal("inspect", disk, "--map")
    assert "\x1b" not in on_a_terminal("inspect", disk, "--map", NO_COLOR="1")


def test_an_output_without_blocks_gets_letters(disk):
    bar, _, *legend = drawing(imgkit("inspect", disk, "--map", env={"PYTHONIOENCODING": "iso-8859-1"}).text)
    assert set(bar) <= set(" #@=-%/.")
    assert legend[0].split()[:2] == ["1", "%"]
    assert len(maps._GLYPHS) == len(maps.RangeKind)


def test_an_iso():
    done = imgkit("inspect", fixture("iso-debian"), "--map")
    assert "/boot/grub/efi.img FAT" in done.text
    assert len(drawing(done.text)) <= 26
