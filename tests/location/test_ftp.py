"""Trees over FTP, from a real server."""

from __future__ import annotations

import itertools
import socket
import threading
from contextlib import suppress

import pytest

from imgkit.errors import LocationError
from imgkit.location.fetch import fetch
from imgkit.location.tree import find_tree
from tests.location import servers, trees
from tests.location.conftest import INITRD, KERNEL

INITRD_IMG = "images/pxeboot/initrd.img"


def test_a_broken_transfer_is_gone_on_with(tree, tmp_path):
    """The server breaks the kernel's data connection; REST asks for the rest."""
    with servers.ftp(tree, cut=200_000) as server:
        found = find_tree(server.address)
        files = fetch(found, tmp_path / "c")
        rests = [int(arg) for command, arg, _ in server.requests if command == "REST"]
    assert (files.verified, files.kernel.read_bytes(), files.initrd.read_bytes()) == (True, KERNEL, INITRD)
    assert any(0 < rest < len(KERNEL) for rest in rests)


def test_user_and_password(tree, tmp_path):
    with servers.ftp(tree, user="me", password="s3cret:/@") as server:
        location = server.address.replace("ftp://", "ftp://me:s3cret%3A%2F%40@")
        assert fetch(find_tree(location), tmp_path / "c").verified
        for wrong in (server.address, server.address.replace("ftp://", "ftp://me:s3cretx@")):
            with pytest.raises(LocationError, match="the server answers 530") as caught:
                find_tree(wrong)
            assert "s3cret" not in str(caught.value)


def test_nothing_there(tmp_path):
    trees.write(tmp_path / "empty", {"README": "nothing"})
    with servers.ftp(tmp_path / "empty") as server, pytest.raises(LocationError, match="not an install tree"):
        find_tree(server.address)


@pytest.mark.parametrize(
    "lines",
    [
        [b""],
        [b"SSH-2.0-OpenSSH\r\n"],
        [b"220 \xff\xfe\r\n"],
        [b"220 hello\r\n", b"230 in\r\n", b"200 fine\r\n", b"213 many\r\n"],
        [b"220 hello\r\n", b"230 in\r\n", b"200 fine\r\n", b"213 9\r\n", b"227 nowhere\r\n"],
        [b"220 hello\r\n", b"230 in\r\n", b"200 fine\r\n", b"213 9\r\n", b"227 (127,0,0,1,0,9)\r\n"],
        [b"220 " + b"x" * 100_000],
    ],
)
def test_what_is_no_ftp_is_an_error(lines):
    """A server that answers one line after the other, whatever it is asked, and then goes."""

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    for number, line in zip(itertools.count(), lines, strict=False):
                        if number:
                            connection.recv(4096)
                        connection.sendall(line)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        with pytest.raises(LocationError, match=r"cannot be read|the server answers"):
            find_tree(f"ftp://127.0.0.1:{listener.getsockname()[1]}/")
        listener.shutdown(socket.SHUT_RDWR)
