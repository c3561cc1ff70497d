"""The uml engine's kernel: what happens when it dies, hangs or lies, and that nothing is left of it."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from imgkit.errors import EngineError, UnsupportedError
from imgkit.formats.image import open_image
from imgkit.guest.engines.choice import EngineChoice
from imgkit.guest.engines.uml import machine
from imgkit.guest.engines.uml.engine import MachineKeeper
from imgkit.guest.engines.uml.machine import Machine
from imgkit.guest.session import open_guest
from tests.support.guests import OS_RELEASE, Part, make_disk

PATIENCE = 60  # seconds, for processes that were killed to be gone
FILES = {"/etc/os-release": OS_RELEASE.encode(), "/etc/fstab": b"", "/etc/motd": b"hello\n"}


@pytest.fixture
def image(tmp_path):
    return make_disk(tmp_path / "disk.img", [Part("ext4", FILES, size=16)])


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """An empty folder for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(machine, "_base_folder", lambda _memory: folder)
    return folder


@pytest.fixture
def started(monkeypatch):
    """Process identifiers of the kernels that are started."""
    found = []
    start = Machine._start

    def noting(self, *arguments):
        ends = start(self, *arguments)
        found.append(self._process.pid)
        return ends

    monkeypatch.setattr(Machine, "_start", noting)
    return found


@contextmanager
def guest_of(image):
    with open_image(image) as disk, open_guest(disk, now=0, engine=EngineChoice.UML) as guest:
        yield guest


def is_there(group):
    """Whether a process of a group runs; what was killed and waits for its parent does not."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, process_group = entry.read_text().rpartition(")")[2].split()[:3]
            if int(process_group) == group and state != "Z":
                return True
    return False


def wait_until(done):
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


STEPS = {
    "stat": lambda tree: tree.stat("/etc/motd"),
    "list": lambda tree: tree.listdir("/etc"),
    "read": lambda tree: tree.read("/etc/motd"),
    "write": lambda tree: tree.write("/etc/motd", b"x" * 3_000_000),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_kernel_that_is_killed_is_named_and_leaves_nothing(image, temporary, started, step):
    before = hashlib.sha256(image.read_bytes()).digest()
    with pytest.raises(EngineError, match="the uml engine's kernel has ended") as caught, guest_of(image) as guest:
        os.killpg(started[0], signal.SIGKILL)
        STEPS[step](guest.tree)
    assert "--engine guestfs" in caught.value.hint
    assert hashlib.sha256(image.read_bytes()).digest() == before
    assert list(temporary.iterdir()) == []
    wait_until(lambda: not is_there(started[0]))


def test_a_kernel_that_says_nothing_is_given_up(image, temporary, started, monkeypatch):
    with pytest.raises(EngineError, match=r"did not respond for \d+ seconds; it said: .*"), guest_of(image) as guest:
        monkeypatch.setattr(machine, "_SILENCE", 0.2)
        os.killpg(started[0], signal.SIGSTOP)
        guest.tree.listdir("/")
    assert list(temporary.iterdir()) == []
    wait_until(lambda: not is_there(started[0]))


def test_a_kernel_that_does_not_start_says_why(image, temporary, tmp_path, monkeypatch):
    kernel = tmp_path / "bin" / "linux.uml"
    kernel.parent.mkdir()
    kernel.write_text("#!/bin/sh\necho out of luck >&2\nexit 1\n")
    kernel.chmod(0o755)
    monkeypatch.setenv("PATH", f"{kernel.parent}:{os.environ['PATH']}")
    with pytest.raises(EngineError, match="has ended unexpectedly; it said: out of luck"), guest_of(image):
        pass
    assert list(temporary.iterdir()) == []


HOLDER = """
import sys, time
from pathlib import Path
from imgkit.guest.engines.uml import machine
from imgkit.guest.engines.uml.shelf import Shelf
machine._base_folder = lambda _memory: Path(sys.argv[1])
held = machine.Machine(Shelf())
print(held._process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("also_the_warden", [False, True])
def test_a_kernel_ends_with_the_process_that_started_it(temporary, also_the_warden):
    with subprocess.Popen([sys.executable, "-c", HOLDER, temporary], stdout=subprocess.PIPE, text=True) as holder:
        kernel = int(holder.stdout.readline())
        if also_the_warden:
            children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
            (warden,) = (int(child) for child in children if int(child) != kernel)
            os.kill(warden, signal.SIGKILL)
        holder.kill()
    wait_until(lambda: not is_there(kernel))
    if not also_the_warden:
        wait_until(lambda: list(temporary.iterdir()) == [])


def test_it_needs_no_home_and_no_memory_in_dev_shm(image, tmp_path, monkeypatch):
    folder = tmp_path / ("a long name " * 15)  # more than the 108 bytes of a socket's address
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(machine, "_SPARE", 1 << 40)  # MiB: /dev/shm has too little
    with guest_of(image) as guest:
        assert guest.tree.read("/etc/motd") == b"hello\n"
        assert len(list(folder.iterdir())) == 1
    assert list(folder.iterdir()) == []


# What an image that has taken the kernel over would try. It says what it reached.
HOSTILE = """#!/usr/bin/python3 -IS
import ctypes, os, signal, socket, sys
IMAGE, HOME, PARENT, SOCKET = {image!r}, {home!r}, {parent}, {socket!r}

def connect(family, address):
    with socket.socket(family) as client:
        client.connect(address)

disk = socket.socket(socket.AF_UNIX)
disk.connect("disk")  # what it is meant to do

ATTEMPTS = dict(
    read_the_image=lambda: open(IMAGE, "rb").read(1),
    write_the_image=lambda: open(IMAGE, "r+b").close(),
    list_home=lambda: os.listdir(HOME),
    read_home=lambda: open(HOME + "/secret").read(),
    write_home=lambda: open(HOME + "/new", "w").close(),
    write_tmp=lambda: open("/tmp/imgkit-hostile", "w").close(),
    read_etc=lambda: open("/etc/passwd").read(),
    read_memory=lambda: open(f"/proc/{{PARENT}}/mem", "rb").close(),
    connect_tcp=lambda: connect(socket.AF_INET, ("127.0.0.1", 9)),
    connect_unix=lambda: connect(socket.AF_UNIX, SOCKET),
    datagram=lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close(),
    listen=lambda: socket.socket(socket.AF_UNIX).bind("own"),
    unlink=lambda: os.unlink(IMAGE),
    run_a_program=lambda: os.execv(HOME + "/program", ["program"]),
)
reached = []
for name, attempt in ATTEMPTS.items():
    try:
        attempt()
    except OSError as error:
        if name == "connect_tcp" and error.errno == 111:
            reached.append(name)
    else:
        reached.append(name)
print("reached:", ", ".join(reached) or "nothing", flush=True)
"""


def test_hostile_code_in_the_kernels_place_reaches_nothing(image, temporary, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    (home / "secret").write_text("secret")
    (home / "program").write_text("#!/bin/sh\necho reached: a program\n")
    (home / "program").chmod(0o755)
    before = hashlib.sha256(image.read_bytes()).digest()
    kernel = tmp_path / "bin" / "linux.uml"
    kernel.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as service:
        service.bind(str(home / "s"))
        service.listen()
        names = {"image": str(image), "home": str(home), "parent": os.getpid(), "socket": str(home / "s")}
        kernel.write_text(HOSTILE.format(**names))
        kernel.chmod(0o755)
        monkeypatch.setattr(machine, "find_kernel", lambda: str(kernel))
        with pytest.raises(EngineError, match=r"it said: reached: nothing$"), guest_of(image):
            pass
    assert hashlib.sha256(image.read_bytes()).digest() == before
    assert sorted(path.name for path in home.iterdir()) == ["program", "s", "secret"]
    assert list(temporary.iterdir()) == []


def test_one_kernel_serves_images_that_trust_each_other(tmp_path, started):
    images = [make_disk(tmp_path / f"{name}.img", [Part("ext4", FILES, size=16)]) for name in "abc"]
    keeper = MachineKeeper()
    for number, image in enumerate(images):
        with open_image(image) as disk, open_guest(disk, now=0, engine=EngineChoice.UML, shared=keeper) as guest:
            assert guest.tree.read("/etc/motd") == b"hello\n", "what the one before wrote is not seen"
            guest.tree.write("/etc/motd", b"changed\n")
            if number:  # the first is given up in the middle
                guest.finish()
            assert disk.plan().is_empty == (number == 0)
    assert len(started) == 1
    os.killpg(started[0], signal.SIGKILL)
    for _ in range(2):
        with (
            suppress(EngineError),
            open_image(images[0]) as disk,
            open_guest(disk, now=0, engine=EngineChoice.UML, shared=keeper) as guest,
        ):
            assert guest.tree.listdir("/etc")
    assert len(started) == 2, "one that has died is replaced"
    keeper.close()
    wait_until(lambda: not any(map(is_there, started)))


def test_where_there_is_no_kernel_the_command_that_brings_it_is_named(image, monkeypatch):
    monkeypatch.setattr(machine, "find_kernel", lambda: None)
    with pytest.raises(EngineError, match="needs User-Mode Linux") as caught, guest_of(image):
        pass
    assert "apt install user-mode-linux" in caught.value.hint


def test_a_file_system_that_linux_refuses_is_named(tmp_path):
    image = make_disk(tmp_path / "disk.img", [Part("", size=16)])
    with image.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"XFSB" + bytes([0, 0, 16, 0]) + bytes(100))
    named = r"/dev/sda1 cannot be mounted by the uml engine: .* \(xfs\)"
    with pytest.raises(UnsupportedError, match=named), guest_of(image):
        pass


# The kernel as a liar: whatever it says, what comes out is an EngineError.
