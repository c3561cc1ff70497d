"""Answer files on media of several families: what entries hear, what stays, and what is refused."""

import pytest

from imgkit.bootloaders.grub2.loader import kernels
from imgkit.configtext.kernelargs import texts
from imgkit.errors import TreeError, UnsupportedError, UsageError
from imgkit.installers import AnswerKind
from imgkit.installers.answering import AnswerFile, put
from imgkit.treeedits import TreeEdits
from tests.support.memorytree import MemoryTree

PRESEED = b"#_preseed_V1\nd-i debian-installer/locale string C\nd-i passwd/root-password password secret\n"
KICKSTART = b"# made by hand\nlang en_US\nrootpw --plaintext secret\nclearpart --all\n%packages\n%end\n"
AUTOYAST = b'<?xml version="1.0"?>\n<!DOCTYPE profile>\n<profile xmlns="http://www.suse.com/1.0/yast2ns">\n</profile>\n'
AUTOINSTALL = b"#cloud-config\nautoinstall:\n  version: 1\n"
PLAIN_AUTOINSTALL = b"# bare\nversion: 1\nidentity: {hostname: a}\n"
AGAMA = b'{"product": {"id": "Tumbleweed"}, "root": {"password": "secret"}}\n'
IGNITION = b'{"ignition": {"version": "3.4.0"}}\n'

MENU = """set timeout=7
set default=0
menuentry 'Install' {
  linux /KERNEL vga=788 own=1 --- quiet
}
menuentry 'Rescue' {
  linux /KERNEL rescue inst.rescue rescue/enable=true --- quiet
}
menuentry 'Live' {
  linux /KERNEL boot=live components
}
"""
MEDIA = {
    "debian": {"/.disk/cd_type": "x"},
    "anaconda": {"/images/install.img": "x"},
    "suse": {"/media.1/media": "x"},
    "ubuntu": {"/casper/vmlinuz": "x"},
    "alpine": {"/.alpine-release": "alpine-3.20"},
    "coreos": {"/coreos/features.json": "{}"},
}


def answered(family, data, *, menu=MENU, files=None, **more):
    """The edits, and the arguments of each entry by its title."""
    edits = TreeEdits(MemoryTree({"/boot/grub/grub.cfg": menu} | MEDIA[family] | (files or {})))
    conclude = put(edits, AnswerFile(data, **more), label="My CD")
    conclude()
    return edits, {kernel.title: texts(kernel.arguments) for kernel in kernels(edits, "/boot/grub/grub.cfg")}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PRESEED, AnswerKind.PRESEED),
        (b"tasksel tasksel/first multiselect standard\n", AnswerKind.PRESEED),
        (KICKSTART, AnswerKind.KICKSTART),
        (AUTOYAST, AnswerKind.AUTOYAST),
        (AUTOINSTALL, AnswerKind.AUTOINSTALL),
        (PLAIN_AUTOINSTALL, AnswerKind.AUTOINSTALL),
        (AGAMA, AnswerKind.AGAMA),
        (IGNITION, AnswerKind.IGNITION),
    ],
)
def test_a_file_is_known_by_its_contents(data, kind):
    assert AnswerFile(data).kind is kind


@pytest.mark.parametrize("data", [b"", b"hello\n", b"\0\1\2", b"#cloud-config\nusers: []\n", b"#!/bin/sh\nexit 0\n"])
def test_what_answers_no_installer_is_refused(data):
    with pytest.raises(UsageError, match="neither a preseed"):
        AnswerFile(data)


@pytest.mark.parametrize(
    ("family", "data", "path", "words"),
    [
        ("debian", PRESEED, "/preseed.cfg", ("auto=true", "priority=critical", "preseed/file=/cdrom/preseed.cfg")),
        ("anaconda", KICKSTART, "/ks.cfg", (r"inst.ks=hd:LABEL=My\x20CD:/ks.cfg",)),
        ("suse", AUTOYAST, "/autoinst.xml", ("autoyast=cd:/autoinst.xml",)),
        ("ubuntu", AUTOINSTALL, "/nocloud/user-data", ("autoinstall", "ds=nocloud;s=/cdrom/nocloud/")),
    ],
)
def test_entries_that_install_are_told_and_keep_what_they_had(family, data, path, words):
    edits, told = answered(family, data)
    assert told["Install"] == ("vga=788", "own=1", *words, "---", "quiet")
    assert told["Rescue"] == ("rescue", "inst.rescue", "rescue/enable=true", "---", "quiet")
    if family != "ubuntu":  # whose installer is a live system
        assert told["Live"] == ("boot=live", "components")
    assert edits.read(path) == data
    assert "ERASES disks without asking" in edits.announcements[0]
    assert "'Install'" in edits.announcements[0]
    assert edits.announcements[1:] == ["/boot/grub/grub.cfg: 'Install' is the default, and erases after 7 seconds."]
    assert all("secret" not in change.diff() for change in edits.changes())
    after = edits.text("/boot/grub/grub.cfg")
    again, _ = answered(family, data, menu=after, files={path: data})
    assert again.text("/boot/grub/grub.cfg") == after, "twice is once"


def test_grub_hears_the_semicolon():
    edits, _ = answered("ubuntu", AUTOINSTALL)
    assert 'ds="nocloud;s=/cdrom/nocloud/"' in edits.text("/boot/grub/grub.cfg")
    assert edits.read("/nocloud/meta-data") == b""


def test_a_bare_autoinstall_file_becomes_user_data():
    edits, _ = answered("ubuntu", PLAIN_AUTOINSTALL)
    expected = b"#cloud-config\nautoinstall:\n  # bare\n  version: 1\n  identity: {hostname: a}\n"
    assert edits.read("/nocloud/user-data") == expected


@pytest.mark.parametrize(
    ("family", "data", "told"),
    [
        ("debian", KICKSTART, "a kickstart, which debian does not read"),
        ("suse", PRESEED, "a preseed, which suse does not read"),
        ("alpine", PRESEED, "does not read"),
        ("suse", AGAMA, "Agama profile is not supported on an ISO"),
        ("coreos", IGNITION, "Ignition config is not supported on an ISO"),
    ],
)
def test_what_the_medium_does_not_read_is_refused(family, data, told):
    with pytest.raises(UnsupportedError, match=told):
        answered(family, data)


def test_a_medium_that_its_installer_does_not_mount_is_refused():
    edits = TreeEdits(MemoryTree({"/boot/grub/grub.cfg": MENU, "/.disk/mini-info": "x"}))
    with pytest.raises(UnsupportedError, match="does not mount its own medium"):
        put(edits, AnswerFile(PRESEED), label="x")


def test_a_file_that_is_there_stays_unless_it_may_go():
    files = {"/preseed.cfg": "d-i other/question string x\n"}
    with pytest.raises(TreeError, match="exists with other contents"):
        answered("debian", PRESEED, files=files)
    edits, _ = answered("debian", PRESEED, files=files, replace=True)
    assert edits.read("/preseed.cfg") == PRESEED


def test_without_an_entry_that_installs_nothing_is_done():
    with pytest.raises(UnsupportedError, match="no boot menu entry"):
        answered("debian", PRESEED, menu="menuentry 'Live' {\n linux /vmlinuz boot=live\n}\n")
