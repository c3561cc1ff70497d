"""Images for the command to work on."""

from pathlib import Path

import pytest

from tests.location.trees import debian_mirror
from tests.support.images import private_copy


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The guide's disk in small, Debian 12 with /boot, / and /home, as a qcow2 in a folder of its own."""
    return private_copy("small-qcow2", tmp_path)


@pytest.fixture(autouse=True)
def _this_process_is_not_a_commands_own(monkeypatch):
    """Have a command that runs in this process not confine it for good, and with it the tests that come after."""
    monkeypatch.setattr("imgkit.cli.main.take_process", lambda: None)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's folders, empty."""
    for name, folder in (("XDG_CACHE_HOME", "cache"), ("XDG_DATA_HOME", "data")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    return tmp_path


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    return debian_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture
def kernel(home):
    from tests.vm.installer import KERNEL  # noqa: PLC0415 - it looks for one in /boot

    (home / "initrd").write_bytes(b"initrd")
    return ("--kernel", KERNEL, "--initrd", home / "initrd")
