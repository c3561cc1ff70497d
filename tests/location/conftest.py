"""Trees and servers, real ones on this host's loopback."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from imgkit.location.download import Limits
from imgkit.remote.object import RetryPolicy
from tests.location import servers, trees

# Bytes that no server may mistake for text, larger than one read of any source.
KERNEL = os.urandom(1 << 20) + b"kernel"
INITRD = os.urandom(3 << 20) + b"initrd"


@pytest.fixture(scope="session")
def mirror(tmp_path_factory):
    """A mirror with Debian's netboot installer."""
    folder = tmp_path_factory.mktemp("mirror")
    yield trees.debian_mirror(folder)
    shutil.rmtree(folder)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A Fedora tree with checksums."""
    return trees.write(tmp_path / "tree", trees.fedora(KERNEL, INITRD))


@pytest.fixture
def http(tree):
    """The Fedora tree over HTTP."""
    with servers.http(tree) as server:
        yield server


@pytest.fixture
def impatient() -> Limits:
    """Limits with which a test of trouble ends soon."""
    return Limits(size=64 << 20, retry=RetryPolicy(2.0, 2.0, attempts=3, pause=0.01), rate=100_000, window=1.0)
