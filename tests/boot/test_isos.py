"""`imgkit console enable` on installer ISOs: silent before, at the installer's first page on the serial line after."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import oracle
from tests.support.boot import Drive, Firmware, boot
from tests.support.images import fixture

pytestmark = pytest.mark.boot

# As Fedora's images have it, in short; the second entry is the default.
FEDORA_MENU = """set default="1"
function load_video {
  insmod all_video
}
load_video
set gfxpayload=keep
insmod gzio
set timeout=60
search --no-floppy --set=root -l 'ISOIMAGE'
menuentry 'Install Fedora' --class fedora --class os {
	linux /images/pxeboot/not-there inst.stage2=hd:LABEL=ISOIMAGE quiet
	initrd /images/pxeboot/initrd
}
menuentry 'Test this media & install Fedora' --class fedora --class os {
	linux /images/pxeboot/vmlinuz inst.stage2=hd:LABEL=ISOIMAGE rd.live.check quiet
	initrd /images/pxeboot/initrd
}
submenu 'Troubleshooting -->' {
	menuentry 'Rescue a Fedora system' --class fedora --class os {
		linux /images/pxeboot/vmlinuz inst.stage2=hd:LABEL=ISOIMAGE inst.rescue quiet
		initrd /images/pxeboot/initrd
	}
}
"""
QUIET_FOR = 60  # seconds, in which an edited ISO gets far
WAYS = [
    ("iso-debian", Drive.CD, Firmware.BIOS),
    ("iso-debian", Drive.CD, Firmware.SECURE_BOOT),
    ("iso-debian", Drive.USB, Firmware.BIOS),
    ("iso-debian", Drive.USB, Firmware.UEFI),
    ("iso-grub", Drive.CD, Firmware.BIOS),
    ("iso-grub", Drive.USB, Firmware.SECURE_BOOT),
    ("iso-isolinux", Drive.CD, Firmware.BIOS),
]


@pytest.fixture(scope="module")
def enabled(tmp_path_factory):
    """The enabled ISO of a name, with files added, edited once."""
    made = {}

    def enable(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name) / f"{name}.iso"
            command = Path(sys.executable).with_name("imgkit")
            done = oracle.run(
                str(command), "console", "enable", fixture(name), "-o", made[name], "--timeout", "5", "--json"
            )
            assert json.loads(done.stdout)["engine"] == "iso"
            _add_and_remove(command, made[name])
        return made[name]

    return enable


def _add_and_remove(command, image):
    """Have the ISO edited as much as it can be: with new files in all trees, for which a directory has to move."""
    image.chmod(0o644)  # a new file has its source's mode, and a fixture is read-only
    source = image.with_name("custom")
    source.mkdir()
    for number in range(100):
        (source / f"package number {number}.deb").write_text(f"{number}\n")
    oracle.run(str(command), "iso", "add", image, source, "/", "--in-place")
    oracle.run(str(command), "iso", "rm", image, "/custom/package number 7.deb", "--in-place")


def test_before_the_line_is_silent():
    with boot(fixture("iso-debian"), drive=Drive.CD, memory="1G") as guest:
        time.sleep(QUIET_FOR)
        assert guest.process.poll() is None
        assert guest.transcript == b""


@pytest.mark.parametrize(("name", "drive", "firmware"), WAYS)
def test_after_the_installer_asks_for_a_language(enabled, name, drive, firmware):
    with boot(enabled(name), drive=drive, firmware=firmware, memory="1G") as guest:
        if firmware is Firmware.BIOS:
            guest.line.expect("ISOLINUX|Installer|installer|GNU GRUB")
        guest.line.expect("Select a language")
        guest.line.expect("English")


def test_the_menu_of_another_family(tmp_path):
    """Fedora's installer is not at hand: the ISO that Debian makes of GRUB gets its menu, and Debian's kernel."""
    command, image, kernel = str(Path(sys.executable).with_name("imgkit")), tmp_path / "image.iso", tmp_path / "kernel"
    shutil.copyfile(fixture("iso-grub-rescue"), image)
    oracle.run(command, "iso", "extract", fixture("iso-isolinux"), kernel, "/install.amd")
    (kernel / "initrd.gz").rename(kernel / "initrd")
    oracle.run(command, "iso", "add", image, kernel / "vmlinuz", kernel / "initrd", "/images/pxeboot/", "--in-place")
    (tmp_path / "menu").write_text(FEDORA_MENU)
    oracle.run(command, "iso", "add", image, tmp_path / "menu", "/boot/grub/grub.cfg", "--replace", "--in-place")
    oracle.run(command, "console", "enable", image, "--in-place", "--timeout", "5")
    with boot(image, drive=Drive.CD, firmware=Firmware.BIOS, memory="1G") as guest:
        guest.line.expect("GNU GRUB")
        guest.line.expect("Select a language")


AUTOMATED = """default autoinst
prompt 1
timeout 30
label autoinst
	kernel /install.amd/vmlinuz
	append vga=788 initrd=/install.amd/gtk/initrd.gz,/answers.cpio auto=true priority=critical --- quiet
label install
	kernel /install.amd/vmlinuz
	append vga=788 initrd=/install.amd/initrd.gz --- quiet
"""
PRESEED = """d-i debian-installer/locale string en_US.UTF-8
d-i keyboard-configuration/xkb-keymap select us
d-i preseed/early_command string echo "preseed read, $(cat /proc/consoles | cut -d' ' -f1 | head -n 1)" >/dev/console
"""


def test_an_unattended_installation_stays_one_and_is_on_the_line(tmp_path):
    """Its entry has the graphical installer's initial RAM disk, which asks in text where only a serial line is."""
    command, image = str(Path(sys.executable).with_name("imgkit")), tmp_path / "image.iso"
    (tmp_path / "preseed.cfg").write_text(PRESEED)
    (tmp_path / "isolinux.cfg").write_text(AUTOMATED)
    archive = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], input=b"preseed.cfg\n", cwd=tmp_path, capture_output=True, check=True
    )
    (tmp_path / "answers.cpio").write_bytes(archive.stdout)
    shutil.copyfile(fixture("iso-isolinux"), image)
    oracle.run(command, "iso", "add", image, tmp_path / "answers.cpio", "/", "--in-place")
    oracle.run(
        command, "iso", "add", image, tmp_path / "isolinux.cfg", "/isolinux/isolinux.cfg", "--replace", "--in-place"
    )
    done = oracle.run(command, "console", "enable", image, "--in-place", "--json")
    assert json.loads(done.stdout)["announcements"] == []
    with boot(image, drive=Drive.CD, firmware=Firmware.BIOS, memory="1G") as guest:
        guest.line.expect("ISOLINUX")
        guest.line.expect("preseed read, ttyS0")
