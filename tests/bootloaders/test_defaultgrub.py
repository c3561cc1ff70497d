"""/etc/default/grub and its drop-ins: real ones, the guide's, and those that are refused."""

import random
import time
from pathlib import Path

import pytest

from imgkit.bootloaders.grub2 import defaults as defaultgrub
from imgkit.configtext import shellvars
from imgkit.configtext.serial import SerialConsole
from imgkit.configtext.text import decode, encode
from imgkit.errors import ConfigError
from tests.support import corpus, oracle
from tests.support.sourcing import DROP_IN, sourced

CONSOLE = SerialConsole()


def test_the_settings_of_the_guide_and_ours_are_one_for_the_serial_line():
    """The guide's own three lines, which give up the VGA console."""
    text = (
        'GRUB_CMDLINE_LINUX_DEFAULT="console=tty0 console=ttyS0,115200n8 serial"\n'
        "GRUB_TERMINAL=serial\n"
        'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1"\n'
    )
    found = defaultgrub.facts({defaultgrub.MAIN: text})
    assert found.keeps_console(CONSOLE)
    assert found.keeps_terminal(SerialConsole(keep_vga=False))
    shown_on_both = text.replace("GRUB_TERMINAL=serial", 'GRUB_TERMINAL="serial console"')
    assert defaultgrub.enable(text, CONSOLE) == shown_on_both


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["fedora-noblscfg.default-grub", "gentoo.default-grub", "ubuntu2204-ovh.default-grub"])
@pytest.mark.parametrize("recovery", [False, True])
@pytest.mark.parametrize("ends", ["\n", None], ids=["as-is", "no-eol"])
def test_real_files_keep_every_line_that_does_not_change(name, recovery, ends, tmp_path):
    before = decode(corpus.content(f"bootcfg/misc/{name}"))
    before = before if ends else before.rstrip("\n")
    after = defaultgrub.enable(before, CONSOLE, recovery=recovery, remove=["quiet"], timeout=7)
    assert defaultgrub.enable(after, CONSOLE, recovery=recovery, remove=["quiet"], timeout=7) is after
    assert after.endswith("\n") == before.endswith("\n")
    lost = [line for line in before.split("\n") if line not in after.split("\n")]
    assert all(line.startswith(("GRUB_TIMEOUT", "GRUB_CMDLINE", "GRUB_TERMINAL", "GRUB_SERIAL")) for line in lost)
    was, now = sourced(tmp_path, [before], "bash"), sourced(tmp_path, [after], "bash")
    kept = [word for word in was["GRUB_CMDLINE_LINUX"].split() if word != "quiet"]
    assert now["GRUB_CMDLINE_LINUX"].split()[: len(kept)] == kept
    assert now["GRUB_TERMINAL"] == "serial console"


@pytest.mark.corpus
def test_the_broken_file_is_refused_with_its_line():
    text = decode(corpus.content("bootcfg/augeasproviders_grub/grub2/broken"))
    with pytest.raises(ConfigError, match="blanks around the '='") as caught:
        defaultgrub.enable(text, CONSOLE)
    assert (caught.value.path, caught.value.line) == ("/etc/default/grub", 1)


def test_a_cloud_images_drop_in_that_discards_is_outdone_by_one_that_sorts_last(tmp_path):
    files = {
        defaultgrub.MAIN: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet splash"\nGRUB_CMDLINE_LINUX=""\n',
        "/etc/default/grub.d/50-cloudimg-settings.cfg": 'GRUB_CMDLINE_LINUX_DEFAULT="console=tty1 console=ttyS0"\n',
    }
    changed = defaultgrub.enable_files(files, CONSOLE, drop_in=DROP_IN)
    assert set(changed) == {DROP_IN, "/etc/default/grub.d/50-cloudimg-settings.cfg"}
    # A bare ttyS0 means 9600 baud, and the kernel keeps the first setting of a port.
    assert changed["/etc/default/grub.d/50-cloudimg-settings.cfg"] == 'GRUB_CMDLINE_LINUX_DEFAULT="console=tty1"\n'
    assert '="$GRUB_CMDLINE_LINUX_DEFAULT console=ttyS0,115200n8"\n' in changed[DROP_IN]
    truth = sourced(tmp_path, list((files | changed).values()))
    assert truth["GRUB_CMDLINE_LINUX_DEFAULT"] == "console=tty1 console=ttyS0,115200n8"
    slower = defaultgrub.enable_files(files | changed, SerialConsole(baud=9600), drop_in=DROP_IN)
    assert set(slower) == {DROP_IN}
    assert slower[DROP_IN].count("console=ttyS0") == 1


def test_a_drop_in_is_named_so_that_it_is_read_last():
    # grub-common of Debian brings an init-select.cfg.
    for names in ([], ["50-cloudimg-settings.cfg", "init-select.cfg", "README", "zz.conf"]):
        assert defaultgrub.drop_in_name(names) == "zz-imgkit-serial.cfg"
    for names in (["a.cfg"], ["zz.cfg"], ["é.cfg", "zz.cfg"]):
        name = defaultgrub.drop_in_name(names)
        assert defaultgrub.reading_order([*names, name])[-1] == name
        assert defaultgrub.drop_in_name([*names, name]) == name


def test_only_debians_generator_reads_drop_ins():
    assert defaultgrub.reads_drop_ins(Path(oracle.find("grub-mkconfig")).read_text())
    assert not defaultgrub.reads_drop_ins(
        "if test -f ${sysconfdir}/default/grub ; then\n  . ${sysconfdir}/default/grub\nfi\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('GRUB_CMDLINE_LINUX="quiet\n', "double quote is not closed"),
        ("GRUB_TIMEOUT=(1 2)\n", "parentheses"),
        ("cat <<EOF\nx\nEOF\n", "here-document"),
        ("if true; then\n", "compound command is not closed"),
        ("fi\n", "closes nothing"),
        ("A=$(echo\n", "not closed"),
        ('GRUB_CMDLINE_LINUX="a; reboot"\n', "GRUB_CMDLINE_LINUX: ';' would end the kernel's command line"),
        ("A=x\n" + "A=$A$A\n" * 40, "grows too large"),
    ],
)
def test_what_is_not_understood_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        defaultgrub.enable(text, CONSOLE)


def test_a_condition_that_undoes_the_change_is_answered_behind_it(tmp_path):
    text = 'GRUB_CMDLINE_LINUX_DEFAULT="ro"\nif true; then\n  GRUB_CMDLINE_LINUX_DEFAULT="quiet x"\nfi\n'
    after = defaultgrub.enable(text, CONSOLE)
    assert sourced(tmp_path, [after])["GRUB_CMDLINE_LINUX_DEFAULT"] == "quiet x console=tty0 console=ttyS0,115200n8"


def test_damaged_and_hostile_files_are_refused_or_read_and_never_hang():
    rng = random.Random(7)
    text = encode(
        'export A="b $C"\nif [ -e x ]; then\n B=\'d\'`e`$(f "g")\nfi\nGRUB_CMDLINE_LINUX="quiet splash" # x\n'
    )
    hostile = ["$(" * 50_000, '"$(' * 40_000, "`" * 99_999, "A=" + "'" * 99_999, "{ " * 50_000, "A=$A" * 50_000]
    damaged = []
    for _ in range(400):
        data = bytearray(text[: rng.randrange(len(text))] if rng.random() < 0.3 else text)
        for _ in range(rng.randrange(1, 4)):
            if data:
                data[rng.randrange(len(data))] = rng.choice(b"\"'`$(){}\\;\n#\xff=&|< ")
        damaged.append(decode(bytes(data)))
    for sample in hostile + damaged:
        start = time.process_time()
        try:
            defaultgrub.enable(sample, CONSOLE, remove=["quiet"])
        except ConfigError as error:
            assert error.line >= 0  # noqa: PT017
        assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "text",
    [
        'A=0\r\nGRUB_CMDLINE_LINUX=""\n',
        'A=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\r\n',
        "A=0\r\nB=1",
        "A=0\r",
        "\r\n",
        "A=0\r\n",
    ],
)
def test_line_ends_that_are_mixed_stay_so_and_twice_is_once(text):
    def enabled(text: str) -> str:
        files = {defaultgrub.MAIN: text}
        made = defaultgrub.enable_files(files, SerialConsole(), drop_in=None, recovery=True, remove=(), timeout=5)
        return made.get(defaultgrub.MAIN, text)

    once = enabled(text)
    assert enabled(once) == once
    assert "GRUB_TIMEOUT=5\n" in once
    assert once.startswith(text.partition("GRUB")[0])


@pytest.mark.parametrize(
    ("text", "certain"),
    [("A=1\n", True), ("A=1 $B\n", False), ("A=1 $(true) $B\n", False), ('A=1 "$B"\n', None), ("A=1 ''\n", None)],
)
def test_an_assignment_before_words_that_may_expand_to_nothing_is_not_certain(text, certain, tmp_path):
    variable = shellvars.evaluate([text]).get("A")
    assert (variable.is_certain if variable else None) is certain
    assert sourced(tmp_path, [f"{text}\n:\n"])["A"] == (variable.text if variable else "")


@pytest.mark.parametrize("value", ["$\\\nB", '"$\\\nB"', "$X\\\nY", '"$X\\\nY"'])
def test_a_name_that_goes_on_behind_a_continued_line_is_not_certain(value, tmp_path):
    text = f"B=b\nXY=b\nA={value}\n"
    assert not shellvars.evaluate([text])["A"].is_certain
    assert sourced(tmp_path, [text])["A"] == "b", "as the shell reads it"
