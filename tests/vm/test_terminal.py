"""A terminal is what it was, however the process ends that made it raw."""

import os
import signal
import sys
import termios
import time
from pathlib import Path

import pytest

from imgkit.vm.serial.terminal import window_size
from tests.support.typist import typist

PROGRAM = """
import os, signal, sys, time
from imgkit.vm.serial.terminal import raw_terminal
def stop(number, frame):
    raise SystemExit(128 + number)
signal.signal(signal.SIGTERM, stop)
with raw_terminal(0):
    print("raw", end="", flush=True)
    {}
"""


def raw(person, body="time.sleep(600)"):
    person.start([sys.executable, "-c", PROGRAM.format(body)])
    person.read("raw")
    return person.process


@pytest.fixture
def person():
    with typist() as someone:
        yield someone


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("1 / 0", 1),
        ("os._exit(3)", 3),
        ("os.abort()", -signal.SIGABRT),
        ("os.kill(os.getpid(), signal.SIGTERM); os.kill(os.getpid(), signal.SIGTERM)", 128 + signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.killpg(0, signal.SIGKILL)", -signal.SIGKILL),
        ("os.close(0)", 0),
    ],
)
def test_the_terminal_is_what_it_was(person, body, status):
    process = raw(person, body)
    assert person.wait() == status
    person.wait_until_restored()
    assert process.returncode == status


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_kill_at_any_instant_leaves_it_what_it_was(number):
    for pause in range(10):
        with typist() as person:
            person.start([sys.executable, "-c", PROGRAM.format("time.sleep(0.05)")])
            time.sleep(pause / 40)
            person.process.send_signal(number)
            person.wait()
            person.wait_until_restored()


def test_what_somebody_else_has_set_meanwhile_is_left_alone(person):
    process = raw(person)
    theirs = person.settings
    theirs[3] |= termios.ECHO
    termios.tcsetattr(person.slave, termios.TCSANOW, theirs)
    guard = guard_of(process)
    process.kill()
    process.wait()
    wait_for_end(guard)
    assert person.settings == theirs


def test_raw_is_raw(person):
    raw(person, "print(os.read(0, 100) == bytes(range(32)), flush=True); time.sleep(600)")
    person.type(bytes(range(32)))
    person.read("True\n")  # no carriage return: nothing is added to what is shown


def test_a_guard_that_is_gone_does_not_matter(person):
    process = raw(person, "time.sleep(1)")
    os.kill(int(guard_of(process)), signal.SIGKILL)
    assert person.wait() == 0
    assert person.settings == person.before


def test_the_size_of_a_window(person):
    person.resize(30, 101)
    assert window_size(person.slave) == (30, 101)
    person.resize(0, 0)
    assert window_size(person.slave) is None
    with Path(os.devnull).open() as nothing:
        assert window_size(nothing.fileno()) is None


def guard_of(process):
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]


def wait_for_end(pid):
    """Also where nobody takes notice of the orphan's end."""
    deadline = time.monotonic() + 60
    while (status := Path(f"/proc/{pid}/status")).exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
