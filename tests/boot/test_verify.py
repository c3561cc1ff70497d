"""`imgkit verify` on real images: those that work, those that were never touched, and those broken on purpose."""

import pytest

from tests.cli.command import assert_refused, imgkit
from tests.cli.test_json import check
from tests.support.disks import sha256
from tests.support.images import fixture, private_copy

pytestmark = pytest.mark.boot

MENU = "/boot/grub/grub.cfg"
GETTY = "/etc/systemd/system/serial-getty@ttyS0.service"


def verify(image, *words):
    """The answer, and what may not have changed: the image, and the temporary folders."""
    before = sha256(image), image.stat().st_mtime_ns
    done = imgkit("verify", image, "--json", *words)
    assert done.status in (0, 1), done.stderr
    assert (sha256(image), image.stat().st_mtime_ns) == before
    document = done.json
    check(dict(document), "verify/1", whole=False)
    assert document["passed"] is (done.status == 0)
    return document


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


def links(found):
    return {link["kind"] for link in found["console"]["links"] if not link["ok"]}


def test_an_enabled_disk_answers_a_login(enabled):
    found = verify(enabled, "--memory", "512", "--login", "root:imgkit")
    assert found["passed"], found["explanation"]
    assert found["reached"] == "login prompt"
    assert "imgkit-42-shell" in found["transcript"]


def test_an_enabled_installer_reaches_its_first_page(tmp_path):
    image = tmp_path / "serial.iso"
    assert imgkit("console", "enable", fixture("iso-debian"), "-o", image, "--timeout", "1").status == 0
    found = verify(image)
    assert found["passed"], found["explanation"]
    assert "language" in found["expected"]


def test_an_untouched_disk_fails(tmp_path):
    found = verify(private_copy("a", tmp_path), "--memory", "512", "--timeout", "60")
    assert not found["passed"]
    assert found["reached"] == "nothing"
    assert "kernel" in links(found)
    assert "imgkit console enable" in found["remedy"]


def test_without_a_kernel_argument_the_boot_loader_is_the_last_that_speaks(enabled):
    edit(enabled, b" console=tty0 console=ttyS0,115200n8", b"")
    found = verify(enabled, "--memory", "512", "--timeout", "75")
    assert not found["passed"]
    assert found["reached"] == "boot loader"
    assert "kernel" in links(found)


def test_without_a_getty_the_kernel_is(enabled):
    edit(enabled, b"console=ttyS0,115200n8", b"console=ttyS0,115200n8 systemd.getty_auto=0 loglevel=7")
    edit(enabled, b" quiet", b"")
    found = verify(enabled, "--memory", "512", "--timeout", "75")
    assert not found["passed"]
    assert found["reached"] in ("kernel", "init")
    assert "login prompt" in links(found)


def test_a_wrong_baud_rate_fails_though_a_virtual_line_has_none(enabled):
    edit(enabled, b"console=ttyS0,115200n8", b"console=ttyS0,9600n8")
    found = verify(enabled, "--memory", "512")
    assert not found["passed"]
    assert found["reached"] == "login prompt"
    assert "9600" in found["explanation"]


def test_refusals(tmp_path):
    image = private_copy("small", tmp_path)
    assert_refused(tmp_path, "verify", image, "--login", "root", status=2, says="password", hint="root:")
    assert_refused(tmp_path, "verify", image, "--expect", "(", status=2, says="regular expression", hint="Escape")
    assert_refused(tmp_path, "verify", "http://127.0.0.1:9/x", status=5, says="only a file", hint="Download")
