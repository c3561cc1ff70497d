"""Trees over FTP, from a real server."""

from __future__ import annotations

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
    with servers.ftp(tmp_path / "empty") as server, pytest.raises(LocationError, match="is no install tree"):
        find_tree(server.address)
