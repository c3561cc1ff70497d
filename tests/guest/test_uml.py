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
from imgkit.guest.engines.uml import vhostuser_layout as layout
from imgkit.guest.engines.uml.engine import MachineKeeper
from imgkit.guest.engines.uml.machine import Machine
from imgkit.guest.engines.uml.shelf import Shelf
from imgkit.guest.engines.uml.vhostuser import BlockServer
from imgkit.guest.session import open_guest
from tests.support.guests import OS_RELEASE, Part, make_disk
from tests.support.memorydevice import MemoryDevice

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

MEMORY = 1 << 20


@pytest.fixture
def talk():
    """A server whose kernel is this test: a function that sends it one message, and the server."""
    disk = MemoryDevice(bytes(1 << 20))
    ours, theirs = socket.socketpair()
    server = BlockServer(disk, theirs)

    def send(request, payload=b"", fds=()):
        head = layout.HEADER.pack(request, layout.VERSION, len(payload))
        socket.send_fds(ours, [head + payload], list(fds))
        return server.answer_message()

    yield send, server, ours
    server.close()
    ours.close()


def region(size=MEMORY):
    return layout.MEMORY_HEAD.pack(1, 0) + layout.MEMORY_REGION.pack(0x1000, size, 0x10000000, 0)


def queue(send, server, descriptors, entries=8):
    """A queue in memory with these descriptors, the first of them available; the memory's file."""
    memory = os.memfd_create("memory")
    os.ftruncate(memory, MEMORY)
    send(layout.Message.SET_MEM_TABLE, region(), [memory])
    send(layout.Message.SET_VRING_NUM, layout.VRING_STATE.pack(0, entries))
    addresses = (0x1000, 0x3000, 0x2000)  # descriptors, used, available
    send(layout.Message.SET_VRING_ADDR, layout.VRING_ADDRESSES.pack(0, 0, *addresses, 0))
    kick = os.eventfd(1, os.EFD_NONBLOCK)
    send(layout.Message.SET_VRING_KICK, layout.U64.pack(0), [kick])
    os.close(kick)
    os.pwrite(memory, b"".join(layout.DESCRIPTOR.pack(*each) for each in descriptors), 0)
    os.pwrite(memory, bytes(2) + layout.U16.pack(1) + layout.U16.pack(0), 0x1000)
    return memory


HEAD, DATA, STATUS = 0x5000, 0x6000, 0x7000


def chain(kind=layout.READ, length=512):
    direction = layout.DEVICE_WRITES if kind == layout.READ else 0
    return [
        (HEAD, 16, layout.NEXT, 1),
        (DATA, length, layout.NEXT | direction, 2),
        (STATUS, 1, layout.DEVICE_WRITES, 0),
    ]


def test_a_request_is_served(talk):
    send, server, _ = talk
    server._disk.write_at(1024, b"hello" * 100 + b"the end of it")
    memory = queue(send, server, chain())
    os.pwrite(memory, layout.REQUEST.pack(layout.READ, 0, 2), HEAD - 0x1000)
    server.serve_queue()
    assert os.pread(memory, 512, DATA - 0x1000) == server._disk.read_at(1024, 512)
    assert os.pread(memory, 1, STATUS - 0x1000) == layout.OK
    assert layout.U16.unpack(os.pread(memory, 2, 0x2002)) == (1,)
    os.close(memory)


@pytest.mark.parametrize(("kind", "sector"), [(layout.READ, 1 << 50), (layout.WRITE, 2048), (99, 0)])
def test_what_cannot_be_done_is_an_io_error_of_the_kernel(talk, kind, sector):
    send, server, _ = talk
    memory = queue(send, server, chain(kind))
    os.pwrite(memory, layout.REQUEST.pack(kind, 0, sector), HEAD - 0x1000)
    server.serve_queue()
    assert os.pread(memory, 1, STATUS - 0x1000) != layout.OK
    os.close(memory)


LIES = {
    "a chain that loops": [(HEAD, 16, layout.NEXT, 0)],
    "a chain that leaves its table": [(HEAD, 16, layout.NEXT, 500)],
    "an address outside": [(1 << 60, 16, layout.NEXT, 1), (STATUS, 1, layout.DEVICE_WRITES, 0)],
    "no status": [(HEAD, 16, 0, 0)],
    "a short head": [(HEAD, 4, layout.NEXT, 1), (STATUS, 1, layout.DEVICE_WRITES, 0)],
    "more than its memory": chain(length=0xFFFFFFFF),
    "an indirect table of odd size": [(HEAD, 17, layout.INDIRECT, 0)],
    "an indirect table in itself": [(0x1000, 16, layout.INDIRECT, 0)],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_queue_that_lies_is_refused(talk, lie):
    send, server, _ = talk
    memory = queue(send, server, LIES[lie])
    with pytest.raises(EngineError, match="vhost-user protocol"):
        server.serve_queue()
    os.close(memory)


def test_memory_that_became_shorter_is_refused(talk):
    send, server, _ = talk
    memory = queue(send, server, chain())
    os.ftruncate(memory, 0)
    with pytest.raises(EngineError, match="became shorter"):
        server.serve_queue()
    os.close(memory)


@pytest.mark.parametrize(
    ("request_", "payload"),
    [
        (layout.Message.SET_MEM_TABLE, region()),  # and no file with it
        (layout.Message.SET_MEM_TABLE, layout.MEMORY_HEAD.pack(1 << 30, 0)),
        (layout.Message.SET_VRING_NUM, layout.VRING_STATE.pack(0, 1 << 30)),
        (layout.Message.SET_VRING_NUM, layout.VRING_STATE.pack(7, 8)),
        (layout.Message.SET_VRING_ADDR, b"short"),
        (layout.Message.SET_VRING_KICK, b""),
        (layout.Message.GET_CONFIG, layout.CONFIG_HEAD.pack(0, 1 << 30, 0)),
        (layout.Message.GET_CONFIG, b""),
    ],
)
def test_a_message_that_lies_is_refused(talk, request_, payload):
    send, _, _ = talk
    with pytest.raises(EngineError, match="vhost-user protocol"):
        send(request_, payload)


def test_a_message_of_huge_size_is_refused(talk):
    _, server, ours = talk
    ours.sendall(layout.HEADER.pack(1, layout.VERSION, 1 << 30))
    with pytest.raises(EngineError, match="vhost-user protocol"):
        server.answer_message()


def test_a_connection_that_closes_is_the_end(talk):
    _, server, ours = talk
    ours.shutdown(socket.SHUT_WR)
    assert server.answer_message() is False


def test_a_shelf_keeps_its_devices_apart():
    shelf = Shelf()
    first, second = MemoryDevice(b"a" * 4096), MemoryDevice(b"b" * 5000)
    places = [shelf.put(first), shelf.put(second)]
    assert [place.size for place in places] == [4096, 4608]
    assert shelf.read_at(places[0].start, 8192) == b"a" * 4096 + bytes(4096)
    shelf.write_at(places[1].start + 512, b"c" * 512)
    assert second.read_at(512, 512) == b"c" * 512
    with pytest.raises(ValueError, match="nothing can be written"):
        shelf.write_at(places[0].start + 4000, b"x" * 512)
    with pytest.raises(ValueError, match="nothing can be written"):
        shelf.write_at(0, b"x" * 512)
    shelf.clear()
    assert shelf.read_at(places[0].start, 512) == bytes(512)
