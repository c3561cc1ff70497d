"""`imgkit vm install` and `vm import` with real guests, in the user's own libvirt: all ways that the guide has."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import pexpect
import pytest

from tests.cli.command import Run, environment, imgkit, script
from tests.cli.test_json import check
from tests.location import servers
from tests.location.nfs3 import nfs3
from tests.location.trees import debian_mirror
from tests.support import oracle
from tests.support.images import fixture, private_copy
from tests.support.session import own_session
from tests.vm.installer import INSTALLED, INSTALLS, KERNEL, make_installer

pytestmark = pytest.mark.boot

PATIENCE = 600  # seconds; only failures take so long
FIRST_PAGE = "Select a language|Choose language"
SMALL = ("--memory", "256", "--network", "none")


@pytest.fixture(scope="module")
def session():
    with own_session() as folders:
        yield folders


@pytest.fixture
def name(session):
    """The name of a machine, which is gone afterwards, with all that belongs to it."""
    yield "mine"
    imgkit("vm", "stop", "mine", "--force")
    removed = imgkit("vm", "remove", "mine", "--disks", "--json")
    if removed.status == 0:
        check(removed.json, "vm-remove/1", whole=False)
    assert imgkit("vm", "list", "--json").json["machines"] == []
    for folder, inside in (("XDG_DATA_HOME", "libvirt/images"), ("XDG_CACHE_HOME", "imgkit/install")):
        place = Path(session[folder], inside)
        assert not place.exists() or list(place.iterdir()) == []


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    return debian_mirror(tmp_path_factory.mktemp("mirror"))


def patiently(*words):
    """Run imgkit for as long as a boot takes."""
    done = subprocess.run(
        [script(), *map(str, words)], capture_output=True, env=environment(), check=False, timeout=PATIENCE + 60
    )
    return Run(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


@contextmanager
def served(mirror, way):
    """The mirror's location, by one of the ways."""
    if way == "nfs":
        with nfs3(mirror) as address:
            yield address
    elif way == "directory":
        yield str(mirror)
    else:
        with {"http": servers.http, "ftp": servers.ftp}[way](mirror) as server:
            yield server.address


@pytest.mark.parametrize("way", ["http", "ftp", "nfs", "directory"])
def test_an_installer_from_the_network_reaches_its_first_page(name, mirror, way, tmp_path):
    log = tmp_path / "log"
    with served(mirror, way) as location:
        words = ("--location", location, "--disk", "size=2G", "--memory", "1024", "--network", "none", "--log", log)
        done = patiently("vm", "install", name, *words, "--expect", FIRST_PAGE, "--timeout", PATIENCE, "--json")
    assert done.status == 0, done.stderr
    made = done.json
    check(dict(made), "vm-install/1", whole=False)
    assert made["passed"]
    assert made["kernel"]["verified"]
    assert log.read_bytes().startswith(made["transcript"].encode()[:1000])
    (listed,) = imgkit("vm", "list", "--json").json["machines"]
    assert listed == {"name": name, "running": True, "persistent": True, "memory": 1024, "vcpus": 1}


def test_an_installer_from_a_cd_gets_a_console_and_reaches_its_first_page(name):
    image = fixture("iso-debian")
    words = ("--cdrom", image, "--disk", "size=2G", "--memory", "1024", "--network", "none")
    done = patiently("vm", "install", name, *words, "--expect", FIRST_PAGE, "--timeout", PATIENCE)
    assert done.status == 0, done.stderr
    assert "booted from a copy that has one" in done.stderr


def test_a_disk_gets_a_console_and_a_login_that_runs_a_command(name, tmp_path):
    image = private_copy("a", tmp_path)
    words = (image, "--memory", "512", "--network", "none", "--expect", "login: ", "--timeout", PATIENCE)
    done = patiently("vm", "import", name, *words)
    assert done.status == 0, done.stderr
    assert "serial console enabled in place" in done.stderr
    talk = ("--send", r"root\n", "--expect", "Password: ", "--send", r"imgkit\n", "--expect", "[#$] ")
    done = patiently("vm", "console", name, *talk, "--send", r"echo $((6*7))-answer\n", "--expect", "42-answer")
    assert done.status == 0, done.stderr


def wait_for(log, text, said=b""):
    """Wait until a log has a text."""
    deadline = time.monotonic() + PATIENCE
    while text.encode() not in (said := log.read_bytes() if log.exists() else b""):
        assert time.monotonic() < deadline, said[-2000:]
        time.sleep(0.1)


def kill_in_the_middle(log, *words):
    """Run imgkit in a terminal until the guest's kernel speaks there, and kill it then."""
    terminal = pexpect.spawn(str(script()), [*map(str, words)], env=environment(TERM="dumb"), timeout=PATIENCE)
    terminal.expect("attached to mine: .* leaves")
    terminal.expect("Linux version")
    terminal.kill(signal.SIGKILL)
    terminal.wait()
    terminal.close()
    assert INSTALLED not in log.read_text(errors="replace")


@pytest.mark.parametrize("way", ["boot order", "follower"])
def test_an_installed_machine_starts_from_its_disk_even_if_imgkit_was_killed(name, session, way, tmp_path):
    log, used = tmp_path / "log", tmp_path / "used.img"
    used.write_bytes((bytes(510) + b"\x55\xaa").ljust(16 << 20, b"\0"))
    disk = "size=16M" if way == "boot order" else f"path={used}"
    source = ("--kernel", KERNEL, "--initrd", make_installer(tmp_path), "--disk", disk, *SMALL)
    kill_in_the_middle(log, "vm", "install", name, *source, "--log", log)
    wait_for(log, INSTALLED)
    said = log.read_text(errors="replace")
    assert said.count("Linux version") == said.count(INSTALLS) == 1
    domain = ET.fromstring(oracle.run("virsh", "-c", "qemu:///session", "dumpxml", name, "--inactive").stdout)
    assert [drive.get("device") for drive in domain.iter("disk")] == ["disk"]
    assert domain.find("os/kernel") is None
    # And at every later start: what it was installed from is gone then.
    assert imgkit("vm", "stop", name, "--force").status == 0
    assert imgkit("vm", "start", name).status == 0
    assert list(Path(session["XDG_CACHE_HOME"], "imgkit", "install").iterdir()) == []
    deadline = time.monotonic() + PATIENCE
    while log.read_text(errors="replace").count(INSTALLED) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    followers = oracle.run(
        "pgrep", "-u", str(os.getuid()), "-f", "imgkit.vm.install.follower qemu:///session", check=False
    )
    assert followers.stdout == ""


def test_whoever_waits_is_told_of_the_end_and_the_installer_is_gone_by_then(name, session, tmp_path):
    source = ("--kernel", KERNEL, "--initrd", make_installer(tmp_path), "--disk", "size=16M", *SMALL)
    done = patiently("vm", "install", name, *source, "--expect", INSTALLED, "--wait", "--timeout", PATIENCE, "--json")
    assert done.status == 0, done.stderr
    assert done.json["transcript"].count(INSTALLS) == 1
    assert list(Path(session["XDG_CACHE_HOME"], "imgkit", "install").iterdir()) == []
    domain = ET.fromstring(oracle.run("virsh", "-c", "qemu:///session", "dumpxml", name).stdout)
    is_in = [drive.find("source[@file]") is not None for drive in domain.iter("disk")]
    assert is_in == [False, True]  # the CD is ejected
