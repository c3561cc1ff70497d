"""HTTPS: only a server whose certificate is trusted is read, and no redirect leads from it to plain HTTP."""

from __future__ import annotations

import pytest

from imgkit.errors import LocationError, UsageError
from imgkit.location.fetch import fetch
from imgkit.location.tree import find_tree
from tests.location import servers
from tests.location.conftest import KERNEL
from tests.support.certificate import self_signed, server_context


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def https(tree, certificate):
    context = server_context(certificate)
    with servers.http(tree, tls=context) as server:
        yield server


VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(autouse=True)
def _no_certificates_are_named(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_trusted_server_is_read(https, certificate, tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, str(certificate))
    files = fetch(find_tree(https.address), tmp_path / "c")
    assert files.verified
    assert files.kernel.read_bytes() == KERNEL


def test_a_server_that_nobody_vouches_for_is_refused(https):
    with pytest.raises(LocationError, match=r"(?i)certificate.verify.failed"):
        find_tree(https.address)


def test_a_variable_that_names_no_certificates_is_named(https, tmp_path, monkeypatch):
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(UsageError, match=r"CURL_CA_BUNDLE=.*none\.pem: contains no certificates"):
        find_tree(https.address)


def test_a_redirect_to_plain_http_is_refused(http, certificate, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = server_context(certificate)
    handler = servers.leading_to(http.address)
    with servers.http(tmp_path, handler, tls=context) as server:
        with pytest.raises(LocationError, match="which is less secure") as caught:
            find_tree(server.address)
        assert http.address in str(caught.value)
    assert http.requests == []


def test_a_way_by_plain_http_back_to_https_is_refused(https, certificate, tmp_path, monkeypatch):
    """Each hop is looked at: whoever answers in between sees what is asked, and says what comes."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with (
        servers.http(tmp_path, servers.leading_to(https.address)) as plain,
        servers.http(tmp_path, servers.leading_to(plain.address), tls=server_context(certificate)) as first,
    ):
        with pytest.raises(LocationError, match="which is less secure"):
            find_tree(first.address)
        assert plain.requests == []
    assert https.requests == []
