"""`imgkit vm` where it refuses, and what it would do; with libvirt's mock, and nothing booted."""

import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.cli.command import imgkit, snapshot
from tests.cli.machines import MOCK, refused
from tests.cli.test_json import check
from tests.support import oracle
from tests.support.images import private_copy
from tests.support.session import own_session

pytestmark = pytest.mark.boot  # needs libvirt's binding, which is not everywhere


def test_a_machine_is_made_from_a_tree_and_its_installer_starts_behind_its_disk(home, mirror):
    done = imgkit("vm", "install", "mine", "--location", mirror, "--disk", "size=1G", *MOCK, "--json")
    assert (done.status, done.stderr) == (0, "")
    made = done.json
    check(dict(made), "vm-install/1", whole=False)
    assert made["kernel"]["verified"]
    assert made["kernel"]["arguments"].endswith("--- console=tty0 console=ttyS0,115200n8")
    (disk,) = made["disks"]
    assert disk == {"path": str(home / "data/libvirt/images/mine.qcow2"), "format": "qcow2", "created": True}
    assert Path(disk["path"]).exists()
    drives = ET.fromstring(made["xml"]).findall("devices/disk")
    order = {drive.get("device"): drive.find("boot").get("order") for drive in drives}
    assert order == {"disk": "1", "cdrom": "2"}
    cd = next(drive for drive in drives if drive.get("device") == "cdrom").find("source").get("file")
    assert "INSTALLER" in oracle.run("isoinfo", "-d", "-i", cd).stdout


@pytest.mark.parametrize("words", [("--uefi",), ("--disk", "path=used.img")])
def test_where_the_boot_order_cannot_help_the_kernel_is_started_directly(home, kernel, words):
    (home / "used.img").write_bytes(bytes(510) + b"\x55\xaa" + bytes(1 << 20))
    more = () if "--disk" in words else ("--disk", "size=1G")
    done = imgkit("vm", "install", "mine", *kernel, *words, *more, *MOCK, "--dry-run", cwd=home)
    assert done.status == 0
    domain = ET.fromstring(done.text)
    assert domain.findtext("os/kernel")
    assert domain.findtext("on_reboot") == "destroy"


@pytest.mark.parametrize(("words", "on_reboot"), [((), "restart"), (("--uefi",), "destroy")])
def test_a_later_disk_with_a_system_matters_to_uefi_only(home, words, on_reboot):
    (home / "used.img").write_bytes(bytes(510) + b"\x55\xaa" + bytes(1 << 20))
    (home / "x.iso").write_bytes(b"any")
    disks = ("--disk", "size=1G", "--disk", f"path={home}/used.img")
    made = ("vm", "install", "mine", "--cdrom", home / "x.iso", "--no-enable", *disks, *words, *MOCK, "--dry-run")
    assert ET.fromstring(imgkit(*made).text).findtext("on_reboot") == on_reboot


def test_a_machine_that_nobody_could_start_again_is_not_begun(home, kernel):
    (home / "used.img").write_bytes(bytes(510) + b"\x55\xaa" + bytes(1 << 20))
    words = ("install", "mine", *kernel, "--disk", f"path={home}/used.img", *MOCK)  # the mock is each process's own
    done = imgkit("vm", *words)
    assert done.status == 14
    assert "no process could be started" in done.stderr
    assert list((home / "cache/imgkit/install").iterdir()) == []


def test_another_architecture_is_emulated_with_a_console_of_its_own(home, kernel):
    done = imgkit("vm", "install", "mine", *kernel, "--arch", "arm64", "--disk", "size=1G", *MOCK, "--dry-run")
    domain = ET.fromstring(done.text)
    assert domain.find("os/type").attrib == {"arch": "aarch64", "machine": "virt"}
    assert "console=ttyAMA0" in domain.findtext("os/cmdline")


def test_a_dry_run_makes_no_machine_and_no_disk(home, mirror):
    words = ("vm", "install", "mine", "--location", mirror, "--disk", "size=1G", *MOCK, "--dry-run")
    done = imgkit(*words)
    assert done.status == 0
    (home / "domain.xml").write_text(done.text)
    oracle.run("virt-xml-validate", home / "domain.xml", "domain")
    assert not (home / "data").exists()
    assert not (home / "cache/imgkit/install").exists()
    assert imgkit(*words, "--json").json["xml"] == done.text


def test_answers_and_files_go_into_the_initial_ram_disk(home, mirror):
    (home / "preseed.cfg").write_text("d-i debian-installer/locale string C\n")
    (home / "late.sh").write_text("#!/bin/sh\n")
    words = ("--answers", home / "preseed.cfg", "--inject", home / "late.sh", "--extra-args", "DEBCONF_DEBUG=5")
    done = imgkit("vm", "install", "mine", "--location", mirror, "--disk", "size=1G", *words, *MOCK, "--json")
    assert done.status == 0, done.stderr
    arguments = done.json["kernel"]["arguments"]
    assert "preseed/file=/preseed.cfg" in arguments
    assert "DEBCONF_DEBUG=5" in arguments
    (cd,) = (home / "cache/imgkit/install").iterdir()  # and no initial RAM disk beside it
    data = cd.read_bytes()
    assert b"debian-installer/locale string C" in data
    assert b"late.sh" in data


def test_a_disk_gets_its_console_and_can_be_taken_back(home):
    image = private_copy("small-qcow2", home)
    before = image.read_bytes()
    done = imgkit("vm", "import", "mine", image, *MOCK)
    assert done.status == 0, done.stderr
    assert "serial console enabled in place" in done.stderr
    undo = image.with_name(f"{image.name}.undo")
    assert str(undo) in done.stderr
    assert imgkit("console", "status", image).status == 0
    again = imgkit("vm", "import", "mine", image, *MOCK, "--json").json
    check(dict(again), "vm-import/1", whole=False)
    assert again["enabled"] is None
    assert imgkit("undo", image, undo).status == 0
    assert image.read_bytes() == before


def test_a_disk_is_left_alone_if_that_is_wanted_or_nothing_is_made(home):
    image = private_copy("small-qcow2", home)
    before = snapshot(home)
    assert imgkit("vm", "import", "mine", image, "--no-enable", *MOCK).status == 0
    assert imgkit("vm", "install", "mine", "--import", image, "--dry-run", *MOCK).status == 0
    assert snapshot(home) == before


def test_a_machine_that_cannot_start_takes_its_console_back(home):
    image = private_copy("small-qcow2", home)
    before = image.read_bytes()
    with own_session():
        done = imgkit("vm", "import", "mine", image, "--network", "bridge=absent0", "--no-console")
        assert imgkit("vm", "list", "--json").json["machines"] == []
    assert done.status == 14
    assert "cannot be started" in done.stderr
    assert "--network user" in done.stderr
    assert image.read_bytes() == before
    assert [path.name for path in home.iterdir()] == [image.name]


def test_an_iso_is_started_from_a_copy_with_a_console(home):
    image = private_copy("iso-debian", home)
    before = image.read_bytes()
    words = ("vm", "install", "mine", "--cdrom", image, "--disk", "size=1G", *MOCK)
    before_all = snapshot(home)
    tried = imgkit(*words, "--dry-run")
    assert tried.status == 0, tried.stderr
    assert snapshot(home) == before_all
    assert "dry run: nothing was created" in tried.stderr
    (named,) = ET.fromstring(tried.text).findall("devices/disk[@device='cdrom']/source")
    assert f"{named.get('file')}, a copy of {image} with a serial console" in tried.stderr
    done = imgkit(*words)
    assert done.status == 0, done.stderr
    (copy,) = (home / "cache/imgkit/iso").iterdir()
    assert str(copy) == named.get("file")
    assert str(copy) in done.stderr
    assert imgkit("console", "status", copy).status == 0
    assert image.read_bytes() == before
    made = copy.stat().st_mtime_ns
    (home / "data/libvirt/images/mine.qcow2").unlink()
    again = imgkit(*words, "--json")
    assert again.status == 0, again.text
    assert again.json["cdrom"] == str(copy)
    assert copy.stat().st_mtime_ns == made
    (home / "data/libvirt/images/mine.qcow2").unlink()
    as_it_is = imgkit(*words, "--no-enable", "--dry-run", "--json").json
    assert as_it_is["cdrom"] == str(image)


def test_an_iso_as_a_location_is_in_a_drive_too(home):
    image = private_copy("iso-debian", home)
    done = imgkit("vm", "install", "mine", "--location", image, "--disk", "size=1G", *MOCK, "--dry-run")
    assert done.status == 0, done.stderr
    drives = ET.fromstring(done.text).findall("devices/disk")
    order = {drive.find("source").get("file"): drive.find("boot") is not None for drive in drives}
    assert order[str(image)] is False
    assert sorted(order.values()) == [False, True, True]


def test_lists_of_the_mock():
    done = imgkit("vm", "list", "--connect", "test:///default", "--json")
    check(dict(done.json), "vm-list/1")
    for name, words in (("vm-start", ["start"]), ("vm-stop", ["stop", "--force"])):
        done = imgkit("vm", *words, "test", "--connect", "test:///default", "--json")
        assert done.status == 0
        check(dict(done.json), f"{name}/1")
        assert done.json["changed"] is (name == "vm-stop")


# What is refused: one message with the way out, and nothing is left.


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        ([], "starts from one of", "Give one"),
        (["--location", "x", "--cdrom", "y", "--disk", "size=1G"], "starts from one of", "Give one"),
        (["--location", "x"], "no disk to install to", "--disk size=8G"),
        (["--location", "x", "--disk", "8G"], "is not understood", "size=8G"),
        (["--cdrom", "x", "--disk", "size=1G", "--extra-args", "y"], "takes answers, files and arguments", "iso add"),
        (["--location", "x", "--disk", "size=1G", "--network", "tap"], "unknown network", "bridge=NAME"),
        (["--location", "x", "--disk", "size=1G", "--expect", "("], "regular expression", "Escape"),
        (["--location", "x", "--disk", "size=1G", "--log", "/not/there/log"], "no such directory", "Create it"),
        (["--kernel", "x", "--disk", "size=1G"], "--initrd", "both"),
    ],
)
def test_words_that_make_no_sense(home, words, says, hint):
    refused(home, "install", "mine", *words, *MOCK, status=2, says=says, hint=hint)


def test_a_taken_name(home, kernel):
    words = ("install", "test", *kernel, "--disk", "size=1G", *MOCK)
    refused(home, *words, status=14, says="a machine called test already exists", hint="vm remove test")


def test_more_memory_than_there_is(home, kernel):
    words = ("install", "mine", *kernel, "--disk", "size=1G", "--memory", "99999999")
    refused(home, *words, *MOCK, status=14, says="more than the", hint="--memory")
    assert imgkit("vm", "list", "--connect", "test:///default", "--json").json["machines"][0]["name"] == "test"


def test_too_little_memory_for_the_installer(home, kernel):
    done = imgkit("vm", "install", "mine", *kernel, "--disk", "size=1G", "--memory", "64", *MOCK)
    assert done.status == 14
    assert "no room for the kernel" in done.stderr
    assert list((home / "data/libvirt/images").iterdir()) == []
    assert list((home / "cache/imgkit/install").iterdir()) == []


def test_a_disk_that_exists_and_one_that_does_not(home, kernel):
    (home / "there.qcow2").write_bytes(b"precious")
    words = ("install", "mine", *kernel, *MOCK, "--disk")
    refused(home, *words, f"path={home}/there.qcow2,size=1G", status=8, says="no disk is overwritten", hint="path=")
    refused(home, *words, f"path={home}/absent.qcow2", status=2, says="no such file", hint="size=8G")


def test_a_kernel_without_an_end(home, kernel):
    (home / "kernel").write_bytes(b"")
    os.truncate(home / "kernel", 5 << 30)
    words = ("install", "mine", "--kernel", home / "kernel", "--initrd", home / "initrd", "--disk", "size=1G")
    done = imgkit("vm", *words, *MOCK)
    assert done.status == 13
    assert "larger than" in done.stderr
    assert not (home / "data").exists()


def test_a_disk_in_use(home):
    image = private_copy("small-qcow2", home)
    with subprocess.Popen([oracle.find("qemu-io"), image], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b"read 0 512\n")
        process.stdin.flush()
        assert b"read" in process.stdout.readline()
        refused(home, "import", "mine", image, *MOCK, status=6, says="in use", hint="Shut")
        process.stdin.close()


def test_a_disk_without_a_system(home):
    disk = home / "empty.img"
    disk.write_bytes(bytes(1 << 20))
    refused(home, "import", "mine", disk, *MOCK, status=5, says="cannot be enabled", hint="--no-enable")
    refused(
        home, "install", "mine", "--cdrom", disk, "--disk", "none", *MOCK, status=3, says="not an ISO", hint="--import"
    )
