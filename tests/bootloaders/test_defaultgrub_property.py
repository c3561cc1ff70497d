"""Made /etc/default/grub files and drop-ins against the shell that sources them, and against GRUB's own generator."""

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from imgkit.bootloaders.grub2 import defaults as defaultgrub
from imgkit.bootloaders.grub2 import words as grubwords
from imgkit.configtext import kernelargs, shellvars
from imgkit.configtext.serial import SerialConsole
from imgkit.errors import ConfigError
from tests.support import grubtext as grubcfg
from tests.support import oracle
from tests.support.sourcing import DROP_IN, NAMES, sourced

CONSOLE = SerialConsole()

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
        # Not where a blank makes it the environment of a command, or of what may be one.
        assume(assignment.name == "GRUB_CMDLINE_LINUX" and assignment.is_certain)
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
