"""Images from servers on loopback: good ones, and all kinds of bad ones."""

import os
import random
import re
import sys
from contextlib import contextmanager

import fsspec
import pytest

from imgkit.errors import FormatError, ImgkitError, StaleImageError, UnclassifiedImageError, UnsupportedError
from imgkit.remote import Url, parse_address
from imgkit.remote.file import RemoteFile
from imgkit.remote.object import RetryPolicy
from imgkit.storage.copy import no_progress
from tests.support.certificate import self_signed, server_context
from tests.support.webserver import Manners, serving

SIZE = 5_000_003
HASTY = RetryPolicy(connect=2, silence=0.5, attempts=3, pause=0.01)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "image.iso"
    zeros = bytes(1 << 20)
    path.write_bytes(random.Random(7).randbytes(SIZE - 2 * len(zeros)) + zeros + zeros)
    return path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("certificate"))


@contextmanager
def remote(manners, **served):
    with serving(manners, **served) as url, RemoteFile(Url(url), retry_policy=HASTY) as opened:
        yield opened


def copied(opened, folder):
    target = folder / "copy"
    with target.open("wb") as out, opened.copying_to(out.fileno(), no_progress) as wait:
        wait()
    return target


def refusal(manners, act=lambda opened: opened.read_at(0, 100), **served):
    """The error that opening, or then `act`, ends with; its text gives no secret away."""
    with pytest.raises(ImgkitError) as caught, remote(manners, **served) as opened:
        act(opened)
    told = f"{caught.value} {caught.value.hint}"
    assert "secret" not in told
    assert "hush" not in told
    assert "127.0.0.1" in told
    assert caught.value.hint
    return caught.value


def test_any_range_is_the_files_own(file):
    data = file.read_bytes()
    with remote(Manners(file)) as opened:
        assert opened.size == SIZE
        for offset, length in [(0, 1), (65_535, 2), (SIZE - 1, 1), (123_456, 3_000_000), (0, SIZE), (77, 0)]:
            assert opened.read_at(offset, length) == data[offset : offset + length]
        with pytest.raises(FormatError):
            opened.read_at(SIZE - 1, 2)


def test_little_is_fetched_for_little_and_sequences_are_read_ahead(file):
    manners = Manners(file)
    with remote(manners) as opened:
        opened.read_at(1_000_000, 10)
        assert sum(manners.sent) <= 2 * 65_536
        before = len(manners.requests)
        for offset in range(0, 2 << 20, 2048):
            opened.read_at(offset, 2048)
        assert len(manners.requests) - before <= 8
        before = len(manners.requests)
        opened.read_at(4096, 100)
        assert len(manners.requests) == before, "it was read before"


def test_a_copy_is_one_request_and_zeros_become_holes(file, tmp_path):
    manners = Manners(file)
    with remote(manners) as opened:
        before = len(manners.requests)
        target = copied(opened, tmp_path)
        assert len(manners.requests) == before + 1
    assert target.read_bytes() == file.read_bytes()
    assert target.stat().st_blocks * 512 < SIZE - (1 << 20)


def test_a_broken_connection_is_taken_up_where_it_broke(file, tmp_path):
    manners = Manners(file, breaks_after=700_000)
    with remote(manners) as opened:
        assert copied(opened, tmp_path).read_bytes() == file.read_bytes()
    assert sum(manners.sent) <= SIZE + 8 * 65_536, "next to nothing is fetched twice"


def test_passing_errors_are_outlived(file):
    manners = Manners(file, fails={0: 503, 2: 500})
    with remote(manners) as opened:
        assert opened.read_at(0, 100) == file.read_bytes()[:100]


def test_a_server_without_ranges_is_asked_once_for_all(file, tmp_path):
    manners = Manners(file, ranges=False)
    with remote(manners) as opened:
        assert opened.read_at(4_000, 5_000) == file.read_bytes()[4_000:9_000]
        assert "not support ranges" in opened.notices[0]
        assert copied(opened, tmp_path).read_bytes() == file.read_bytes()
    assert len([sent for sent in manners.sent if sent > 1 << 20]) <= 2  # one may be cut off after it was looked at


def test_a_server_that_sends_all_of_it_after_all(file, tmp_path):
    """Where it is asked for the start of the file, that will do."""
    with remote(Manners(file, ranges_until=2)) as opened:
        opened.read_at(0, 10)
        assert copied(opened, tmp_path).read_bytes() == file.read_bytes()
    with remote(Manners(file, ranges_until=1)) as opened:
        assert opened.read_at(0, 10) == file.read_bytes()[:10]
    refused = refusal(Manners(file, ranges_until=1), lambda opened: opened.read_at(4_000_000, 10))
    assert "a different range" in str(refused)


def test_a_server_that_does_not_say_how_long_the_file_is(file):
    with remote(Manners(file, ranges=False, length=False)) as opened:
        assert opened.size == SIZE
        assert opened.read_at(SIZE - 10, 10) == file.read_bytes()[-10:]


def test_redirects_are_followed_once(file):
    manners = Manners(file, redirects=3)
    with remote(manners) as opened:
        opened.read_at(0, 10)
        opened.read_at(2_000_000, 10)
    assert len(manners.requests) == 4 + 2


def test_a_way_by_plain_http_back_to_https_is_refused(file, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    last, context = Manners(file), server_context(certificate)
    with serving(last, tls=context) as end:
        between = Manners(file, leads_to=end)
        with serving(between) as plain:
            error = refusal(Manners(file, leads_to=plain), tls=context)
    assert "less secure" in str(error)
    assert between.requests == last.requests == []


def test_a_redirect_that_is_over_is_asked_for_anew(file):
    with remote(Manners(file, redirects=1, fails={2: 403})) as opened:
        assert opened.read_at(0, 10) == file.read_bytes()[:10]


@pytest.mark.parametrize("status", [401, 403, 404, 410, 418])
def test_refusals_of_the_server(file, status):
    error = refusal(Manners(file, fails=dict.fromkeys(range(9), status)))
    assert str(status) in str(error)


def test_a_user_and_password_are_sent_and_not_shown(file):
    with remote(Manners(file, password=True), user="anne:secret") as opened:
        assert opened.read_at(0, 10) == file.read_bytes()[:10]
        assert "secret" not in f"{opened.path} {opened.path!r}"
    refusal(Manners(file, password=True), user="anne:secrets")


@pytest.mark.parametrize(
    ("manners", "words"),
    [
        ({"silent": True}, "timed out"),
        ({"redirects": 20}, "in a loop"),
        ({"fails": dict.fromkeys(range(9), 502)}, "502"),
        ({"breaks_after": 0}, "ended early|connection broke"),
        ({"shifted": 5}, "a different range"),
        ({"changes_at": 1}, "replaced"),
        ({"ranges": False, "claims": SIZE + 5_000}, "ended early|connection broke"),
        ({"ranges": False, "claims": 1 << 60}, "no room"),
    ],
    ids=str,
)
def test_servers_that_misbehave(file, manners, words):
    assert re.search(words, str(refusal(Manners(file, **manners))))


def test_a_length_that_is_a_lie_is_found_out(file, tmp_path):
    error = refusal(Manners(file, claims=SIZE + 100_000), lambda opened: copied(opened, tmp_path))
    assert isinstance(error, UnclassifiedImageError)


def test_a_range_without_end_is_cut_off(file):
    manners = Manners(file, endless=True)
    with remote(manners) as opened:  # HTTP's length bounds what is read; the rest of the connection is never looked at
        assert opened.read_at(0, 100) == file.read_bytes()[:100]


def test_a_file_that_is_replaced_before_the_copy(file, tmp_path):
    manners = Manners(file)
    with remote(manners) as opened:
        opened.read_at(0, 10)
        manners.etag = '"second"'
        with pytest.raises(StaleImageError):
            copied(opened, tmp_path)
        with pytest.raises(StaleImageError):
            opened.check_unchanged()


def test_only_a_server_whose_certificate_is_trusted_is_read(file, certificate, monkeypatch):
    context = server_context(certificate)
    assert "not trusted" in str(refusal(Manners(file), tls=context))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with remote(Manners(file), tls=context) as opened:
        assert opened.read_at(4_000, 5_000) == file.read_bytes()[4_000:9_000]
    with serving(Manners(file)) as plain:
        assert "less secure" in str(refusal(Manners(file, leads_to=plain), tls=context))


def test_nobody_listens():
    with pytest.raises(UnclassifiedImageError, match="cannot be reached"):
        RemoteFile(Url("http://127.0.0.1:9/x.iso"), retry_policy=HASTY)


def test_a_pipe_gets_what_is_asked_for(file):
    with remote(Manners(file)) as opened:
        reader, writer = os.pipe()
        opened.send(writer, 100, 5_100, no_progress)
        os.close(writer)
        assert os.read(reader, 10_000) == file.read_bytes()[100:5_100]
        os.close(reader)


def test_other_file_systems(file):
    files = fsspec.filesystem("memory")
    files.pipe_file("/image.iso", file.read_bytes())
    with RemoteFile(Url("memory://image.iso")) as opened:
        assert opened.size == SIZE
        assert opened.read_at(70_000, 100_000) == file.read_bytes()[70_000:170_000]
        opened.check_unchanged()
        files.pipe_file("/image.iso", b"another")
        with pytest.raises(StaleImageError):
            opened.check_unchanged()
    with pytest.raises(UnclassifiedImageError, match="no such file"):
        RemoteFile(Url("memory://gone.iso"))
    with pytest.raises(UnclassifiedImageError, match="cannot be read"):
        RemoteFile(Url("nonsense://gone.iso"))


def test_addresses(tmp_path):
    assert parse_address("file:///a%20b/c.iso") == parse_address("/a b/c.iso")
    assert parse_address("a:b//c") == parse_address("./a:b/c")
    url = parse_address("https://anne:secret@host:8443/a/b%20c.iso?token=hush#x")
    assert isinstance(url, Url)
    assert str(url) == "https://host:8443/a/b%20c.iso"
    assert url.name == "b c.iso"
    assert "hush" not in repr(url)
    assert str(parse_address("https://anne:secret@[2001:db8::1]:8443/a.iso?token=hush")) == (
        "https://[2001:db8::1]:8443/a.iso"
    )
    chained = parse_address("simplecache::s3://key:secret@bucket/x.iso")
    assert str(chained) == "simplecache::s3://bucket/x.iso"


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "requests", None)
    monkeypatch.delitem(sys.modules, "imgkit.remote.http", raising=False)
    with pytest.raises(UnsupportedError, match="requests") as caught:
        RemoteFile(Url("https://host/x.iso"))
    assert "imgkit-vm[remote]" in str(caught.value.hint)
