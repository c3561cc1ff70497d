"""`imgkit location` from the user's side: trees looked at and fetched, refusals, and no secret in any output."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import assert_refused, imgkit
from tests.cli.test_json import check
from tests.location import servers, trees

KERNEL, INITRD = b"\x7fkernel" * 30_000, b"\x1f\x8binitrd" * 40_000
SECRET = "s3cret"


@pytest.fixture
def tree(tmp_path):
    return trees.write(tmp_path / "tree", trees.fedora(KERNEL, INITRD))


def test_inspect_shows_kernel_and_checksums(tree):
    done = imgkit("location", "inspect", tree)
    assert (done.status, done.stderr) == (0, "")
    first, kernel, initrd = done.text.splitlines()
    assert first == "Fedora 40 x86_64 (family fedora)"
    assert kernel.split()[:2] == ["kernel", "images/pxeboot/vmlinuz"]
    assert initrd.split()[:2] == ["initrd", "images/pxeboot/initrd.img"]
    assert all(line.split()[2].startswith("sha256:") for line in (kernel, initrd))


def test_the_documents(tree, tmp_path):
    found = imgkit("location", "inspect", tree, "--json")
    assert (found.status, found.stderr) == (0, "")
    check(found.json, "location-inspect/1")
    fetched = imgkit("location", "fetch", tree, "--cache", tmp_path / "cache", "--json")
    assert (fetched.status, fetched.stderr) == (0, "")
    check(fetched.json, "location-fetch/1")
    assert fetched.json["files"]["verified"] is True


def test_fetch_prints_where_the_files_are(tree, tmp_path):
    with servers.http(tree) as server:
        done = imgkit("location", "fetch", server.address, env={"XDG_CACHE_HOME": str(tmp_path / "xdg")})
    assert (done.status, done.stderr) == (0, "")
    kernel, initrd = done.text.splitlines()
    assert kernel.startswith(str(tmp_path / "xdg/imgkit/boot/sha256-"))
    assert (Path(kernel).read_bytes(), Path(initrd).read_bytes()) == (KERNEL, INITRD)


def test_a_tree_that_does_not_agree_with_itself(tree, tmp_path):
    trees.write(tree, {"images/pxeboot/initrd.img": b"changed"})
    cache = tmp_path / "cache"
    words = ["location", "fetch", tree, "--cache", cache]
    imgkit(*words)
    assert_refused(tmp_path, *words, status=13, says="checksum mismatch", hint="--insecure")
    done = imgkit(*words, "--insecure")
    assert done.status == 0
    assert "were not verified" in done.stderr


@pytest.mark.parametrize(
    ("location", "status", "says", "hint"),
    [
        ("nothing", 2, "there is no such directory or ISO", "https://deb.debian.org/"),
        (".", 13, "not an install tree", "https://deb.debian.org/"),
        ("gopher://host/", 2, "is not a kind of location", "Use http, https"),
        ("http://[", 2, "not a valid address", "https://HOST/PATH"),
        ("http://127.0.0.1:9/tree", 13, "Connection refused", "http_proxy"),
    ],
)
def test_refusals(tmp_path, location, status, says, hint):
    assert_refused(tmp_path, "location", "inspect", location, status=status, says=says, hint=hint, cwd=tmp_path)


def test_no_password_is_ever_shown(tree):
    with servers.http(tree) as server:
        location = server.address.replace("http://", f"http://me:{SECRET}@") + f"/?token={SECRET}"
        shown = imgkit("location", "inspect", location, "--json")
        failed = imgkit("location", "inspect", location.replace("/?", "/none?"))
    assert (shown.status, failed.status) == (0, 13)
    assert SECRET not in shown.text + shown.stderr + failed.text + failed.stderr
