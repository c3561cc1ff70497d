"""Trees over NFS, from a real server in user space, by a client in user space."""

from __future__ import annotations

import os

import pytest

from imgkit.errors import EngineError, LocationError
from imgkit.location.fetch import fetch
from imgkit.location.opening import open_source
from imgkit.location.source import InterruptedTransferError
from imgkit.location.tree import find_tree
from imgkit.remote.url import below
from tests.location import servers, trees

KERNEL, INITRD = os.urandom(300_000), os.urandom(700_001)


@pytest.fixture(scope="module")
def nfs(tmp_path_factory):
    files = trees.fedora(KERNEL, INITRD, images=".")
    with servers.nfs(
        tmp_path_factory.mktemp("nfs") / "server", {name.removeprefix("./"): d for name, d in files.items()}
    ) as server:
        yield server


def test_a_tree(nfs, tmp_path):
    tree = find_tree(nfs.address)
    assert (tree.distribution, tree.version, tree.kernel, tree.initrd) == ("Fedora", "40", "vmlinuz", "initrd.img")
    files = fetch(tree, tmp_path)
    assert (files.verified, files.kernel.read_bytes(), files.initrd.read_bytes()) == (True, KERNEL, INITRD)


def test_files_of_a_source(nfs):
    with open_source(nfs.address) as source:
        assert source.size("initrd.img") == len(INITRD)
        assert source.size("nothing") is None
        assert source.size("no/such/folder") is None
        assert source.read("nothing", 10) is None
        with pytest.raises(LocationError, match="larger than 10 bytes"):
            source.read("vmlinuz", 10)


def test_a_server_that_is_not_there():
    with pytest.raises(InterruptedTransferError, match="cannot be read") as caught:
        find_tree("nfs://127.0.0.1/export/?version=4&nfsport=9")
    assert "nfsport=" in (caught.value.hint or "")


def test_an_export_that_is_not_there(nfs):
    location = nfs.address.replace("/export/", "/none/")
    with pytest.raises(LocationError, match=r"cannot be read \(Failed to mount"):
        find_tree(location)


def test_without_the_tool_its_package_is_named(nfs, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="nfs-ls of libnfs") as caught:
        find_tree(nfs.address)
    assert "libnfs-utils" in (caught.value.hint or "")


def test_arguments_stay_at_the_end():
    assert below("nfs://host/export?version=4", "a/b") == "nfs://host/export/a/b?version=4"
