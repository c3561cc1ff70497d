"""`imgkit console enable` on installer ISOs: silent before, at the installer's first page on the serial line after."""

import json
import sys
import time
from pathlib import Path

import pytest

from tests.support import oracle
from tests.support.boot import Drive, Firmware, boot
from tests.support.images import fixture

pytestmark = pytest.mark.boot

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
            done = oracle.run(str(command), "console", "enable", fixture(name), "-o", made[name], "--json")
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
