"""What every init system's module promises, on guests in the structure of real distributions, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from imgkit.configtext import kernelargs
from imgkit.configtext.checks import CheckKind, KernelLine
from imgkit.configtext.serial import SerialConsole
from imgkit.inits import INITS, Init, module_for
from imgkit.inits.detection import find_init
from imgkit.treeedits import TreeEdits
from tests.support.memoryguest import MemoryGuest

CONSOLES = [SerialConsole(), SerialConsole("ttyS1", 9600), SerialConsole("hvc0", keep_vga=False)]
AGETTY_GENERIC = b"""#!/bin/sh
tty=${PWD##*-}
[ -r conf ] && . ./conf
exec setsid agetty ${GETTY_ARGS} "${tty}" "${BAUD_RATE}" "${TERM_NAME}"
"""
DEBIANS_GETTY = b"""#!/usr/bin/env /lib/runit/invoke-run
kconsole=$(grep -o  '\\bconsole=[^ ]*' /proc/cmdline)
kconsole=${kconsole##*=}
SGETTY=${kconsole%,*}
[ -z "$SGETTY" ] && SGETTY=ttyS0
exec /sbin/getty -L "$SGETTY" 9600 vt100
"""
DINITS_GETTY = b"type = process\ncommand = /usr/bin/agetty -L -8 PORT 38400 vt100\ndepends-on = login\n"
SYSTEMD = {
    "/sbin/init": "/lib/systemd/systemd",
    "/lib/systemd/systemd": b"\x7fELF",
    "/lib/systemd/system/default.target": "graphical.target",
    "/lib/systemd/system/graphical.target": b"[Unit]\nRequires=multi-user.target\nWants=display-manager.service\n",
    "/lib/systemd/system/multi-user.target": b"[Unit]\nRequires=basic.target\n",
    "/lib/systemd/system/multi-user.target.wants/getty.target": "../getty.target",
    "/lib/systemd/system/getty.target": b"[Unit]\nDescription=Login Prompts\n",
    "/lib/systemd/system/rescue.target": b"[Unit]\nRequires=rescue.service\n",
    "/lib/systemd/system/getty@.service": b"[Service]\nExecStart=-/sbin/agetty -o '-p -- \\u' --noclear - $TERM\n"
    b"StandardInput=tty\nTTYPath=/dev/%I\n",
    "/lib/systemd/system/serial-getty@.service": b"[Service]\nExecStart=-/sbin/agetty -o '-p -- \\u' --keep-baud "
    b"115200,57600,38400,9600 - $TERM\nStandardInput=tty\nTTYPath=/dev/%I\n",
    "/lib/systemd/system/console-getty.service": b"[Service]\nExecStart=-/sbin/agetty --noclear --keep-baud - "
    b"115200,38400,9600 $TERM\nStandardInput=tty\nTTYPath=/dev/console\n",
    "/lib/systemd/system-generators/systemd-getty-generator": b"\x7fELF",
    "/lib/systemd/system-generators/systemd-fstab-generator": b"\x7fELF",
    "/etc/systemd/system/getty.target.wants/getty@tty1.service": "/lib/systemd/system/getty@.service",
}


@dataclass
class Guest:
    """A guest before: its files, words on its kernel command line, and, if it is not served, what it is called."""

    init: Init
    files: dict[str, bytes | str]
    words: str = "ro quiet"
    unserved: str = ""
    name: str = field(default="", kw_only=True)


GUESTS = [
    Guest(Init.SYSTEMD, SYSTEMD),
    Guest(Init.SYSTEMD, SYSTEMD, "ro systemd.getty_auto=no", name="generator off"),
    Guest(
        Init.SYSVINIT,
        {
            "/sbin/init": b"\x7fELF",
            "/etc/inittab": b"id:2:initdefault:\n1:2345:respawn:/sbin/getty 38400 tty1\n"
            b"#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n",
        },
    ),
    Guest(
        Init.BUSYBOX,
        {
            "/sbin/init": "../bin/busybox",
            "/bin/busybox": b"\x7fELF",
            "/etc/inittab": b"::sysinit:/etc/init.d/rcS\ntty1::respawn:/sbin/getty 38400 tty1\n",
        },
    ),
    Guest(
        Init.PROCD,
        {
            "/sbin/init": b"\x7fELF",
            "/sbin/procd": b"\x7fELF",
            "/etc/inittab": b"::sysinit:/etc/init.d/rcS S boot\ntty1::askfirst:/usr/libexec/login.sh\n",
        },
    ),
    Guest(
        Init.OPENRC,
        {
            "/sbin/init": "/bin/busybox",
            "/sbin/openrc": b"\x7fELF",
            "/etc/inittab": b"::sysinit:/sbin/openrc sysinit\ntty1::respawn:/sbin/getty 38400 tty1\n",
        },
    ),
    Guest(
        Init.OPENRC_INIT,
        {
            "/sbin/init": "openrc-init",
            "/sbin/openrc-init": b"\x7fELF",
            "/etc/init.d/agetty": b"#!/sbin/openrc-run\n",
            "/etc/init.d/agetty.tty1": "agetty",
            "/etc/runlevels/default/agetty.tty1": "/etc/init.d/agetty.tty1",
        },
    ),
    Guest(
        Init.UPSTART,
        {
            "/sbin/init": b"\x7fELF",
            "/sbin/initctl": b"\x7fELF",
            "/etc/init/tty1.conf": b"start on stopped rc RUNLEVEL=[2345]\nrespawn\nexec /sbin/getty -8 38400 tty1\n",
        },
    ),
    Guest(
        Init.RUNIT,
        {
            "/sbin/init": "runit-init",
            "/sbin/runit-init": b"\x7fELF",
            "/etc/sv/agetty-generic/run": AGETTY_GENERIC,
            "/etc/sv/agetty-generic/finish": b"#!/bin/sh\nexec utmpset -w ${PWD##*-}\n",
            "/etc/sv/agetty-ttyS0/conf": b'GETTY_ARGS="-L"\nBAUD_RATE=115200\nTERM_NAME=vt100\n',
            "/etc/sv/agetty-ttyS0/run": "../agetty-generic/run",
            "/etc/sv/agetty-tty1/run": "../agetty-generic/run",
            "/etc/runit/runsvdir/current": "default",
            "/etc/runit/runsvdir/default/agetty-tty1": "/etc/sv/agetty-tty1",
            "/etc/runit/runsvdir/single/sulogin": "/etc/sv/sulogin",
        },
    ),
    Guest(
        Init.RUNIT,
        {
            "/sbin/init": "/lib/runit/runit-init",
            "/lib/runit/runit-init": b"\x7fELF",
            "/etc/sv/getty-ttyS0/run": DEBIANS_GETTY,
            "/etc/sv/getty-hvc0/run": b"#!/bin/sh\nexec /sbin/getty hvc0 38400 linux\n",
            "/etc/sv/getty-tty1/run": b"#!/bin/sh\nexec /sbin/getty 38400 tty1\n",
            "/etc/runit/runsvdir/default/getty-tty1": "../../../sv/getty-tty1",
            "/etc/runit/runsvdir/solo/getty-ttyS0": "../../../sv/getty-ttyS0",
        },
        name="Debian's getty-run",
    ),
    Guest(
        Init.DINIT,
        {
            "/sbin/init": "dinit",
            "/sbin/dinit": b"\x7fELF",
            "/etc/dinit.d/boot": b"depends-on = system\nwaits-for.d = boot.d\n",
            "/etc/dinit.d/tty1": b"type = process\ncommand = /usr/bin/agetty tty1 linux\nrestart = true\n"
            b"depends-on = loginready\n",
            "/etc/dinit.d/boot.d/tty1": "../tty1",
        },
    ),
    Guest(
        Init.DINIT,
        {
            "/sbin/init": "/usr/bin/dinit",
            "/usr/bin/dinit": b"\x7fELF",
            "/usr/lib/dinit.d/agetty-ttyS0": DINITS_GETTY.replace(b"PORT", b"ttyS0"),
            "/usr/lib/dinit.d/agetty-ttyS1": DINITS_GETTY.replace(b"PORT", b"ttyS1").replace(b"38400", b"115200"),
            "/usr/lib/dinit.d/boot.d/agetty-ttyS0": "../agetty-ttyS0",
            "/usr/lib/dinit.d/boot.d/agetty-ttyS1": "../agetty-ttyS1",
        },
        name="dinit at another baud rate",
    ),
    Guest(Init.FINIT, {"/sbin/init": "finit", "/sbin/finit": b"\x7fELF", "/etc/finit.conf": b""}, unserved="Finit"),
    Guest(
        Init.S6,
        {"/sbin/init": b"#!/bin/execlineb -P\ns6-linux-init -c /etc/s6-linux-init/current\n", "/etc/s6-rc/x": b""},
        unserved="s6-rc",
    ),
    Guest(Init.UNKNOWN, {"/sbin/init": b"\x7fELF"}, unserved="unknown init system"),
    Guest(
        Init.UNKNOWN,
        {"/sbin/init": "/usr/bin/sinit", "/etc/inittab": b"id:2:initdefault:\n"},
        unserved="unknown init system",
        name="sinit",
    ),
]


def kernels(console: SerialConsole, words: str = "ro quiet") -> list[KernelLine]:
    """A command line as the boot loaders' part has left it."""
    arguments = kernelargs.set_console(kernelargs.split(words), console)
    return [KernelLine("/boot/grub/grub.cfg", 7, "Linux", arguments, False)]


def ids(guest: Guest) -> str:
    return guest.name or guest.init.value


def test_every_member_of_the_registry_is_tried():
    assert {guest.init for guest in GUESTS} == set(INITS) == set(Init)


@pytest.mark.parametrize("guest", GUESTS, ids=ids)
def test_it_is_told_by_its_program(guest):
    tree = MemoryGuest(guest.files)
    assert find_init(tree) is guest.init
    if guest.init is not Init.UNKNOWN:  # the program itself says nothing
        program = {"/sbin/other-init": guest.files["/sbin/init"], "/sbin/init": b"\x7fELF"}
        assert find_init(MemoryGuest(guest.files | program), "/sbin/other-init") is guest.init


@pytest.mark.parametrize("console", CONSOLES, ids=lambda console: console.port)
@pytest.mark.parametrize("guest", [guest for guest in GUESTS if not guest.unserved], ids=ids)
def test_one_login_prompt_and_no_second_one(guest, console):
    tree, module, lines = MemoryGuest(guest.files), module_for(guest.init), kernels(console, guest.words)
    found = list(module.checks(TreeEdits(tree), console, lines))
    needs_nothing = guest.init is Init.SYSTEMD and not guest.name
    assert all(check.kind is CheckKind.GETTY and check.message for check in found)
    assert all(check.ok for check in found) == needs_nothing
    if needs_nothing:
        assert module.serves(TreeEdits(tree), console, lines)
    edits = TreeEdits(tree)
    module.enable(edits, console, lines)
    changes = edits.changes()
    assert bool(changes) != needs_nothing
    tree.apply(changes)
    after = list(module.checks(TreeEdits(tree), console, lines))
    assert after
    assert all(check.ok for check in after), after
    assert module.serves(TreeEdits(tree), console, lines)
    again = TreeEdits(tree)
    module.enable(again, console, lines)
    assert again.changes() == [], "twice is once"
    for check in after:
        assert not check.file or tree.exists(check.file) or TreeEdits(tree).is_there(check.file), check.file


@pytest.mark.parametrize("guest", [guest for guest in GUESTS if guest.unserved], ids=ids)
def test_what_is_not_served_is_named_with_the_way_out(guest):
    tree, module, console = MemoryGuest(guest.files), module_for(guest.init), CONSOLES[1]
    edits = TreeEdits(tree)
    module.enable(edits, console, kernels(console))
    assert edits.changes() == []
    (check,) = module.checks(edits, console, kernels(console))
    assert not check.ok
    assert guest.unserved in check.message
    assert "ttyS1" in check.hint
    assert not module.serves(edits, console, kernels(console))


@pytest.mark.parametrize("init", Init)
def test_patterns_of_kernel_arguments_name_one_argument_each(init):
    for pattern in module_for(init).unwanted(CONSOLES[0]):
        assert kernelargs.remove(kernelargs.new([pattern, "quiet"]), [pattern]) == kernelargs.new(["quiet"])


WITHOUT_AUTOLOGIN = ("Debian's getty-run", "procd")  # the port is the kernel's; the line is a shell's


@pytest.mark.parametrize("agetty", [True, False], ids=["agetty", "none"])
@pytest.mark.parametrize("guest", [guest for guest in GUESTS if not guest.unserved], ids=ids)
def test_a_user_is_logged_in_without_a_question_where_agetty_does_it(guest, agetty):
    files = guest.files | ({"/usr/sbin/agetty": b"\x7fELF"} if agetty else {})
    tree, module, console = MemoryGuest(files), module_for(guest.init), CONSOLES[0]
    lines = kernels(console, guest.words)
    edits = TreeEdits(tree)
    module.enable(edits, console, lines)
    assert module.autologin_user(edits, console, lines) == ""
    before = edits.changes()
    done = module.autologin(edits, console, lines, "ada")
    by_settings = guest.init in (Init.OPENRC_INIT, Init.RUNIT)  # which name no program
    assert done == ((agetty or by_settings) and ids(guest) not in WITHOUT_AUTOLOGIN)
    if not done:
        assert edits.changes() == before
        return
    assert module.autologin_user(edits, console, lines) == "ada"
    tree.apply(edits.changes())
    assert module.autologin_user(TreeEdits(tree), console, lines) == "ada"
    assert all(check.ok for check in module.checks(TreeEdits(tree), console, lines))
    assert module.autologin(again := TreeEdits(tree), console, lines, "bob")
    assert module.autologin_user(again, console, lines) == "bob"
