"""Images for the command to work on."""

import signal
from pathlib import Path

import pytest

from tests.support.images import private_copy


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The guide's disk in small, Debian 12 with /boot, / and /home, as a qcow2 in a folder of its own."""
    return private_copy("small-qcow2", tmp_path)


@pytest.fixture(autouse=True, scope="session")
def _signals_are_heard() -> None:
    """Hear SIGHUP and SIGINT as a terminal's command does: nohup and background jobs leave them ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
