"""The ground of all edits: bytes to text and back, lines, splices; and damage to any file of the corpus."""

import random
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgkit.accounts.securetty import config as securetty
from imgkit.bootloaders.bls import config as bls
from imgkit.bootloaders.grub2 import defaults as defaultgrub
from imgkit.bootloaders.grub2 import environment as grubenv
from imgkit.bootloaders.grub_legacy import config as grublegacy
from imgkit.bootloaders.syslinux import config as syslinux
from imgkit.bootloaders.syslinux import defaults as extlinuxdefaults
from imgkit.configtext.serial import SerialConsole
from imgkit.configtext.text import MAX_SIZE, Splice, append_lines, decode, encode, lines, newline, splice
from imgkit.errors import ConfigError
from imgkit.inits.inittab import config as inittab
from imgkit.inits.upstart import config as upstart
from tests.support import corpus
from tests.support import grubtext as grubcfg

CONSOLE = SerialConsole()


@given(st.binary().filter(lambda data: b"\0" not in data))
def test_bytes_survive_the_way_to_text_and_back(data):
    assert encode(decode(data)) == data


@given(st.text(st.sampled_from("a\r\n\f\u2028\x85 ")))
def test_lines_cover_the_text_and_only_line_feeds_end_them(text):
    found = list(lines(text))
    assert len(found) == text.count("\n") + (bool(text) and not text.endswith("\n"))
    for line in found:
        assert text[line.start : line.stop] == line.body
        assert text[line.stop :].startswith(("\n", "\r\n")) or line.stop == len(text)


@given(st.text("ab\n"), st.lists(st.tuples(st.integers(0, 9), st.text("xy", max_size=2))))
def test_splices_are_applied_as_if_one_by_one_from_the_end(text, inserts):
    changes = [Splice(min(at, len(text)), min(at, len(text)), new) for at, new in inserts]
    expected = text
    for _, change in sorted(enumerate(changes), key=lambda pair: (-pair[1].start, -pair[0])):
        expected = expected[: change.start] + change.new + expected[change.start :]
    assert splice(text, changes) == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [("", "x\n"), ("a\n", "a\nx\n"), ("a", "a\nx"), ("a\r\nb", "a\r\nb\r\nx"), ("a\r\n", "a\r\nx\r\n")],
)
def test_new_lines_end_as_the_others_do(before, after):
    assert append_lines(before, ["x"]) == after
    assert newline(after) in after


def test_what_is_no_text_is_refused():
    with pytest.raises(ConfigError, match="NUL") as caught:
        decode("a\nb".encode("utf-16"))
    assert caught.value.line == 1
    with pytest.raises(ConfigError, match="too long"):
        decode(b"a" * (MAX_SIZE + 1))


EDITS = {
    "grubcfg": lambda text: grubcfg.enable(text, CONSOLE, remove=["quiet"], timeout=3),
    "grublegacy": lambda text: grublegacy.enable(text, CONSOLE, remove=["quiet"], timeout=3),
    "defaultgrub": lambda text: defaultgrub.enable(text, CONSOLE, remove=["quiet"], timeout=3),
    "bls": lambda text: bls.enable(text, CONSOLE, remove=["quiet"]),
    "cmdline": lambda text: bls.enable_cmdline(text, CONSOLE, remove=["quiet"]),
    "loader": lambda text: bls.set_loader_timeout(text, 3),
    "syslinux": lambda text: syslinux.enable(text, CONSOLE, remove=["quiet"], timeout=3),
    "u-boot": lambda text: extlinuxdefaults.enable(text, extlinuxdefaults.U_BOOT_MENU, CONSOLE, timeout=3),
    "inittab": lambda text: inittab.enable(text, CONSOLE),
    "upstart": lambda text: upstart.enable(text, CONSOLE),
    "securetty": lambda text: securetty.enable(text, CONSOLE),
    "grubenv": lambda text: decode(grubenv.enable(encode(text), CONSOLE)),
}
TEXTS = sorted(name for name in corpus.manifest("bootcfg") if not name.endswith("vmlinuz"))


@pytest.mark.corpus
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_any_file_is_edited_twice_to_the_same_or_refused(edit):
    """Whatever a file is taken for: an edit of it is stable, and nothing but ConfigError comes out."""
    corpus.path("bootcfg")  # Skips without the corpus.
    edited = 0
    for name in TEXTS:
        text = decode(corpus.content(name))
        try:
            once = edit(text)
        except ConfigError:
            continue
        edited += 1
        assert edit(once) == once, name
        assert text == "" or once.endswith("\n") == text.endswith("\n"), name
    assert edited > 0 or edit is EDITS["grubenv"]


@pytest.mark.corpus
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_damaged_files_are_refused_or_edited_to_something_stable(edit):
    corpus.path("bootcfg")  # Skips without the corpus.
    rng = random.Random(11)
    tracemalloc.start()
    for _ in range(250):
        data = bytearray(corpus.content(rng.choice(TEXTS))[:4096])
        for _ in range(rng.randrange(6)):
            if data:
                data[rng.randrange(len(data))] = rng.choice(b"\"'`$(){}\\;\n\r\t#\xff\x80=&|<: -\x00")
        start = time.process_time()
        try:
            text = decode(bytes(data[: rng.randrange(len(data) + 1)]))
            once = edit(text)
            assert edit(once) == once
        except ConfigError as error:
            assert error.message  # noqa: PT017
        assert time.process_time() - start < 5
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20
