"""What scripts say and wait for; the conversations themselves are in `test_attach`."""

import pytest

from imgkit.cli.vmconsole import _in_order
from imgkit.errors import UsageError
from imgkit.vm.serial.dialogue import Expect, Send, parse_text
from tests.cli.command import imgkit


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        ("", b""),
        (r"root\n", b"root\n"),
        (r"\r\t\e\\", b"\r\t\x1b\\"),
        (r"\x03\xff", b"\x03\xff"),
        (r"\\n", rb"\n"),
        ("gr\u00fc\u00dfe", "gr\u00fc\u00dfe".encode()),
        ("two\nlines", b"two\nlines"),
    ],
)
def test_text_is_typed_as_it_is_written(words, typed):
    assert parse_text(words) == typed


@pytest.mark.parametrize("words", [r"\q", r"\x1", r"\xzz", "end\\", "\\\n"])
def test_an_escape_that_is_none_is_refused(words):
    with pytest.raises(UsageError, match="escape") as raised:
        parse_text(words)
    assert raised.value.hint


def test_steps_have_the_order_of_the_command_line():
    words = ["imgkit", "vm", "console", "x", "--send=a", "--expect", "b", "--log", "--send", "--send", "--expect"]
    steps = _in_order(["b"], ["a", "--expect"], words)
    assert steps == [Send(b"a"), Expect("b"), Send(b"--expect")]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--expect", "("], "regular expression"),
        (["--send", r"\q"], "escape"),
        (["--json"], "--expect"),
        (["--escape", "ctrl"], "is not a key"),
        (["--escape", "^^"], "one key"),
    ],
)
def test_words_that_make_no_sense_are_refused_before_anything_is_opened(words, complaint, tmp_path):
    done = imgkit("vm", "console", "absent", "--log", tmp_path / "log", *words)
    assert done.status == 2
    assert complaint in (done.stderr or done.json["message"] + done.json["hint"])
    assert list(tmp_path.iterdir()) == []
