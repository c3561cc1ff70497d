"""Servers that break off, lie, stall, lead astray or refuse: either the file comes whole, or one clear error does."""

from __future__ import annotations

import base64
import itertools
import socket
import time
from dataclasses import replace

import pytest

from imgkit.errors import ImgkitError, LocationError, UsageError
from imgkit.location.fetch import fetch, fetch_files
from imgkit.location.opening import open_source
from imgkit.location.source import InterruptedTransferError
from imgkit.location.tree import find_tree
from imgkit.remote.object import RetryPolicy
from tests.location import servers, trees
from tests.location.conftest import INITRD, KERNEL

SECRET = "s3cret"


def get(server, cache, limits, *, checksum=None):
    address = f"{server.address}/file"
    return fetch_files(address, address, cache, kernel_checksum=checksum, limits=limits).kernel.read_bytes()


def nothing_is_left(cache):
    return not cache.exists() or list(cache.iterdir()) == []


@pytest.mark.parametrize("with_etag", [True, False])
def test_a_broken_connection_is_gone_on_with_where_that_is_sure(tmp_path, impatient, with_etag):
    """The first answers stop in the middle. Without an ETag nothing tells that the file is still the same."""
    counted = itertools.count()

    def answer(connection, path, wanted):
        start = int(wanted.removeprefix("bytes=").rstrip("-") or 0)
        stop = min(start + 300_000, len(KERNEL)) if next(counted) < 2 else len(KERNEL)
        headers = {"ETag": '"a"'} if with_etag else {}
        headers["Content_Length"] = str(len(KERNEL) - start)
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(KERNEL) - 1}/{len(KERNEL)}"
        servers.reply(connection, "206 Partial Content" if start else "200 OK", KERNEL[start:stop], **headers)

    with servers.scripted(answer) as server:
        assert get(server, tmp_path / "c", impatient) == KERNEL
        ranges = server.asked("GET", "/file")[:3]
    assert ranges == (["", "bytes=300000-", "bytes=600000-"] if with_etag else ["", "", ""])


def test_a_server_without_ranges_starts_again(tmp_path, impatient):
    counted = itertools.count()

    def answer(connection, path, wanted):
        body = KERNEL[:1000] if next(counted) == 0 else KERNEL
        servers.reply(connection, "200 OK", body, Content_Length=str(len(KERNEL)), ETag='"a"')

    with servers.scripted(answer) as server:
        assert get(server, tmp_path / "c", impatient) == KERNEL


def test_a_file_that_changed_meanwhile_starts_again(tmp_path, impatient):
    """The answer to If-Range with another ETag is the whole new file."""
    counted = itertools.count()

    def answer(connection, path, wanted):
        if next(counted) == 0:
            servers.reply(connection, "200 OK", KERNEL[:1000], Content_Length=str(len(KERNEL)), ETag='"a"')
        else:
            servers.reply(connection, "200 OK", INITRD, ETag='"b"')

    with servers.scripted(answer) as server:
        assert get(server, tmp_path / "c", impatient) == INITRD


def test_always_too_short_is_an_error(tmp_path, impatient):
    def answer(connection, path, wanted):
        servers.reply(connection, "200 OK", b"\0short", Content_Length="1000")

    with servers.scripted(answer) as server, pytest.raises(InterruptedTransferError, match="6 of 1,000 bytes came"):
        get(server, tmp_path / "c", impatient)
    assert nothing_is_left(tmp_path / "c")


def test_an_endless_file_ends_at_the_limit(tmp_path, impatient):
    def answer(connection, path, wanted):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"100000\r\n" + bytes(1 << 20) + b"\r\n")

    with servers.scripted(answer) as server, pytest.raises(LocationError, match="is larger than 8,000,000 bytes"):
        get(server, tmp_path / "c", replace(impatient, size=8_000_000))
    assert nothing_is_left(tmp_path / "c")


def test_a_size_beyond_the_limit_is_refused_at_once(tmp_path, impatient):
    def answer(connection, path, wanted):
        servers.reply(connection, "200 OK", b"\0", Content_Length=str(1 << 50))

    with servers.scripted(answer) as server:
        with pytest.raises(LocationError, match="is larger than"):
            get(server, tmp_path / "c", impatient)
        assert len(server.requests) == 1


def test_silence_is_an_error(tmp_path, impatient):
    def answer(connection, path, wanted):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n\0\0\0")
        connection.recv(1)

    limits = replace(impatient, retry=RetryPolicy(0.3, 0.3, attempts=2, pause=0.01))
    with servers.scripted(answer) as server, pytest.raises(InterruptedTransferError, match="timed out"):
        get(server, tmp_path / "c", limits)


def test_a_trickle_is_an_error(tmp_path, impatient):
    def answer(connection, path, wanted):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            connection.sendall(b"\0")
            time.sleep(0.02)

    limits = replace(impatient, window=0.3, retry=RetryPolicy(2.0, 2.0, attempts=2, pause=0.01))
    with (
        servers.scripted(answer) as server,
        pytest.raises(InterruptedTransferError, match="fewer than 100,000 bytes per"),
    ):
        get(server, tmp_path / "c", limits)


def test_a_web_page_is_no_kernel(tmp_path, impatient):
    def answer(connection, path, wanted):
        servers.reply(connection, "200 OK", b"\n<!DOCTYPE HTML>\n<html>Not found, alas</html>")

    with servers.scripted(answer) as server:
        with pytest.raises(LocationError, match="is a web page, not the file"):
            get(server, tmp_path / "c", impatient)
        with pytest.raises(LocationError, match=r"not an install tree: found none of \.treeinfo, ") as caught:
            find_tree(server.address)
    assert "https://deb.debian.org/debian/dists/stable/main/installer-amd64/" in (caught.value.hint or "")
    assert nothing_is_left(tmp_path / "c")


def test_another_part_than_asked_for_is_refused(tmp_path, impatient):
    counted = itertools.count()

    def answer(connection, path, wanted):
        if next(counted) == 0:
            servers.reply(connection, "200 OK", KERNEL[:1000], Content_Length=str(len(KERNEL)), ETag='"a"')
        else:
            servers.reply(connection, "206 Partial Content", b"\0" * 10, Content_Range="bytes 5-14/1000000", ETag='"a"')

    with servers.scripted(answer) as server, pytest.raises(LocationError, match="a different range than requested"):
        get(server, tmp_path / "c", impatient)


@pytest.mark.parametrize("garbage", [b"", b"\r\n", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500])
def test_what_is_no_http_is_an_error(tmp_path, impatient, garbage):
    with (
        servers.scripted(lambda connection, path, wanted: connection.sendall(garbage)) as server,
        pytest.raises(LocationError, match=r"closed the connection|came|broke"),
    ):
        get(server, tmp_path / "c", impatient)


@pytest.mark.parametrize(
    ("target", "says"),
    [("/file", "redirects in a loop"), ("file:///etc/passwd", "less secure"), ("ftp://127.0.0.1/x", "less secure")],
)
def test_redirects_that_lead_nowhere(tmp_path, impatient, target, says):
    def answer(connection, path, wanted):
        servers.reply(connection, "302 Found", Location=target)

    with servers.scripted(answer) as server, pytest.raises(LocationError, match=says):
        get(server, tmp_path / "c", impatient)


def test_redirects_are_followed_without_the_password(http, tmp_path):
    """The mirror that a server leads to does not get the credentials that were meant for the server."""
    seen = []

    def answer(connection, path, wanted):
        servers.reply(connection, "302 Found", Location=http.address + path)

    with servers.scripted(answer) as server:
        location = server.address.replace("http://", f"http://me:{SECRET}@")
        files = fetch(find_tree(location), tmp_path / "c")
    assert files.verified
    assert SECRET not in repr(seen) + repr(http.requests)


def test_user_and_password_go_to_the_server_and_into_no_message(tmp_path, impatient):
    right = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    data = trees.fedora(KERNEL, INITRD)

    with servers.http_with_password(trees.write(tmp_path / "t", data), right) as server:
        location = server.address.replace("http://", f"http://me:{SECRET}@")
        assert fetch(find_tree(location), tmp_path / "c").verified
        for wrong in (server.address, server.address.replace("http://", "http://me:" + SECRET + "x@")):
            with pytest.raises(LocationError, match="the server answers 401") as caught:
                find_tree(wrong)
            assert SECRET not in str(caught.value) + str(caught.value.hint)
            assert "USER:PASSWORD@HOST" in (caught.value.hint or "")


def test_a_busy_server_is_asked_again(tmp_path, impatient):
    counted = itertools.count()

    def answer(connection, path, wanted):
        if next(counted) < 2:
            servers.reply(connection, "503 Service Unavailable")
        else:
            servers.reply(connection, "200 OK", KERNEL)

    with servers.scripted(answer) as server:
        assert get(server, tmp_path / "c", impatient) == KERNEL


@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_nobody_there_is_an_error_without_the_password(scheme):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(LocationError, match=r"\(Connection refused\)") as caught:
        find_tree(f"{scheme}://me:{SECRET}@127.0.0.1:{port}/tree?token={SECRET}")
    assert SECRET not in str(caught.value)
    assert f"{scheme}://127.0.0.1:{port}/tree" in str(caught.value)


@pytest.mark.parametrize("location", ["gopher://host/", "javascript://x", "s3://bucket/tree"])
def test_schemes_that_are_not_known(location):
    with pytest.raises(UsageError, match="is not a kind of location"), open_source(location):
        pass


@pytest.mark.parametrize(
    "location",
    [
        "http://",
        "http://[::1",
        "http://host:port/",
        "http://exa mple/",
        "ftp://h:99999/",
        "ftp://h/a%0d%0aDELE%20b",
        "nfs:///x",
    ],
)
def test_addresses_that_are_none(location):
    with pytest.raises(ImgkitError):
        find_tree(location)


def test_a_server_without_head_is_asked_with_get(tmp_path):
    data = {f"/{name}": body for name, body in trees.fedora(KERNEL, INITRD).items()}

    def answer(connection, path, wanted):
        servers.reply(connection, *(("200 OK", data[path]) if path in data else ("404 Not Found",)))

    with servers.scripted(answer) as server, open_source(server.address) as source:
        assert source.size("images/pxeboot/vmlinuz") == len(KERNEL)
        assert source.size("nothing") is None
