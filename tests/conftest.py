"""What all tests have in common."""

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def _signals_are_heard() -> None:
    """Hear SIGHUP and SIGINT as a terminal's command does: nohup and background jobs leave them ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
