"""inittabs of real kinds: whatever asks for a login on the port already stays alone there."""

import pytest

from imgkit.configtext.serial import SerialConsole
from imgkit.inits.inittab import config as inittab

CONSOLE = SerialConsole()
SYSV = "id:5:initdefault:\nsi::sysinit:/etc/init.d/rcS\n1:12345:respawn:/sbin/getty 38400 tty1\n"
BUSYBOX = "::sysinit:/etc/init.d/rcS\ntty1::respawn:/sbin/getty 38400 tty1\n"


def enabled(text, console=CONSOLE, **more):
    """The file with the console enabled; twice is once, and the facts agree."""
    after = inittab.enable(text, console, **more)
    assert inittab.enable(after, console, **more) is after
    found = inittab.facts(after, **more)
    assert found.has_getty(console), after
    assert not found.misses_vga_getty(console), after
    return after


@pytest.mark.parametrize(
    "text",
    [
        # OpenEmbedded, before and since 2025.
        SYSV + "S0:12345:respawn:/bin/start_getty 115200 ttyS0 vt102\n",
        SYSV + "S0:12345:respawn:/usr/sbin/ttyrun ttyS0 /bin/start_getty 115200 ttyS0 vt102\n",
        SYSV + "S0:2345:respawn:/sbin/getty -L ttyS0 115200 vt100\n",
        SYSV + "S0:12345:respawn:/bin/login -f root </dev/ttyS0 >/dev/ttyS0 2>&1\n",
        SYSV + "S0::respawn:/sbin/agetty --autologin root --keep-baud 115200,9600 ttyS0 vt220\n",
        BUSYBOX + "ttyS0::respawn:/bin/login -f root\n",
        BUSYBOX + "ttyS0::askfirst:-/bin/sh\n",
        BUSYBOX + "ttyS0::respawn:/sbin/getty -n -l /bin/autologin 115200 -\n",
        BUSYBOX + "ttyS0::askfirst:/usr/libexec/login.sh\n",
        # What follows the kernel's console, which the port becomes.
        BUSYBOX + "console::respawn:/sbin/getty -L  console 0 vt100 # GENERIC_SERIAL\n",
        BUSYBOX + "::askfirst:-/bin/sh\n#::respawn:/sbin/getty -L ttyS0 9600 vt100\n",
        BUSYBOX + "::respawn:-/bin/ash --login\n",
        SYSV + "co:2345:respawn:/sbin/getty -L console 115200 vt100\n",
        # Not a login, and nothing on this port.
        BUSYBOX + "ttyS0::respawn:/sbin/getty -L ttyS0 115200 vt100\n::respawn:/usr/bin/daemon\n",
    ],
)
def test_what_serves_the_port_already_stays_alone(text):
    assert enabled(text) is text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Another speed.
        (
            SYSV + "S0:12345:respawn:/bin/start_getty 9600 ttyS0 vt102\n",
            SYSV + "S0:12345:respawn:/bin/start_getty 115200 ttyS0 vt102\n",
        ),
        # A runlevel that is not entered: of a getty, and of a comment, which then is no example.
        (
            SYSV + "T0:3:respawn:/sbin/getty -L ttyS0 115200 vt100\n",
            SYSV + "T0:35:respawn:/sbin/getty -L ttyS0 115200 vt100\n",
        ),
        (
            SYSV + "# S0:1:respawn:/sbin/getty -L ttyS0 115200 vt100\n",
            SYSV + "# S0:1:respawn:/sbin/getty -L ttyS0 115200 vt100\n"
            "T0:12345:respawn:/sbin/getty -L ttyS0 115200 vt220\n",
        ),
        # In busybox the first field is the device: an empty one stays empty, and T0 is none.
        (
            BUSYBOX + "#::respawn:/sbin/getty -L ttyS0 9600 vt100\n",
            BUSYBOX + "::respawn:/sbin/getty -L ttyS0 115200 vt220\n",
        ),
        (
            BUSYBOX + "#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n",
            BUSYBOX + "ttyS0::respawn:/sbin/getty -L ttyS0 115200 vt220\n"
            "#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n",
        ),
        # The screen's only login would go to the serial line with the kernel's console.
        (
            "::sysinit:/etc/init.d/rcS\nconsole::respawn:/sbin/getty -L  console 0 vt100 # GENERIC_SERIAL\n",
            (
                "::sysinit:/etc/init.d/rcS\nconsole::respawn:/sbin/getty -L  console 0 vt100 # GENERIC_SERIAL\n"
                "tty1::respawn:/sbin/getty 38400 tty1\n"
            ),
        ),
        # Two on one line: the one that names the port stays.
        (
            BUSYBOX + "::askfirst:-/bin/sh\nttyS0::respawn:/sbin/getty -L ttyS0 115200 vt100\n",
            BUSYBOX + "#::askfirst:-/bin/sh\nttyS0::respawn:/sbin/getty -L ttyS0 115200 vt100\n",
        ),
        (
            SYSV + "S0:12345:respawn:/bin/start_getty 115200 ttyS0 vt102\nT0:235:respawn:/sbin/getty ttyS0 115200\n",
            SYSV + "S0:12345:respawn:/bin/start_getty 115200 ttyS0 vt102\n#T0:235:respawn:/sbin/getty ttyS0 115200\n",
        ),
        # OpenWrt's askconsole follows the first console=, which is the screen; others ask as those on the screen do.
        (
            "::sysinit:/etc/init.d/rcS S boot\n::askconsole:/usr/libexec/login.sh\n",
            (
                "::sysinit:/etc/init.d/rcS S boot\n::askconsole:/usr/libexec/login.sh\n"
                "ttyS0::askfirst:/usr/libexec/login.sh\n"
            ),
        ),
        (
            "::sysinit:/etc/init.d/rcS S boot\ntty1::askfirst:/usr/libexec/login.sh\n",
            (
                "::sysinit:/etc/init.d/rcS S boot\ntty1::askfirst:/usr/libexec/login.sh\n"
                "ttyS0::askfirst:/usr/libexec/login.sh\n"
            ),
        ),
    ],
)
def test_what_does_not_serve_it_is_corrected(before, after):
    assert enabled(before) == after


def test_the_console_follows_the_kernel():
    text = BUSYBOX + "::askfirst:-/bin/sh\n"
    found = inittab.facts(text, consoles=("ttyS0", "tty0"))
    assert not found.has_getty(CONSOLE), "the last console= is the screen"
    added = "ttyS0::respawn:/sbin/getty -L ttyS0 115200 vt220\n"
    assert enabled(text, consoles=("ttyS0", "tty0")) == BUSYBOX + added + "::askfirst:-/bin/sh\n"


def test_runlevels_of_the_kernel_command_line_count():
    text = SYSV + "T0:5:respawn:/sbin/getty -L ttyS0 115200 vt100\n"
    assert inittab.facts(text).has_getty(CONSOLE)
    assert not inittab.facts(text, levels={"3"}).has_getty(CONSOLE)
    assert "T0:53:respawn" in enabled(text, levels={"3"})


def test_a_port_that_another_program_uses_is_left_to_it():
    text = SYSV + "S1:2345:respawn:/usr/sbin/gpsd -N /dev/ttyS1\n"
    console = SerialConsole("ttyS1")
    assert inittab.enable(text, console) is text
    assert not inittab.facts(text).has_getty(console)
    assert "T0:12345:respawn:/sbin/getty -L ttyS0 115200 vt220\n" in enabled(text)


def test_a_headless_systems_screen_gets_nothing():
    text = "id:5:initdefault:\nS0:12345:respawn:/bin/start_getty 115200 ttyS0 vt102\n"
    assert enabled(text) is text
