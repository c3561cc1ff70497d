"""A libvirt of the tests' own."""

import pytest

from tests.support.session import own_session


@pytest.fixture(scope="session")
def session():
    """`qemu:///session` is one that nobody else uses; in this process, and in those that it starts."""
    with own_session():
        yield "qemu:///session"
