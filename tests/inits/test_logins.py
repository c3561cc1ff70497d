"""Who asks for a login: inittab, Upstart, securetty, systemd; and the console itself."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgkit.accounts.securetty import config as securetty
from imgkit.configtext import kernelargs
from imgkit.configtext.serial import SerialConsole
from imgkit.configtext.text import decode
from imgkit.errors import ConfigError, UsageError
from imgkit.inits import getty
from imgkit.inits.inittab import config as inittab
from imgkit.inits.systemd import config as systemd
from imgkit.inits.upstart import config as upstart
from tests.support import corpus, oracle

CONSOLE = SerialConsole(terminal="vt102")


# -- the console -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("console", "arguments", "serial", "terminals"),
    [
        (
            SerialConsole(),
            ("console=tty0", "console=ttyS0,115200n8"),
            "serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1",
            ("serial", "console"),
        ),
        (
            SerialConsole("ttyS1", 9600, "e", 7, 2, keep_vga=False),
            ("console=ttyS1,9600e7",),
            "serial --unit=1 --speed=9600 --word=7 --parity=even --stop=2",
            ("serial",),
        ),
        (SerialConsole("ttyS4"), ("console=tty0", "console=ttyS4,115200n8"), None, ("console",)),
        (SerialConsole("ttyAMA0"), ("console=tty0", "console=ttyAMA0,115200n8"), None, ("console",)),
        (SerialConsole("hvc0"), ("console=tty0", "console=hvc0"), None, ("console",)),
        (SerialConsole("ttysclp0"), ("console=ttysclp0",), None, ("console",)),
    ],
)
def test_a_console_is_spelled_for_the_kernel_and_for_grub(console, arguments, serial, terminals):
    assert console.kernel_arguments() == arguments
    assert console.grub_serial_command() == serial
    assert console.grub_terminals() == terminals


@pytest.mark.parametrize(
    "wrong",
    [
        *({"port": "tty0"}, {"port": "/dev/ttyS0"}, {"port": "ttyS0 quiet"}, {"port": ""}, {"port": "ttyS0\n"}),
        *({"baud": 0}, {"baud": 115201}, {"parity": "x"}, {"data_bits": 9}, {"stop_bits": 3}, {"terminal": "a b"}),
        *({"terminal": ""}, {"port": "ttyS" + "0" * 50}, {"parity": ""}),
    ],
)
def test_what_the_kernel_or_getty_would_not_take_is_refused_with_the_way_out(wrong):
    with pytest.raises(UsageError) as caught:
        SerialConsole(**wrong)
    assert caught.value.hint is not None


# -- getty -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "port", "speed", "terminal"),
    [
        ("/sbin/getty -L ttyS0 9600 vt100", "ttyS0", "9600", "vt100"),
        ("/sbin/agetty -L 115200 ttyS0 vt100", "ttyS0", "115200", "vt100"),
        ("/sbin/getty --noclear 38400 tty1", "tty1", "38400", ""),
        ("/sbin/agetty --keep-baud 115200,38400,9600 ttyS0 vt220", "ttyS0", "115200,38400,9600", "vt220"),
        ("/sbin/mgetty -x0 -s 57600 ttyS3", "ttyS3", "57600", ""),
        ("/sbin/mgetty -n 2 ttyS0", "ttyS0", "", ""),
        ("/sbin/mingetty --noclear tty1", "tty1", "", ""),
        ("getty -8 -L /dev/ttyAMA0 115200", "ttyAMA0", "115200", ""),
    ],
)
def test_getty_commands_of_many_programs(command, port, speed, terminal):
    found = getty.find(command)
    assert found is not None
    assert (found.port, found.speed, found.terminal) == (port, speed, terminal)


@pytest.mark.parametrize("command", ["/sbin/sulogin", "/sbin/getty", "/etc/X11/startDM.sh tty7", ""])
def test_other_commands_are_no_gettys(command):
    assert getty.find(command) is None


# -- inittab -----------------------------------------------------------------------------------------------------------


@pytest.mark.corpus
def test_debians_comment_becomes_a_getty_with_our_settings():
    before = decode(corpus.content("bootcfg/misc/debian7.inittab"))
    after = inittab.enable(before, CONSOLE)
    example = "#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100"
    # The guide's own line; a later comment for another machine with the same id stays one.
    assert after == before.replace(example, "T0:23:respawn:/sbin/getty -L ttyS0 115200 vt102", 1)
    assert inittab.enable(after, CONSOLE) is after
    found = inittab.facts(after)
    assert found.has_getty(CONSOLE)
    assert not found.is_busybox
    assert after.split("\n")[found.active(CONSOLE).line - 1].startswith("T0:23")
    other = inittab.enable(before, SerialConsole("ttyS1", 9600))
    assert other == before.replace(
        "#T1:23:respawn:/sbin/getty -L ttyS1 9600 vt100", "T1:23:respawn:/sbin/getty -L ttyS1 9600 vt220"
    )


@pytest.mark.corpus
def test_gentoos_comment_becomes_a_getty():
    before = decode(corpus.content("bootcfg/misc/gentoo-openrc.inittab"))
    after = inittab.enable(before, CONSOLE)
    assert after == before.replace(
        "#s0:12345:respawn:/sbin/agetty -L 115200 ttyS0 vt100", "s0:12345:respawn:/sbin/agetty -L 115200 ttyS0 vt102"
    )


@pytest.mark.corpus
def test_the_virtual_terminals_that_a_serial_installation_comments_out_come_back():
    original = decode(corpus.content("bootcfg/misc/debian7.inittab"))
    installed = original
    for number in "123456":
        installed = installed.replace(f"\n{number}:23", f"\n#{number}:23")
    installed = installed.replace(
        "#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100", "T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100", 1
    )
    assert not inittab.facts(installed).has_vga_getty()
    after = inittab.enable(installed, CONSOLE)
    assert after == original.replace(
        "#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100", "T0:23:respawn:/sbin/getty -L ttyS0 115200 vt100", 1
    )
    serial_only = inittab.enable(installed, SerialConsole(keep_vga=False))
    assert not inittab.facts(serial_only).has_vga_getty()
    # A choice of some terminals is left as it is.
    some = original.replace("\n5:23", "\n#5:23").replace("\n6:23", "\n#6:23")
    assert "\n#5:23" in inittab.enable(some, CONSOLE)


@pytest.mark.corpus
def test_suses_inittab_gets_a_new_line_with_the_runlevels_of_its_terminals():
    before = decode(corpus.content("bootcfg/opensuse-installation-images/inittab"))
    after = inittab.enable(before, CONSOLE)
    assert [line for line in after.split("\n") if line not in before.split("\n")] == [
        "T0:123:respawn:/sbin/getty -L ttyS0 115200 vt102"
    ]
    assert inittab.enable(after, CONSOLE) is after


ALPINE = "::sysinit:/sbin/openrc sysinit\ntty1::respawn:/sbin/getty 38400 tty1\n"
BUSYBOX = "ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt102\n"
ADDED = "ttyS0::respawn:/sbin/getty -L ttyS0 115200 vt102\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Alpine: the first field is the device.
        (ALPINE + "#ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n", ALPINE + BUSYBOX),
        (ALPINE.replace("\n", "\r\n"), (ALPINE + ADDED).replace("\n", "\r\n")),
        (ALPINE + "::ctrlaltdel:/sbin/reboot\n", ALPINE + ADDED + "::ctrlaltdel:/sbin/reboot\n"),
        # A wrong speed, a modem's getty, ids that are taken, and no line end at the end.
        ("T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100", "T0:23:respawn:/sbin/getty -L ttyS0 115200 vt100"),
        ("T0:23:respawn:/sbin/mgetty -s 9600 ttyS0\n", "T0:23:respawn:/sbin/getty -L ttyS0 115200 vt102\n"),
        (
            "T0:2:respawn:/sbin/getty 9600 ttyS1\n#T0:3:respawn:/sbin/getty ttyS0 9600\n",
            "T0:2:respawn:/sbin/getty 9600 ttyS1\nS0:3:respawn:/sbin/getty ttyS0 115200\n",
        ),
        ("id:2:initdefault:", "id:2:initdefault:\nT0:2345:respawn:/sbin/getty -L ttyS0 115200 vt102"),
        ("T0:23:respawn:/sbin/agetty ttyS0\n", "T0:23:respawn:/sbin/agetty ttyS0\n"),
    ],
)
def test_inittabs(before, after):
    assert inittab.enable(before, CONSOLE) == after
    assert inittab.enable(after, CONSOLE) is after
    assert inittab.facts(after).has_getty(CONSOLE)


def test_a_line_that_is_no_entry_is_refused():
    with pytest.raises(ConfigError, match="no entry") as caught:
        inittab.enable("id:2:initdefault:\nbroken\n", CONSOLE)
    assert caught.value.line == 2


# -- Upstart -----------------------------------------------------------------------------------------------------------


def test_a_new_job_is_right_at_once():
    text = upstart.enable("", CONSOLE)
    assert upstart.path(CONSOLE) == "/etc/init/ttyS0.conf"
    assert "exec /sbin/getty -L ttyS0 115200 vt102\n" in text
    assert upstart.facts(text).has_getty(CONSOLE)
    assert upstart.enable(text, CONSOLE) is text
    slow = upstart.enable(text, SerialConsole(baud=9600))
    assert slow == text.replace("115200", "9600")


@pytest.mark.corpus
def test_a_job_whose_mgetty_sets_a_speed_of_its_own_is_corrected():
    before = decode(corpus.content("bootcfg/misc/upstart-mgetty.ttyS0.conf"))
    assert not upstart.facts(before).has_getty(CONSOLE)
    assert upstart.facts(before).line == 10
    after = upstart.enable(before, CONSOLE)
    assert after == before.replace("exec /sbin/mgetty -n 2 ttyS0", "exec /sbin/getty -L ttyS0 115200 vt102")
    assert upstart.enable(after, CONSOLE) is after


@pytest.mark.parametrize(
    "text", ["start on x\nexec /bin/true\n", "exec /sbin/getty -L ttyS0 9600\n", "start on x\nexec getty 9600 ttyS1\n"]
)
def test_a_job_of_another_kind_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        upstart.enable(text, CONSOLE)
    assert "/etc/init/ttyS0.conf" in caught.value.hint


# -- securetty ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("console\nttyS1\ntty1\n", "console\nttyS1\nttyS0\ntty1\n"),
        ("console\n#ttyS0\n", "console\n#ttyS0\nttyS0\n"),
        ("console\ntty1", "console\ntty1\nttyS0"),
        ("ttyS0 # here\n", "ttyS0 # here\n"),
        ("console\r\n", "console\r\nttyS0\r\n"),
        ("", "ttyS0\n"),
    ],
)
def test_root_may_log_in_on_the_console(before, after):
    assert securetty.enable(before, CONSOLE) == after
    assert securetty.enable(after, CONSOLE) is after
    assert "ttyS0" in [setting.name for setting in securetty.facts(after)]


# -- systemd -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)  # a program is run each time
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_unit_names_are_escaped_as_systemd_escapes_them(text):
    assert systemd.escape(text) == oracle.run("systemd-escape", "--", text).stdout.rstrip("\n")


def test_the_name_of_the_unit_and_the_arguments_that_mask_it():
    assert systemd.getty_unit(CONSOLE) == "serial-getty@ttyS0.service"
    masking = systemd.masking_arguments(CONSOLE)
    assert {"systemd.mask=getty.target", "systemd.mask=serial-getty@ttyS0.service"} <= set(masking)


@pytest.mark.parametrize(
    ("line", "is_off"),
    [
        ("quiet", False),
        ("systemd.getty_auto=0", True),
        ("systemd.getty_auto=off", True),
        ("systemd.getty_auto=No quiet", True),
        ("systemd.getty_auto", False),
        ("systemd.getty_auto=0 systemd.getty_auto=1", False),
    ],
)
def test_the_generator_is_switched_off_on_the_command_line(line, is_off):
    assert systemd.generator_is_off(kernelargs.split(line)) == is_off
