"""A terminal at the console of a real guest, under the user's own libvirt: one guest for all of these tests.

They leave it at its prompt.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from imgkit.vm.domain import Host, Hypervisor, domain_xml
from imgkit.vm.serial.terminal import SOFT_RESET
from tests.cli.command import environment, imgkit, script
from tests.cli.test_json import check
from tests.support.session import virsh
from tests.support.tinyguest import PROMPT, tiny_guest
from tests.support.typist import PATIENCE, typist

pytestmark = pytest.mark.boot

NAME = "imgkit-attach"
LEAVE = b"\x1d"
# Started paused, and let go when the line is open: what `vm install` does.
BEGIN = f"""
import libvirt
from imgkit.vm.serial.attach import Attachment, attach
from imgkit.vm.connection import connect
from imgkit.vm.launcher import find
with connect() as connection:
    domain = find(connection, {NAME!r})
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    print(attach(connection, {NAME!r}, Attachment(), notify=print, on_open=domain.resume))
"""

FLOOD = f"""
import time
from imgkit.vm.connection import connect
from imgkit.vm.launcher import find
from imgkit.vm.serial.line import LineClosed, open_line
with connect() as connection:
    domain = find(connection, {NAME!r})
    for _ in range(10):
        heard = []
        with open_line(domain, on_output=heard.append, keep=1000) as line:
            line.send("yes flood\\n")
            line.expect(r"(flood\\r\\n){{50}}", {PATIENCE})
            assert len(line.transcript) <= 2000
        came = len(heard)
        time.sleep(0.05)
        assert len(heard) == came
        try:
            line.send("more")
        except LineClosed:
            continue
        raise AssertionError("typed into a line that is closed")
    with open_line(domain) as line:
        line.send("\\x03")
        line.expect({PROMPT!r}, {PATIENCE})
print("done")
"""


@pytest.fixture(scope="module")
def machine(session, tmp_path_factory):
    """A guest that came to its prompt: what was shown from its first byte on."""
    folder = tmp_path_factory.mktemp("guest")
    description = folder / "guest.xml"
    description.write_text(domain_xml(tiny_guest(folder, NAME), Host("x86_64", Hypervisor.QEMU)))
    virsh("define", description)
    try:
        with typist() as person:
            person.start([sys.executable, "-c", BEGIN])
            person.read(PROMPT)
            person.type(LEAVE)
            status = person.wait()
            restored = person.settings == person.before
        yield SimpleNamespace(shown=bytes(person.shown), status=status, restored=restored)
    finally:
        if is_on():
            virsh("destroy", NAME)
        virsh("undefine", NAME)


@pytest.fixture
def guest(machine):
    """The guest, at its prompt; one of the tests leaves it off."""
    if not is_on():
        virsh("start", NAME)
        assert imgkit("vm", "console", NAME, "--expect", PROMPT).status == 0
    return machine


@pytest.fixture
def person(guest):
    """Somebody attached to the guest, at its prompt."""
    with typist() as someone:
        attach(someone)
        yield someone


def attach(person, *words, through=()):
    person.start([*through, str(script()), "vm", "console", NAME, *words], env=environment(TERM="xterm"))
    person.read("attached to")
    person.wait_until_raw()
    prompt(person)


def prompt(person):
    """Have the shell say its prompt."""
    person.type("\r")
    person.read(PROMPT)


def answer(person, command, wanted):
    """Type a command, and read what only a shell makes of it."""
    person.type(f"{command}\r")
    return person.read(f"\n{wanted}\r")


def test_nothing_is_lost_from_the_first_byte_on(guest):
    assert guest.status == 0
    assert guest.restored
    first = guest.shown.partition(b"press Enter if nothing shows\r\n")[2].lstrip()
    assert first.startswith(b"[    0.000000] Linux version"), first[:200]
    assert b"End.LEFT" in guest.shown


def test_a_command_is_typed_and_answered_and_the_escape_leaves(person):
    answer(person, "echo $((6*7))", "42")
    person.type("echo begun; cat\r")
    person.read("\nbegun\r\n")
    person.type("hello\r")
    person.read("hello\r\nhello\r")  # the second one is cat's: before it runs, the shell may miss the next key
    person.type(b"\x03")  # it is the guest's
    person.read(PROMPT)
    person.type(LEAVE)
    assert person.wait() == 0
    assert person.settings == person.before
    assert b"keeps running" in person.shown


def test_the_bytes_of_characters_pass_as_they_are(person):
    answer(person, "printf 'gr\u00fc\u00dfe \\xf0\\x9f\\x90\\xa7\\n'", "gr\u00fc\u00dfe \U0001f427")


def test_the_size_of_the_window_is_typed_when_asked_for_and_only_then(person):
    person.resize(37, 111)
    answer(person, "echo $((7*8))", "56")
    assert b"stty" not in person.shown
    person.type(b"\x1ew")
    person.read("stty rows 37 cols 111")
    person.read(PROMPT)
    answer(person, "stty size", "37 111")


def test_the_keys_are_explained_and_can_be_typed(person):
    person.type(b"\x1e?")
    person.read("Ctrl-] detaches.*Ctrl-\\^ w types the size")
    person.type("dd bs=1 count=2 2>/dev/null | od -An -tx1\r")
    person.read("\n")
    person.type(b"\x1e\x1d\x1e\x1e\r")
    person.read("1d 1e")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_that_ends_it_leaves_the_terminal_as_it_was(person, number):
    person.process.send_signal(number)
    status = person.wait()
    assert status == (-9 if number == signal.SIGKILL else 128 + number)
    person.wait_until_restored()
    if number != signal.SIGKILL:
        assert b"interrupted" in person.shown


def test_a_burst_of_signals_leaves_the_terminal_as_it_was(person):
    for _ in range(5):
        person.process.send_signal(signal.SIGTERM)
    person.wait()
    person.wait_until_restored()


@pytest.mark.parametrize("how", ["signal", "keys"])
def test_it_is_suspended_with_the_terminal_as_it_was_and_goes_on(guest, how):
    shell = 'set -m; "$@"; echo suspended; read -r; fg; echo over'
    with typist() as person:
        attach(person, through=["bash", "-c", shell, "bash"])
        if how == "keys":
            person.type(b"\x1ez")
        else:
            children = Path(f"/proc/{person.process.pid}/task/{person.process.pid}/children").read_text()
            os.kill(int(children.split()[0]), signal.SIGTSTP)
        person.read("suspended")
        assert person.settings == person.before
        person.type("\r")
        person.wait_until_raw()
        answer(person, "echo $((8*9))", "72")
        person.type(LEAVE)
        person.read("over")
        assert person.wait() == 0
        assert person.settings == person.before


def test_a_log_has_what_was_shown_and_is_appended_to(guest, tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"before\n")
    with typist() as person:
        attach(person, "--log", str(log))
        answer(person, "seq 1 3 | tac", "3\r\n2\r\n1")
        person.type(LEAVE)
        assert person.wait() == 0
    kept = log.read_bytes()
    assert kept.startswith(b"before\n")
    shown = person.shown.partition(b"nothing shows\r\r\n")[2].partition(SOFT_RESET)[0]
    assert b"\n3\r\n2\r\n1\r" in shown
    assert kept[len(b"before\n") :].startswith(shown)  # who leaves does not see what comes at that moment


def test_a_console_that_is_in_use_is_taken_by_force_only(person):
    refused = imgkit("vm", "console", NAME, "--expect", "x")
    assert refused.status == 6
    assert "in use by another" in refused.stderr
    assert "--force" in refused.stderr
    taken = imgkit("vm", "console", NAME, "--force", "--send", "\\n", "--expect", PROMPT)
    assert taken.status == 0, taken.stderr
    for _ in range(5):  # libvirt's daemon has been seen not to tell at once: whoever types is told in any case
        if person.ended(10):
            break
        person.type("x")
    assert person.wait() == 6
    assert b"another client took over the console" in person.shown
    assert person.settings == person.before


def test_a_pipe_is_typed_and_answered(guest):
    done = imgkit("vm", "console", NAME, stdin=b"echo $((5*11))\n")
    assert (done.status, done.stderr) == (0, "")
    assert b"\n55\r\n" in done.stdout


def test_a_reader_that_goes_ends_it_in_silence(guest):
    words = [str(script()), "vm", "console", NAME]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=environment()) as process:
        process.stdin.write(b"echo $((3*37))\n")
        while b"111" not in process.stdout.readline():
            pass
        process.stdout.close()
        assert process.wait(PATIENCE) == 141
        assert process.stderr.read() == b""


def test_a_script_expects_and_sends_in_the_order_given(guest):
    steps = ["--send", r"\n", "--expect", PROMPT, "--send", r"echo $((2*31))\x0a", "--expect", r"\s62\s\s"]
    done = imgkit("vm", "console", NAME, *steps)
    assert (done.status, done.stderr) == (0, "")
    assert b"\n62\r\n" in done.stdout
    told = imgkit("vm", "console", NAME, *steps, "--json")
    assert told.json["found"] == [PROMPT, "\n62\r\n"]
    check(told.json, "vm-console/1")


def test_what_is_sent_last_arrives(guest, tmp_path):
    marks = [f"mark{i}" for i in range(5)]
    for mark in marks:
        assert imgkit("vm", "console", NAME, "--send", rf"echo {mark} >>/marks\n").status == 0
    done = imgkit("vm", "console", NAME, "--send", r"\ncat /marks\n", "--expect", "mark4\r\n", "--timeout", "30")
    assert re.findall(r"\nmark\d", done.text.replace("\r", "")) == [f"\n{mark}" for mark in marks]


def test_what_does_not_come_is_told_with_status_1(guest):
    done = imgkit("vm", "console", NAME, "--send", r"echo Linux version 6\n", "--expect", "login:", "--timeout", "2")
    assert done.status == 1
    assert "'login:' did not come in 2 seconds" in done.stderr
    assert "as far as: kernel" in done.stderr
    silent = imgkit("vm", "console", NAME, "--expect", "login:", "--timeout", "0.5", "--json")
    assert silent.status == 1
    assert silent.stderr == ""
    assert (silent.json["reached"], silent.json["found"]) == ("nothing", [])
    check(silent.json, "vm-console/1")


def test_a_line_that_is_closed_in_a_flood_says_no_more(guest):
    done = subprocess.run([sys.executable, "-c", FLOOD], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_guest_that_does_not_read_does_not_hold_up_who_leaves(person):
    virsh("suspend", NAME)
    try:
        person.type("x" * 3000)
        person.type(LEAVE)
        assert person.wait() == 0
        assert person.settings == person.before
    finally:
        virsh("resume", NAME)
    with typist() as other:
        attach(other)


def test_a_reboot_of_the_guest_is_shown_to_the_one_who_is_attached(person):
    person.type("reboot -f\r")
    person.read("Linux version")
    person.read(PROMPT)
    answer(person, "echo $((9*9))", "81")


def test_a_daemon_that_goes_is_told_of_and_the_machine_runs_on(guest):
    waiting = [str(script()), "vm", "console", NAME, "--send", r"\n", "--expect", "never"]
    with typist() as person:
        attach(person)
        end_daemon()
        assert person.wait() == 14
        assert b"the connection to libvirt was lost" in person.shown
        assert person.settings == person.before
    with subprocess.Popen(waiting, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        said = b""
        while PROMPT.encode() not in said:
            said += process.stdout.read(1)
        end_daemon()
        assert process.wait(PATIENCE) == 14
        assert b"the connection to libvirt was lost" in process.stderr.read()
    with typist() as person:
        attach(person)
        answer(person, "echo $((6*9))", "54")


def test_a_machine_that_goes_off_and_is_started_again_is_there_again(person):
    person.type("poweroff -f\r")
    person.read(f"{NAME} is off; waiting 10 seconds")
    virsh("start", NAME)
    person.read("is running again")
    person.read(PROMPT)
    answer(person, "echo $((9*9))", "81")
    assert person.process.poll() is None


def test_a_machine_that_goes_off_for_good_ends_it(guest):
    with typist() as person:
        attach(person, "--reconnect", "0.5")
        virsh("destroy", NAME)
        assert person.wait() == 0
        assert f"{NAME} is off".encode() in person.shown
        assert person.settings == person.before
    refused = imgkit("vm", "console", NAME)
    assert refused.status == 14
    assert f"imgkit vm start {NAME}" in refused.stderr


def end_daemon():
    """As the service manager does."""
    pid = int(Path(os.environ["XDG_RUNTIME_DIR"], "libvirt", "libvirtd.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(pid))


def is_alive(pid):
    """Also where nobody takes notice of an orphan's end."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def is_on():
    return virsh("domstate", NAME) == "running"


def wait_until(happens):
    deadline = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.05)
