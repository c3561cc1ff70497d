"""The uml engine's block server: whatever the kernel says, what comes out is a block or an EngineError."""

from __future__ import annotations

import os
import socket

import pytest

from imgkit.errors import EngineError
from imgkit.guest.engines.uml import vhostuser_layout as layout
from imgkit.guest.engines.uml.shelf import Shelf
from imgkit.guest.engines.uml.vhostuser import BlockServer
from tests.support.memorydevice import MemoryDevice

MEMORY = 1 << 20
HEAD, DATA, STATUS = 0x5000, 0x6000, 0x7000


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
