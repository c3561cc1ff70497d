"""Keys that are for imgkit, told from all others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgkit.errors import UsageError
from imgkit.vm.serial.keys import Command, Keyboard, Keys, help_lines, parse_key


def typed(*pieces, keys=Keys()):  # noqa: B008  -- immutable
    keyboard = Keyboard(keys)
    return [item for piece in pieces for item in keyboard.typed(piece)]


@given(st.lists(st.binary(max_size=20)))
def test_all_other_bytes_are_the_guests_as_they_are(pieces):
    plain = [piece.replace(b"\x1d", b"").replace(b"\x1e", b"") for piece in pieces]
    assert b"".join(typed(*plain)) == b"".join(plain)


@given(st.lists(st.binary(max_size=20)))
def test_without_keys_all_bytes_are_the_guests(pieces):
    assert b"".join(typed(*pieces, keys=Keys(None, None))) == b"".join(pieces)


def test_what_was_typed_before_a_key_comes_before_it():
    assert typed(b"ls\r\x1dmore") == [b"ls\r", Command.LEAVE, b"more"]


def test_a_prefix_waits_for_the_key_after_it():
    assert typed(b"a\x1e", b"wb") == [b"a", Command.SIZE, b"b"]
    assert typed(b"\x1eW\x1e?\x1ez\x1eq") == [Command.SIZE, Command.HELP, Command.SUSPEND, Command.LEAVE]


def test_an_unknown_key_after_the_prefix_is_nothing():
    assert typed(b"a\x1exb") == [b"ab"]


def test_the_keys_themselves_are_typed_after_the_prefix():
    assert typed(b"\x1e\x1d\x1e\x1ew") == [b"\x1d\x1ew"]


@pytest.mark.parametrize(
    ("words", "key"), [("^]", b"\x1d"), ("^a", b"\x01"), ("^A", b"\x01"), ("^^", b"\x1e"), ("~", b"~"), ("none", None)]
)
def test_keys_are_written_as_terminals_show_them(words, key):
    assert parse_key(words) == key


@pytest.mark.parametrize("words", ["", "^", "ab", "^ab", "^1", "\u00e9", "ctrl-]", "\t"])
def test_what_is_no_key_is_refused(words):
    if words == "^":
        assert parse_key(words) == b"^"
        return
    with pytest.raises(UsageError, match="is not a key"):
        parse_key(words)


def test_one_key_cannot_be_both():
    with pytest.raises(UsageError):
        Keys(b"\x01", b"\x01")
    assert help_lines(Keys(None, None)) == []
    assert len(help_lines(Keys(b"\x1d", None))) == 1
