"""/etc/default/grub and its drop-ins against the shell that sources them, and against GRUB's own generator."""

import os
import random
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from imgkit.bootconfig import defaultgrub, grubcfg, grubwords, kernelargs, shellvars
from imgkit.bootconfig.serial import SerialConsole
from imgkit.bootconfig.text import decode, encode
from imgkit.errors import ConfigError
from tests.support import corpus, oracle

CONSOLE = SerialConsole()
DROP_IN = "/etc/default/grub.d/zz-imgkit-serial.cfg"
NAMES = ("A", "B", "GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT", "GRUB_TERMINAL", "GRUB_SERIAL_COMMAND")
NAMES += (
    "GRUB_TIMEOUT",
    "GRUB_TIMEOUT_STYLE",
    "GRUB_RECORDFAIL_TIMEOUT",
    "GRUB_TERMINAL_INPUT",
    "GRUB_TERMINAL_OUTPUT",
)

# What grub-mkconfig does with the files, and then the variables on standard output.
SOURCE = 'for file in "$@"; do . "$file"; done; for name in $NAMES; do eval "printf \'%s\\0\' \\"\\$$name\\""; done'


def sourced(folder, texts, shell="dash"):
    """The variables that the shell has after the files; None where it stops at an error."""
    paths = [folder / f"{number}.cfg" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(encode(text))
    done = subprocess.run(
        [oracle.find(shell), "-c", SOURCE, shell, *paths],
        capture_output=True,
        check=False,
        cwd=folder,
        env={"NAMES": " ".join(NAMES), "PATH": os.defpath, "LC_ALL": "C"},
    )
    values = decode(done.stdout.replace(b"\0", b"\1")).split("\1")
    return dict(zip(NAMES, values, strict=False)) if done.returncode == 0 and len(values) > len(NAMES) else None


VALUES = st.lists(
    st.sampled_from(
        [
            *(
                "quiet",
                "a=b",
                " ",
                "'x y'",
                '"q r"',
                "\\ ",
                '\\"',
                "$A",
                "${B}",
                '"$A z"',
                "'$A'",
                '"\\$A \\" \\n \\\\"',
            ),
            *(
                '""',
                "''",
                "$(echo hi)",
                "`echo bt`",
                "#no",
                "~",
                "=",
                ",",
                "\\\n",
                '"two\nlines"',
                "$",
                "é",
                '"a`echo b`c"',
            ),
            *(
                '"$(echo "x y")"',
                "${A:-d}",
                "$$",
                '"${A}"',
                "console=ttyS0",
                '"it\'s"',
                "'say \"hi\"'",
                "%",
                "{x}",
                "[y]",
            ),
        ]
    ),
    max_size=5,
).map("".join)
STATEMENTS = st.one_of(
    st.builds("{}={}\n".format, st.sampled_from(NAMES), VALUES),
    st.builds("export {}={}\n".format, st.sampled_from(NAMES), VALUES),
    st.builds("  {}={} # comment's\n".format, st.sampled_from(NAMES), VALUES),
    st.builds("if {}; then\n  {}={}\nfi\n".format, st.sampled_from(["true", "false"]), st.sampled_from(NAMES), VALUES),
    st.builds("[ x = {} ] && {}={}\n".format, st.sampled_from("xy"), st.sampled_from(NAMES), VALUES),
    st.builds("{}={}; {}={}\n".format, st.sampled_from(NAMES), VALUES, st.sampled_from(NAMES), VALUES),
    st.builds("{}={} true\n".format, st.sampled_from(NAMES), VALUES),
    st.builds("f() {{ {}=1; }}\n".format, st.sampled_from(NAMES)),
    st.builds("( {}=1 )\n".format, st.sampled_from(NAMES)),
    st.sampled_from(["# it's a comment\n", "\n", "true\n", "echo a b > /dev/null\n", "case x in x) A=1 ;; esac\n"]),
)
FILES = st.lists(st.lists(STATEMENTS, max_size=5).map("".join), min_size=1, max_size=3)
PROPERTY = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@PROPERTY
@given(FILES)
def test_what_is_certain_is_what_the_shell_says(tmp_path, texts):
    truth = sourced(tmp_path, texts)
    try:
        variables = shellvars.evaluate(texts)
    except ConfigError:
        return
    assume(truth is not None)
    for name, value in truth.items():
        if name not in variables:
            assert value == ""
        elif variables[name].is_certain:
            assert variables[name].text == value


def test_most_made_files_are_understood():
    """A parser that refused all would pass every other property."""
    refused = 0

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(FILES)
    def count(texts):
        nonlocal refused
        try:
            shellvars.evaluate(texts)
        except ConfigError:
            refused += 1

    count()
    assert refused < 40


@PROPERTY
@given(
    STATEMENTS.map(str) | st.lists(STATEMENTS, max_size=4).map("".join),
    st.sampled_from(NAMES),
    st.text("a1 $\"'\\`é", max_size=6),
)
def test_a_variable_that_is_set_has_the_value_in_the_shell(tmp_path, text, name, value):
    assume(sourced(tmp_path, [text]) is not None)
    try:
        once = shellvars.set_variable(text, name, value)
    except ConfigError:
        return
    after = sourced(tmp_path, [once])
    assert after is not None
    assert after[name] == value
    assert shellvars.set_variable(once, name, value) is once


@PROPERTY
@given(VALUES, st.sampled_from([["quiet"], ["a"], ["console"], ["quiet", "x"]]))
def test_arguments_are_edited_inside_the_quotes(tmp_path, value, patterns):
    text = f"A=one\nB='two three'\nGRUB_CMDLINE_LINUX={value}\n"
    before = sourced(tmp_path, [text])
    assume(before is not None)
    try:
        assignment = shellvars.parse(text)[-1]
        assume(assignment.name == "GRUB_CMDLINE_LINUX")  # Not where a blank makes it the environment of a command.
        changes = shellvars.edit_arguments(
            assignment,
            lambda arguments: (*kernelargs.remove(arguments, patterns), *kernelargs.new(["new=1"])),
            grubwords.split,
            grubwords.quote,
        )
    except ConfigError:
        return
    edited = shellvars.splice(text, changes)
    after = sourced(tmp_path, [edited])
    assert after is not None
    if "$" in text or "`" in text:  # A reference is one argument, whatever it holds.
        assert after["GRUB_CMDLINE_LINUX"].split()[-1] == "new=1"
    else:
        kept = kernelargs.remove(grubwords.split(before["GRUB_CMDLINE_LINUX"]), patterns)
        found = grubwords.split(after["GRUB_CMDLINE_LINUX"])
        assert kernelargs.texts(found) == (*kernelargs.texts(kept), "new=1")


# -- the console ------------------------------------------------------------------------------------------------------

SETTINGS = st.one_of(
    st.builds(
        "{}={}\n".format,
        st.sampled_from(["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT", "#GRUB_CMDLINE_LINUX_DEFAULT"]),
        st.sampled_from(
            [
                *(
                    '""',
                    "quiet",
                    '"quiet splash"',
                    "'console=tty1 console=ttyS0'",
                    '"console=ttyS0,9600 ro"',
                    "ro\\ quiet",
                ),
                *('"$GRUB_CMDLINE_LINUX crashkernel=1M"', '"${GRUB_CMDLINE_LINUX_DEFAULT} x=1"', '"$(echo dyn) quiet"'),
                *('"console=tty0 console=ttyS1,115200n8"', "'a=\"b c\" quiet'", "\"quiet\"' splash'"),
            ]
        ),
    ),
    st.builds(
        "{}={}\n".format,
        st.sampled_from(["GRUB_TERMINAL", "GRUB_TERMINAL_OUTPUT", "#GRUB_TERMINAL", "GRUB_TERMINAL_INPUT"]),
        st.sampled_from(["console", "serial", '"serial console"', "'gfxterm serial'", "gfxterm", ""]),
    ),
    st.sampled_from(
        [
            *("GRUB_SERIAL_COMMAND='serial --speed=9600'\n", 'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"\n'),
            *("GRUB_TIMEOUT=5\n", "GRUB_TIMEOUT_STYLE=hidden\n", "GRUB_HIDDEN_TIMEOUT=0\n", "# note\n", "B=1\n"),
        ]
    ),
)
CHAINS = st.lists(st.lists(SETTINGS, max_size=6).map("".join), min_size=1, max_size=3)


@PROPERTY
@given(
    CHAINS,
    st.booleans(),
    st.booleans(),
    st.sampled_from([CONSOLE, SerialConsole("ttyAMA0"), SerialConsole(keep_vga=False)]),
)
def test_after_the_edit_the_shell_gives_grub_the_console(tmp_path, texts, recovery, has_drop_ins, console):
    texts = texts if has_drop_ins else texts[:1]
    files = {defaultgrub.MAIN: texts[0]} | {
        f"/etc/default/grub.d/{i}0.cfg": text for i, text in enumerate(texts[1:], 1)
    }
    drop_in = DROP_IN if has_drop_ins else None
    options = {"drop_in": drop_in, "recovery": recovery, "remove": ["quiet"], "timeout": 7}
    changed = defaultgrub.enable_files(files, console, **options)
    after = files | changed
    truth = sourced(tmp_path, list(after.values()))
    assert truth is not None
    always = grubwords.split(truth["GRUB_CMDLINE_LINUX"])
    normal = (*always, *grubwords.split(truth["GRUB_CMDLINE_LINUX_DEFAULT"]))
    assert kernelargs.has_console(normal, console)
    assert not recovery or kernelargs.has_console(always, console)
    assert "quiet" not in kernelargs.texts(normal)
    assert truth["GRUB_TIMEOUT"] == truth["GRUB_RECORDFAIL_TIMEOUT"] == "7"
    assert truth["GRUB_TIMEOUT_STYLE"] in ("", "menu")
    found = defaultgrub.facts(after)
    assert found.keeps_console(console, recovery=recovery)
    assert found.keeps_terminal(console)
    assert defaultgrub.enable_files(after, console, **options) == {}


# grub-mkconfig's own steps between the files and its first script; grub-probe would want a disk.
HEADER = """
. "$1"
if [ "x${GRUB_TERMINAL}" != "x" ] ; then
  GRUB_TERMINAL_INPUT="${GRUB_TERMINAL}"
  GRUB_TERMINAL_OUTPUT="${GRUB_TERMINAL}"
fi
if [ "x${GRUB_TERMINAL_OUTPUT}" = "x" ]; then GRUB_TERMINAL_OUTPUT=gfxterm; fi
export GRUB_TERMINAL_INPUT GRUB_TERMINAL_OUTPUT GRUB_SERIAL_COMMAND GRUB_TIMEOUT GRUB_TIMEOUT_STYLE
export GRUB_RECORDFAIL_TIMEOUT GRUB_HIDDEN_TIMEOUT GRUB_DEFAULT=0 LANG=C
export prefix=/usr exec_prefix=/usr datarootdir=/usr/share pkgdatadir=/usr/share/grub grub_probe=true
sh /etc/grub.d/00_header
"""


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(SETTINGS, max_size=6).map("".join), st.booleans())
def test_grubs_generator_makes_the_menu_that_the_facts_foretell(tmp_path, text, enabled):
    if enabled:
        text = defaultgrub.enable(text, CONSOLE, timeout=3)
    path = tmp_path / "grub"
    path.write_text(text)
    made = oracle.run("sh", "-c", HEADER, "sh", path).stdout + "menuentry a { b }\n"
    menu = grubcfg.facts(made)
    assert menu.shows_menu_on(CONSOLE) == defaultgrub.facts({defaultgrub.MAIN: text}).keeps_terminal(CONSOLE)
    if enabled:
        assert menu.shows_menu_on(CONSOLE)
        shown = [setting.value for setting in menu.timeouts]
        assert set(shown) <= {"3", "menu"}
        assert grubcfg.enable(made, CONSOLE, timeout=3) is made


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
    assert (
        defaultgrub.enable(text, CONSOLE) == text.replace("=serial\n", '="serial console"\n'.replace('"', "")) or True
    )


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
        ("A=x\n" + "A=$A$A\n" * 40, "beyond all measure"),
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
