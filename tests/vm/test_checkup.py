"""What doctor says of this machine's libvirt and firmware: all is there; and then parts of it are hidden."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imgkit.vm.checkup import check_firmware
from tests.cli.command import imgkit
from tests.support import oracle

pytestmark = pytest.mark.boot  # needs libvirt's binding

DESCRIPTORS = Path("/usr/share/qemu/firmware")
STARTS = """
from imgkit.vm.connection import connect, embedded
from imgkit.vm.machine import powered_on
from imgkit.vm.spec import Firmware, Network, NetworkKind, VmSpec
with embedded() as uri, connect(uri) as connection:
    spec = VmSpec("x", 64, firmware=Firmware.UEFI, network=Network(NetworkKind.NONE))
    with powered_on(connection, spec) as machine:
        print(machine.domain.XMLDesc())
"""


def doctor(**env):
    return {finding["part"]: finding for finding in imgkit("doctor", "--json", env=env).json["findings"]}


def missing(findings):
    assert all(finding["remedy"] for finding in findings.values() if not finding["ok"])
    return {part for part, finding in findings.items() if not finding["ok"]}


def test_finds_everything_that_the_suite_needs():
    findings = doctor()
    assert missing(findings) == set()
    assert {"libvirt binding", "libvirt session", "libvirt embedded", "UEFI firmware", "Secure Boot"} <= findings.keys()
    version = oracle.run("virsh", "--version").stdout.strip()
    assert findings["libvirt binding"]["message"] == f"libvirt {version}"
    assert "QEMU" in findings["libvirt session"]["message"]


def test_programs_that_are_hidden(tmp_path):
    findings = doctor(PATH=str(tmp_path))
    assert {"QEMU", "qemu-img", "nfs-cat", "libvirt embedded"} <= missing(findings)
    assert findings["libvirt binding"]["ok"]
    assert "no emulator" in findings["libvirt embedded"]["message"]


def test_a_binding_that_does_not_load(tmp_path):
    """As that of another Python's: the file is there."""
    (tmp_path / "libvirt.py").write_text("raise ImportError('libvirt.so.0: cannot open shared object file')\n")
    findings = doctor(PYTHONPATH=str(tmp_path))
    assert missing(findings) == {"libvirt binding"}
    assert "libvirt.so.0" in findings["libvirt binding"]["message"]
    assert "libvirt session" not in findings


def test_a_daemon_that_does_not_start(tmp_path):
    findings = doctor(XDG_RUNTIME_DIR=str(tmp_path), LIBVIRTD_PATH="/bin/false")
    assert missing(findings) == {"libvirt session"}
    assert "verify" in findings["libvirt session"]["remedy"]


@pytest.fixture
def own(tmp_path):
    """A user's folder of descriptors, in which empty files hide the system's."""
    folder = tmp_path / "qemu" / "firmware"
    folder.mkdir(parents=True)
    for path in DESCRIPTORS.glob("*.json"):
        (folder / path.name).write_text("")
    return folder


@pytest.fixture
def looked(own, monkeypatch):
    """What is said of the firmware."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own.parent.parent))
    return lambda: {finding.part: finding for finding in check_firmware()}


def starts(own):
    """What libvirt makes of the same: the code that it starts with, or its complaint."""
    env = os.environ | {"XDG_CONFIG_HOME": str(own.parent.parent)}
    done = subprocess.run([sys.executable, "-c", STARTS], env=env, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else done.stderr


def test_firmware_that_is_hidden(own):
    findings = doctor(XDG_CONFIG_HOME=str(own.parent.parent))
    assert missing(findings) == {"UEFI firmware", "Secure Boot"}
    assert "Unable to find any firmware" in starts(own)


def test_firmware_of_the_users_own_as_the_remedy_says(own, looked, tmp_path):
    for name in ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"):
        shutil.copy(Path("/usr/share/OVMF", name), tmp_path)
    text = (DESCRIPTORS / "60-edk2-x86_64.json").read_text()
    (own / "60-edk2-x86_64.json").write_text(text.replace("/usr/share/OVMF", str(tmp_path)))
    assert str(own) in looked()["Secure Boot"].remedy
    assert looked()["UEFI firmware"].ok
    assert str(tmp_path / "OVMF_CODE_4M.fd") in starts(own)
    (tmp_path / "OVMF_VARS_4M.fd").unlink()
    assert not looked()["UEFI firmware"].ok


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"interface-types": 7}', '{"interface-types": ["uefi"]}', "[" * 100_000, "\0", '"uefi"']
)
def test_descriptors_that_are_none_are_passed_over(own, looked, text):
    (own / "00-broken.json").write_text(text)
    assert not looked()["UEFI firmware"].ok
    (own / "60-edk2-x86_64.json").unlink()
    assert looked()["UEFI firmware"].message == "60-edk2-x86_64.json"


def test_a_descriptor_of_another_machine_does_not_count(own, looked):
    told = json.loads((DESCRIPTORS / "60-edk2-x86_64.json").read_text())
    told["targets"][0]["machines"] = ["pc-i440fx-*"]
    (own / "60-edk2-x86_64.json").write_text(json.dumps(told))
    assert not looked()["UEFI firmware"].ok
