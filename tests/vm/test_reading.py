"""A serial line for reading: what boot menus and systems draw, in whatever pieces it comes."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgkit.vm.reading import Reader

GRUB = (
    b"\x1b[?25l\x1b[m\x1b[H\x1b[J\x1b[1;1H\x1b[2;30HGNU GRUB  version 2.06\x1b[m\x1b[4;2H+----+"
    b"\x1b[5;3H*Debian GNU/Linux   \x1b[m\x1b[5;78H"
    b"\x1b[22;1H   The highlighted entry will be executed automatically in 1s.  \x1b[5;78H \x1b[?25h"
    b"\x1b[H\x1b[J  Booting `Debian GNU/Linux'\r\n\r\nLoading Linux ...\r\n"
    b"\x1b[0;32mOK\x1b[0m ssh\xe2\x80\xa6\r\n\r\n\r\n\x1b(B\x1b)0\x1b]0;title\x07\x1b[?2004hlogin: "
)
SHOWN = """
GNU GRUB  version 2.06
+----+
*Debian GNU/Linux
   The highlighted entry will be executed automatically in 1s.
  Booting `Debian GNU/Linux'

Loading Linux ...
OK ssh…

login:"""


def read(pieces):
    reader = Reader()
    return "".join(map(reader.read, pieces))


def lines(text):
    """Without empty lines, as moves of a cursor within nothing leave some."""
    return [line for line in text.split("\n") if line]


def test_a_boot_is_readable():
    assert lines(read([GRUB])) == lines(SHOWN)
    assert "\n\n\n" not in read([GRUB])


@given(st.lists(st.integers(0, len(GRUB)), max_size=12))
def test_in_whatever_pieces_it_comes(cuts):
    edges = [0, *sorted(cuts), len(GRUB)]
    assert read(GRUB[start:end] for start, end in pairwise(edges)) == read([GRUB])


@pytest.mark.parametrize("data", [b"plain\a \x0ewords\x0f\r\nand more", "schön…".encode(), b"a  b"])
def test_plain_text_stays(data):
    assert read([data]).lstrip("\n") == re.sub("[\r\a\x0e\x0f]", "", data.decode())


def test_the_prompt_is_there_at_once():
    reader = Reader()
    assert reader.read(b"host login: ") == "\nhost login:"
    assert reader.read(b"root") == " root"


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_no_line_keeps_an_escape_back_for_long(pieces):
    """Hostile bytes: they come out, in full or not at all, and what waits is bounded."""
    reader = Reader()
    for piece in pieces:
        reader.read(piece)
        assert len(reader._unfinished) <= 256
