"""`imgkit verify` on real images that were never touched, and on those broken on purpose.

It passes on the enabled disks in test_enable.py.
"""

import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from signal import Signals

import pytest

from fixtures.catalog import GROUPS
from tests.boot.verifying import broken, verify
from tests.cli.command import assert_refused, environment, imgkit, script
from tests.support.disks import sha256
from tests.support.images import fixture, private_copy

pytestmark = pytest.mark.boot

MENU = "/boot/grub/grub.cfg"
GETTY = "/etc/systemd/system/serial-getty@ttyS0.service"


@pytest.fixture
def enabled(tmp_path):
    image = private_copy("a", tmp_path)
    assert imgkit("console", "enable", image, "--in-place").status == 0
    return image


def edit(image, old, new):
    """Replace a text in the boot menu."""
    menu = imgkit("cat", image, MENU).stdout
    assert old in menu
    assert imgkit("write", image, MENU, "--in-place", stdin=menu.replace(old, new)).status == 0


@pytest.mark.parametrize("name", [*GROUPS["debian"], "iso-debian", "iso-grub"])
def test_an_untouched_image_fails(name):
    """That they stay silent however long one waits is seen in test_fixtures.py and test_isos.py."""
    found = verify(fixture(name), "--memory", "512", "--timeout", "15")
    assert not found["passed"]
    assert found["reached"] == "nothing"
    assert "nothing appeared on the line" in found["explanation"]
    assert {"boot loader", "kernel"} <= broken(found)
    assert found["remedy"].startswith("Enable its console: imgkit console enable ")


def test_an_enabled_installer_reaches_its_first_page(tmp_path):
    image = tmp_path / "serial.iso"
    assert imgkit("console", "enable", fixture("iso-debian"), "-o", image, "--timeout", "1").status == 0
    found = verify(image, "--secure-boot")
    assert found["passed"], found["explanation"]
    assert "language" in found["expected"]
    assert "BdsDxe: starting" in found["transcript"]


def test_without_a_kernel_argument_the_boot_loader_is_the_last_that_speaks(enabled):
    edit(enabled, b" console=tty0 console=ttyS0,115200n8", b"")
    found = verify(enabled, "--memory", "512", "--timeout", "75")
    assert not found["passed"]
    assert found["reached"] == "boot loader"
    assert "kernel" in broken(found)


def test_without_a_getty_the_kernel_is(enabled):
    edit(enabled, b"console=ttyS0,115200n8", b"console=ttyS0,115200n8 systemd.getty_auto=0 loglevel=7")
    edit(enabled, b" quiet", b"")
    found = verify(enabled, "--memory", "512", "--timeout", "75")
    assert not found["passed"]
    assert found["reached"] in ("kernel", "init")
    assert "login prompt" in broken(found)


def test_a_wrong_baud_rate_fails_though_a_virtual_line_has_none(enabled):
    edit(enabled, b"console=ttyS0,115200n8", b"console=ttyS0,9600n8")
    found = verify(enabled, "--memory", "512")
    assert not found["passed"]
    assert found["reached"] == "login prompt"
    assert "9600" in found["explanation"]


def test_a_text_of_ones_own_and_a_log(tmp_path):
    """Firmware speaks before anything is started, so this takes no boot."""
    image, log = private_copy("small", tmp_path), tmp_path / "log"
    found = verify(image, "--uefi", "--expect", "BdsDxe: .*Boot0001", "--log", log)
    assert found["passed"], found["explanation"]
    assert found["expected"] == "BdsDxe: .*Boot0001"
    assert found["reached"] == "firmware"
    assert log.read_bytes().decode(errors="replace").startswith(found["transcript"])
    done = imgkit("verify", image, "--uefi", "--expect", "BdsDxe: .*Boot0001")
    assert (done.status, done.stdout) == (0, b"")
    assert "\nBdsDxe: " in done.stderr
    assert "\\x1b" not in done.stderr
    assert "the serial console works: 'BdsDxe: .*Boot0001' appeared after" in done.stderr
    found = verify(image, "--uefi", "--expect", "never said", "--timeout", "1")
    assert "'never said' did not come in 1 seconds; " in found["explanation"]


@pytest.mark.parametrize("signal", [Signals.SIGTERM, Signals.SIGINT, Signals.SIGHUP], ids=lambda signal: signal.name)
@pytest.mark.parametrize("moment", ["being made", "running", "running, and again"])
def test_a_signal_leaves_no_machine_and_no_file(tmp_path, signal, moment):
    image = private_copy("small", tmp_path)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    before, folders = sha256(image), set()
    process = subprocess.Popen(
        [script(), "verify", image, "--json"], env=environment(TMPDIR=str(temporary)), stdout=subprocess.DEVNULL
    )
    layer = wait_for(lambda: next(temporary.glob("imgkit-verify-*/layer.qcow2"), None))
    if moment != "being made":
        folders = set(re.findall(rb"/tmp/imgkit-vm-\w+", wait_for(lambda: machines_on(layer))[0]))
        assert folders
    process.send_signal(signal)
    while moment == "running, and again" and process.poll() is None:
        time.sleep(0.05)
        process.send_signal(signal)
    assert process.wait(60) == 128 + signal or moment == "running, and again"
    assert machines_on(layer) == []
    assert not any(Path(folder.decode()).exists() for folder in folders) or moment == "running, and again"
    assert list(temporary.iterdir()) == []
    assert sha256(image) == before


def wait_for(look):
    deadline = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def machines_on(layer):
    """Command lines of the QEMU processes that have the layer on it."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = line.read_bytes()
            if b"qemu-system" in words and bytes(layer) in words:
                found.append(words)
    return found


def test_refusals(tmp_path):
    image = private_copy("small", tmp_path)
    assert_refused(tmp_path, "verify", image, "--login", "root", status=2, says="USER:PASSWORD", hint="root:")
    assert_refused(tmp_path, "verify", image, "--expect", "(", status=2, says="regular expression", hint="Escape")
    assert_refused(tmp_path, "verify", "http://127.0.0.1:9/x", status=5, says="only a file", hint="Download")
