"""The parser of GRUB scripts against grub-script-check, GRUB's own: on real files, on made ones, on damaged ones."""

import random
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgkit.bootloaders.grub2 import script as grubscript
from imgkit.bootloaders.grub2 import words as grubwords
from imgkit.bootloaders.grub2.script import Command, Function, If, Loop
from imgkit.configtext.text import decode
from imgkit.errors import ConfigError
from tests.support import corpus, oracle


def accepted_by_grub(text: str, path) -> bool | None:
    """GRUB's verdict; None for a script without commands, which its checker refuses though GRUB would run it."""
    path.write_text(text, errors="surrogateescape")
    done = oracle.run("grub-script-check", path, check=False)
    return None if "contains no commands" in done.stderr else done.returncode == 0


def accepted(text: str) -> bool:
    try:
        grubscript.parse(text)
    except ConfigError as error:
        assert 1 <= error.line <= text.count("\n") + 1  # noqa: PT017
        return False
    return True


PIECES = [
    *("if ", "then ", "fi", "; ", ";", "else ", "elif ", "while ", "until ", "do ", "done", "for x in a b", "in "),
    *(
        "function f ",
        "{ ",
        "{",
        "}",
        " }",
        "menuentry 'a' ",
        "submenu b ",
        "echo a",
        "linux /v root=1",
        "true",
        "set a=b",
    ),
    *('"', "'", "$", "${a}", "$a", "$1", "\\", "\\\n", "# c\n", "#", "a#b", "[ x = y ]", "[[ ", "]]", "&&", "|", "<"),
    *('"a\nb"', "'q\nr'", "\t", '"$a"', '$"t"', '"\\$"', "!", "a=1", "\n", "\n", "it's", '"${', "${?}", "$@", "case "),
]
FRAMES = [
    "%s",
    "%s\n",
    "if true; then %s; fi\n",
    "menuentry x {\n%s\n}\n",
    "function f {\n%s\n}\n",
    "while %s; do a; done\n",
]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=12), st.sampled_from(FRAMES))
def test_what_grub_accepts_is_accepted_and_nothing_else(tmp_path, pieces, frame):
    text = frame % "".join(pieces)
    verdict = accepted_by_grub(text, tmp_path / "script")
    # A function inside another statement is an error that GRUB goes on behind.
    assert verdict is None or accepted(text) == verdict or ("function" in text and not verdict)


TEXTS = sorted(name for name in corpus.manifest("bootcfg") if not name.endswith("vmlinuz"))


@pytest.mark.corpus
@pytest.mark.parametrize("name", TEXTS)
def test_on_each_file_of_the_corpus_the_verdict_is_grubs(name, tmp_path):
    text = decode(corpus.content(name))
    verdict = accepted_by_grub(text, tmp_path / "script")
    assert verdict is None or accepted(text) == verdict


@pytest.mark.corpus
def test_damaged_scripts_are_refused_or_read_and_never_hang():
    rng = random.Random(4)
    script = corpus.content("bootcfg/xen-pygrub/ubuntu-14.04-lts.grub2")
    for _ in range(300):
        damaged = bytearray(script[: rng.randrange(len(script))] if rng.random() < 0.3 else script)
        for _ in range(rng.randrange(4)):
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.choice(b"\"'{}$\\;\n#\xff\x80|a")
        start = time.process_time()
        accepted(decode(bytes(damaged)))
        assert time.process_time() - start < 2


HOSTILE = {
    "nested ifs": "if a; then " * 50_000,
    "nested blocks": "menuentry a { " * 50_000,
    "braces": "{" * 200_000,
    "open quote with escapes": '"' + "\\" * 200_001,
    "open quote with variables": '"' + "$a" * 200_000,
    "open quote over lines": "'\n" * 100_001,
    "one word": "a" * 1_000_000,
    "dollar signs": "$" * 100_000,
    "many commands": "a;" * 100_000 + "}",
    "one comment": "#" * 1_000_000,
    "joined lines": "\\\n" * 100_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_scripts_end_soon(text):
    start = time.process_time()
    accepted(text)
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    ("raw", "value", "is_dynamic"),
    [
        ("plain", "plain", False),
        ("a\\ b", "a b", False),
        ("'a b'c", "a bc", False),
        ("'a\\'", "a\\", False),
        ('"a\\"b"', 'a"b', False),
        ('"a\\nb\\$c\\\\"', "a\\nb$c\\", False),
        ('a"b\\\nc"d', "abcd", False),
        ("${root}x", "${root}x", True),
        ('"hd:$label"', "hd:$label", True),
        ("a\\\nb", "ab", False),
        ("a#b", "a#b", False),
        ("''", "", False),
    ],
)
def test_words_have_the_values_that_grub_gives_them(raw, value, is_dynamic):
    (command,) = grubscript.parse(f"echo {raw}\n")
    assert isinstance(command, Command)
    assert [(word.value, word.is_dynamic) for word in command.words[1:]] == [(value, is_dynamic)]


def test_a_line_joined_between_words_is_no_word():
    (command,) = grubscript.parse("linux /vmlinuz \\\n  root=/dev/vda1 \\\n\tquiet\n")
    assert isinstance(command, Command)
    assert command.operands == ("/vmlinuz", "root=/dev/vda1", "quiet")


def test_nodes_know_their_place():
    text = "function f {\n a\n}\nif b; then c; elif d; then e; else g; fi; while h; do i; done\nm 'x y' { n; o }\n"
    function, branch, loop, entry = grubscript.parse(text)
    assert isinstance(function, Function)
    assert isinstance(branch, If)
    assert isinstance(loop, Loop)
    assert isinstance(entry, Command)
    assert text[branch.start : branch.stop] == "if b; then c; elif d; then e; else g; fi"
    assert text[entry.start : entry.stop] == "m 'x y' { n; o }"
    assert [command.name for command in grubscript.commands((function, branch, loop, entry))] == [*"bcdeghi", "m"]
    assert entry.block is not None
    assert [text[inner.start : inner.stop] for inner in entry.block] == ["n", "o"]


@pytest.mark.parametrize("text", ["a; b", "a # b", "a { b", "a | b"])
def test_what_would_end_the_command_is_no_argument(text):
    with pytest.raises(ConfigError, match=r"would end|has no"):
        grubwords.split(text)
