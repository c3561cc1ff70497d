"""What keeps systemd from asking for a login, and what asks in its place: seen, and undone where that is safe."""

import pytest

from imgkit.configtext import kernelargs
from imgkit.configtext.checks import KernelLine
from imgkit.configtext.serial import SerialConsole
from imgkit.inits.systemd import config, login
from imgkit.treeedits import TreeEdits
from tests.inits.test_conformance import SYSTEMD
from tests.support.memoryguest import MemoryGuest

CONSOLE = SerialConsole()
UNIT = "serial-getty@ttyS0.service"
OWN, VENDOR = "/etc/systemd/system", "/lib/systemd/system"
WANTED = f"{OWN}/getty.target.wants/{UNIT}"
AUTOLOGIN = b"[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 %I $TERM\n"


def lines(words):
    """A kernel command line with the console enabled and, as the boot loaders' part does, nothing that masks it."""
    kept = kernelargs.remove(kernelargs.split(words), login.unwanted(CONSOLE))
    return [KernelLine("/boot/grub/grub.cfg", 3, "Linux", kernelargs.set_console(kept, CONSOLE), False)]


def guest(files, without=()):
    return MemoryGuest({path: data for path, data in (SYSTEMD | files).items() if path not in without})


def failing(tree, words="ro"):
    given = [
        KernelLine("/boot/grub/grub.cfg", 3, "Linux", kernelargs.set_console(kernelargs.split(words), CONSOLE), False)
    ]
    return [check for check in login.checks(TreeEdits(tree), CONSOLE, given) if not check.ok]


def enable(tree, words="ro"):
    """What enabling changes: links by path, None for what goes; and twice is once."""
    edits = TreeEdits(tree)
    login.enable(edits, CONSOLE, lines(words))
    tree.apply(edits.changes())
    again = TreeEdits(tree)
    login.enable(again, CONSOLE, lines(words))
    assert again.changes() == []
    return {change.path: change.after and change.after.decode() for change in edits.changes()}


@pytest.mark.parametrize(
    ("files", "words", "told", "changes"),
    [
        ({f"{OWN}/{UNIT}": "/dev/null"}, "", "is masked", {f"{OWN}/{UNIT}": None}),
        ({f"{OWN}/{UNIT}": b""}, "", "is masked", {f"{OWN}/{UNIT}": None}),
        ({f"{OWN}/serial-getty@.service": "/dev/null"}, "", "is masked", {f"{OWN}/serial-getty@.service": None}),
        ({f"{OWN}/getty.target": "/dev/null"}, "", "getty.target is masked", {f"{OWN}/getty.target": None}),
        (
            {"/etc/systemd/system-generators/systemd-getty-generator": "/dev/null"},
            "",
            "masks it",
            {WANTED: f"{VENDOR}/serial-getty@.service"},
        ),
        (
            {"/usr/local/lib/systemd/system-generators/systemd-getty-generator": b"#!/bin/sh\n"},
            "",
            "replaces it",
            {WANTED: f"{VENDOR}/serial-getty@.service"},
        ),
        ({}, "systemd.getty_auto=0", "switches off", {WANTED: f"{VENDOR}/serial-getty@.service"}),
        ({}, "SYSTEMD_GETTY_AUTO=no", "switches off", {WANTED: f"{VENDOR}/serial-getty@.service"}),
        ({}, f"systemd.mask={UNIT}", "keeps serial-getty@ttyS0.service from starting", {}),
        ({}, "systemd.mask=getty.target", "keeps serial-getty@ttyS0.service from starting", {}),
        (
            {
                f"{OWN}/default.target": "/etc/systemd/system/kiosk.target",
                f"{OWN}/kiosk.target": b"[Unit]\nWants=app.service\n",
            },
            "",
            "kiosk.target does not start getty.target",
            {f"{OWN}/kiosk.target.wants/{UNIT}": f"{VENDOR}/serial-getty@.service"},
        ),
        (
            {f"{VENDOR}/kiosk.target": b"[Unit]\nDescription=x\n"},
            "systemd.unit=kiosk.target",
            "kiosk.target does not start getty.target",
            {f"{OWN}/kiosk.target.wants/{UNIT}": f"{VENDOR}/serial-getty@.service"},
        ),
    ],
)
def test_what_keeps_the_getty_away_is_seen_and_undone(files, words, told, changes):
    tree = guest(files)
    (check,) = failing(tree, words)
    assert told in check.message
    assert enable(tree, words) == changes
    assert not [check for check in login.checks(TreeEdits(tree), CONSOLE, lines(words)) if not check.ok]


def test_images_made_from_container_images_lack_links_and_generators():
    tree = guest({}, without={f"{VENDOR}/multi-user.target.wants/getty.target"})
    assert "graphical.target does not start getty.target" in failing(tree)[0].message
    assert enable(tree) == {f"{OWN}/graphical.target.wants/{UNIT}": f"{VENDOR}/serial-getty@.service"}
    assert not failing(tree)
    tree = guest({}, without={f"{VENDOR}-generators/{config.GENERATOR}"})
    assert "does not have it" in failing(tree)[0].message
    assert list(enable(tree)) == [WANTED]
    assert not failing(tree)


@pytest.mark.parametrize("words", ["systemd.unit=rescue.target", "systemd.unit=emergency.target"])
def test_a_system_that_starts_without_logins_is_said_and_left_alone(words):
    tree = guest({})
    (check,) = failing(tree, words)
    assert "no login prompt" in check.message
    assert "multi-user.target" in check.hint
    assert enable(tree, words) == {}


@pytest.mark.parametrize("drop_in", [f"{UNIT}.d/autologin.conf", "serial-getty@.service.d/10.conf"])
def test_drop_ins_that_log_somebody_in_are_fine(drop_in):
    tree = guest({f"{OWN}/{drop_in}": AUTOLOGIN})
    assert not failing(tree)
    assert enable(tree) == {}


def test_a_unit_that_is_replaced_by_no_login_is_said():
    tree = guest({f"{OWN}/{UNIT}": b"[Service]\nExecStart=/usr/bin/modem-bridge /dev/ttyS0\n"})
    (check,) = failing(tree)
    assert "modem-bridge" in check.message
    assert (check.file, bool(check.hint)) == (f"{OWN}/{UNIT}", True)
    assert enable(tree) == {}


ROOT_SHELL = b"[Service]\nExecStart=/bin/bash --login\nStandardInput=tty\nTTYPath=/dev/ttyS0\n"
SERIAL_CONSOLE = b"[Service]\nExecStart=/sbin/agetty -L 115200 ttyS0 vt100\nRestart=always\n"


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (
            {
                f"{OWN}/my-console.service": SERIAL_CONSOLE,
                f"{OWN}/multi-user.target.wants/my-console.service": "../my-console.service",
            },
            "my-console.service",
        ),
        (
            {
                f"{OWN}/root-shell.service": ROOT_SHELL,
                f"{OWN}/multi-user.target.wants/root-shell.service": f"{OWN}/root-shell.service",
            },
            "root-shell.service",
        ),
        ({f"{OWN}/getty.target.wants/getty@ttyS0.service": f"{VENDOR}/getty@.service"}, "getty@ttyS0.service"),
        (
            {f"{OWN}/getty.target.wants/console-getty.service": f"{VENDOR}/console-getty.service"},
            "console-getty.service",
        ),
    ],
    ids=["agetty", "shell", "getty@", "console-getty"],
)
def test_a_unit_in_place_of_serial_getty_stays_the_only_one(files, name):
    tree = guest(files)
    (check,) = failing(tree)
    assert f"{name} and {UNIT} would both ask" in check.message
    assert login.serves(TreeEdits(tree), CONSOLE, lines("ro"))
    assert enable(tree) == {f"{OWN}/{UNIT}": "/dev/null"}
    assert not failing(tree)
    masked = guest(files | {f"{OWN}/{UNIT}": "/dev/null"})
    assert not failing(masked)
    assert enable(masked) == {}, "its mask stays"


def test_a_unit_on_another_port_or_not_started_is_none_of_our_business():
    other = SERIAL_CONSOLE.replace(b"ttyS0", b"ttyS1")
    tree = guest(
        {
            f"{OWN}/a.service": SERIAL_CONSOLE,
            f"{OWN}/b.service": other,
            f"{OWN}/multi-user.target.wants/b.service": "../b.service",
        }
    )
    assert not failing(tree)
    assert enable(tree) == {}


def test_a_guest_without_the_unit_is_said():
    tree = guest({}, without={f"{VENDOR}/serial-getty@.service"})
    assert "has no serial-getty@.service" in failing(tree)[0].message


def test_a_unit_that_reads_from_the_port_and_is_no_login_is_said():
    bridge = b"[Service]\nExecStart=/usr/bin/modem-bridge\nStandardInput=tty\nTTYPath=/dev/ttyS0\n"
    tree = guest(
        {f"{OWN}/bridge.service": bridge, f"{OWN}/multi-user.target.wants/bridge.service": "../bridge.service"}
    )
    (check,) = failing(tree)
    assert "bridge.service reads from ttyS0 and is not a login: /usr/bin/modem-bridge" in check.message
    assert "--port" in check.hint
    assert enable(tree) == {}
