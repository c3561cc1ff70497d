"""A certificate for TLS servers of this host, signed by itself."""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.support import oracle


def self_signed(folder: Path) -> Path:
    """A file in `folder` with the certificate and its key."""
    words = ("-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")
    names = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key", "-out", folder / "certificate")
    oracle.run("openssl", "req", "-x509", *words, *names)
    both = folder / "both.pem"
    both.write_bytes((folder / "key").read_bytes() + (folder / "certificate").read_bytes())
    return both


def server_context(certificate: Path) -> ssl.SSLContext:
    """What a server needs to show it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
