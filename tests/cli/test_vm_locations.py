"""`imgkit vm` with locations and connections that do not give what was asked for."""

import filecmp
import json
import shutil
import socket
import threading
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.cli.command import imgkit
from tests.cli.machines import MOCK, refused
from tests.location.servers import http
from tests.location.trees import debian_mirror, write
from tests.support import oracle
from tests.vm.installer import KERNEL

pytestmark = pytest.mark.boot  # needs libvirt's binding, which is not everywhere


@pytest.fixture
def undescribed(home):
    """An ISO that boots an installer and describes itself nowhere, as bootc-image-builder's."""
    (home / "tree/images").mkdir(parents=True)
    shutil.copy(KERNEL, home / "tree/images/vmlinuz")
    (home / "tree/images/initrd.img").write_text("initrd")
    oracle.run("genisoimage", "-quiet", "-r", "-o", home / "undescribed.iso", home / "tree")
    return home / "undescribed.iso"


PAIR = ("images/vmlinuz", "images/initrd.img")


@pytest.mark.parametrize("road", ["options", "location", "files"])
@pytest.mark.parametrize("kind", ["iso", "folder"])
def test_a_kernel_is_named_below_a_location_that_describes_nothing(home, undescribed, road, kind):
    place = undescribed if kind == "iso" else home / "tree"
    words = {
        "options": ("--location", place, "--kernel", PAIR[0], "--initrd", PAIR[1]),
        "location": ("--location", f"{place},kernel={PAIR[0]},initrd={PAIR[1]}"),
        "files": ("--location", place, "--kernel", home / "tree" / PAIR[0], "--initrd", home / "tree" / PAIR[1]),
    }[road]
    done = imgkit("vm", "install", "mine", *words, "--disk", "none", *MOCK, "--json")
    assert done.status == 0, done.stderr
    kernel = done.json["kernel"]
    assert filecmp.cmp(kernel["kernel"], KERNEL, shallow=False)
    assert Path(kernel["initrd"]).read_text() == "initrd"
    assert "console=ttyS0,115200n8" in kernel["arguments"].split()
    drives = [source.get("file") for source in ET.fromstring(done.json["xml"]).findall("devices/disk/source")]
    assert drives[1:] == ([str(undescribed)] if kind == "iso" else []), "behind the CD of the kernel"


@pytest.mark.parametrize(
    ("words", "status", "says", "hint"),
    [
        (("--kernel", "absent", "--initrd", PAIR[1]), 13, "absent: there is no such file", "An install tree is"),
        (("--kernel", "../../etc/passwd", "--initrd", PAIR[1]), 13, "not a file inside the tree", "--kernel"),
        (("--kernel", PAIR[0]), 2, "--kernel and --initrd go together", "Give both"),
        ((), 13, "not an install tree", "--kernel and --initrd"),
    ],
)
def test_a_kernel_below_a_location_that_cannot_be_had(home, undescribed, words, status, says, hint):
    options = ("install", "mine", "--location", undescribed, *words, "--disk", "none", *MOCK)
    refused(home, *options, status=status, says=says, hint=hint)


def test_ubuntus_live_files_without_their_iso_are_refused(home):
    tree = write(
        home / "ubuntu",
        {
            "casper/vmlinuz": "kernel",
            "casper/initrd": "initrd",
            ".disk/info": 'Ubuntu-Server 24.04.1 LTS "Noble Numbat" - Release amd64 (20240827)',
        },
    )
    with http(tree) as server:
        for place in (server.address, tree):
            words = ("install", "mine", "--location", place, "--disk", "none", *MOCK)
            refused(home, *words, status=5, says="loads the rest of its system from an ISO", hint="--cdrom ISO")
        done = imgkit("vm", *words, "--extra-args", "url=http://192.0.2.1/u.iso ip=dhcp", "--dry-run", "--json")
    assert "url=http://192.0.2.1/u.iso" in done.json["kernel"]["arguments"].split()


def test_an_iso_without_a_kernel(home):
    (home / "tree").mkdir()
    (home / "tree/readme").write_text("no kernel")
    oracle.run("genisoimage", "-quiet", "-o", home / "plain.iso", home / "tree")
    words = ("install", "mine", "--disk", "size=1G", *MOCK)
    refused(
        home,
        *words,
        "--location",
        home / "plain.iso",
        status=13,
        says="not an install tree",
        hint="--kernel and --initrd, or its ISO with --cdrom",
    )
    done = imgkit("vm", *words, "--cdrom", home / "plain.iso")
    assert done.status == 5
    assert "cannot be enabled" in done.stderr
    assert "--no-enable" in done.stderr
    assert {path.name for path in home.rglob("*") if path.is_file()} == {"readme", "plain.iso"}


def test_an_unreachable_server(home):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    words = ("install", "mine", "--location", f"http://127.0.0.1:{port}/debian", "--disk", "size=1G", *MOCK)
    refused(home, *words, status=13, says="Connection refused", hint="address is right")


def test_a_wrong_checksum_and_the_way_around_it(home, tmp_path_factory):
    folder = debian_mirror(tmp_path_factory.mktemp("broken"))
    sums = next(folder.rglob("SHA256SUMS"))
    sums.write_text("\n".join(f"{'0' * 64}  {line.split()[1]}" for line in sums.read_text().splitlines()) + "\n")
    with http(folder) as server:
        words = ("install", "mine", "--location", f"{server.address}/", "--disk", "size=1G", *MOCK)
        done = imgkit("vm", *words)
        assert done.status == 13
        assert "checksum mismatch" in done.stderr
        assert "--insecure" in done.stderr
        assert not (home / "data").exists()
        taken = imgkit("vm", *words, "--insecure")
        assert taken.status == 0
        assert "were not verified" in taken.stderr


@contextmanager
def endless():
    """A server that begins to answer, and never ends."""

    def serve(listener):
        with listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
            with pytest.raises(OSError):
                while True:
                    connection.sendall(b"x" * 65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(30)


def test_an_endless_server(home):
    with endless() as address:
        words = ("install", "mine", "--location", address, "--disk", "size=1G", *MOCK)
        refused(home, *words, status=13, says="larger than", hint="Check the address")


@pytest.mark.parametrize(
    ("uri", "folder", "hint"),
    [
        ("qemu:///session", "/proc", "Set XDG_RUNTIME_DIR"),
        ("qemu+unix:///system?socket=/not/there", "", "libvirt-daemon"),
        ("qemu+tcp://127.0.0.1:9/system", "", "the host name is right"),
    ],
)
def test_a_connection_that_does_not_come_about_has_a_way_out(home, uri, folder, hint):
    env = {"XDG_RUNTIME_DIR": folder} if folder else {}
    refused(home, "list", "--connect", uri, status=9, says=f"no connection to {uri}", hint=hint, env=env)


@pytest.mark.parametrize(
    ("uri", "status"), [("nonsense:///", 2), ("qemu:///nonsense", 14), ("qemu+unix:///system?socket=/not/there", 14)]
)
def test_an_address_that_libvirt_refuses(home, kernel, uri, status):
    words = ("install", "mine", *kernel, "--disk", "size=1G", "--no-console", "--connect", uri)
    done = imgkit("vm", *words)
    assert done.status in (status, 9, 14), done.stderr
    message, hint = done.stderr.splitlines()
    assert message.startswith(f"imgkit: error: no connection to {uri}")
    assert hint.startswith("  ")
    assert not (home / "data").exists()


def test_no_binding(home, kernel):
    (home / "libvirt.py").write_text("raise ImportError('none here')\n")
    words = ("install", "mine", *kernel, "--disk", "size=1G")
    refused(home, *words, status=9, says="binding is missing", hint="imgkit-vm[vm]", env={"PYTHONPATH": str(home)})


def test_no_daemon(home, kernel):
    run = home / "run"
    run.mkdir()
    words = ("vm", "install", "mine", *kernel, "--disk", "size=1G", "--no-console")
    env = {"PATH": "/nowhere", "XDG_RUNTIME_DIR": str(run), "LIBVIRT_DIR_OVERRIDE": "1", "LIBVIRTD_PATH": "/nowhere"}
    done = imgkit(*words, env=env, through=[oracle.find("env"), f"XDG_CONFIG_HOME={home}"])
    assert done.status == 9, done.stderr
    assert "no connection to qemu:///session" in done.stderr
    assert "libvirt-daemon" in done.stderr
    assert json.dumps(done.text) == '""'
    assert not (home / "data").exists()
