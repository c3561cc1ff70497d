"""Command lines of installers, as their own documentation has them."""

from __future__ import annotations

import pytest

from imgkit.configtext.serial import SerialConsole
from imgkit.errors import UnsupportedError, UsageError
from imgkit.installers import Family
from imgkit.installers.commandline import installer_arguments
from imgkit.installers.trees import InstallTree

CONSOLE = SerialConsole(keep_vga=False)


def tree(family, version="40", location="https://mirror.example/os/", kernel="vmlinuz"):
    return InstallTree(location, family, family.value, version, "x86_64", kernel, "initrd.img")


@pytest.mark.parametrize(
    ("installer", "extra", "answers", "line"),
    [
        (Family.DEBIAN, (), "", "--- console=ttyS0,115200n8"),
        (
            *(Family.DEBIAN, ("DEBIAN_FRONTEND=text",), "/preseed.cfg"),
            "auto=true priority=critical preseed/file=/preseed.cfg DEBIAN_FRONTEND=text --- console=ttyS0,115200n8",
        ),
        (
            *(Family.UBUNTU, ("quiet", "---", "splash"), "http://h/p.cfg"),
            "auto=true priority=critical preseed/url=http://h/p.cfg quiet --- splash console=ttyS0,115200n8",
        ),
        (
            *(tree(Family.UBUNTU, kernel="casper/vmlinuz"), (), "http://h/seed"),
            "autoinstall ds=nocloud-net;s=http://h/seed/ --- console=ttyS0,115200n8",
        ),
        (tree(Family.FEDORA), (), "", "inst.repo=https://mirror.example/os/ inst.text console=ttyS0,115200n8"),
        (
            *(tree(Family.FEDORA), ("inst.vnc", "inst.stage2=hd:LABEL=x"), "/ks.cfg"),
            "inst.ks=file:/ks.cfg inst.vnc inst.stage2=hd:LABEL=x console=ttyS0,115200n8",
        ),
        (tree(Family.RHEL, "6.10"), (), "", "method=https://mirror.example/os/ text console=ttyS0,115200n8"),
        (tree(Family.FEDORA, location="/srv/tree"), (), "", "inst.text console=ttyS0,115200n8"),
        (
            *(tree(Family.RHEL, "9.4", "nfs://host/export?version=4"), (), ""),
            "inst.repo=nfs:host:/export inst.text console=ttyS0,115200n8",
        ),
        (
            *(tree(Family.SUSE, "15.6"), (), "/autoinst.xml"),
            "autoyast=file:///autoinst.xml install=https://mirror.example/os/ textmode=1 console=ttyS0,115200n8",
        ),
    ],
)
def test_command_lines(installer, extra, answers, line):
    assert installer_arguments(installer, CONSOLE, extra, answers=answers) == line


def test_the_screen_stays_where_it_is_wished():
    assert installer_arguments(Family.DEBIAN, SerialConsole()) == "--- console=tty0 console=ttyS0,115200n8"


@pytest.mark.parametrize("location", ["https://me:s3cret@mirror.example/os/", "https://mirror.example/os?token=s3cret"])
@pytest.mark.parametrize("family", [Family.FEDORA, Family.SUSE])
def test_no_secret_gets_into_a_command_line(family, location):
    assert "s3cret" not in installer_arguments(tree(family, location=location), CONSOLE)


def test_answers_that_cannot_be_read():
    with pytest.raises(UnsupportedError, match="does not look for its answers"):
        installer_arguments(tree(Family.UBUNTU, kernel="casper/vmlinuz"), CONSOLE, answers="/autoinstall.yaml")
    with pytest.raises(UsageError, match="neither a URL nor an absolute path"):
        installer_arguments(Family.DEBIAN, CONSOLE, answers="preseed.cfg")
