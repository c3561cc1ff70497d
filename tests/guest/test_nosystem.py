"""What an image without an installed Linux is said to be."""

from __future__ import annotations

import pytest

from imgkit.editing import ImageSource, opened
from imgkit.errors import NoRootError
from tests.support import oracle
from tests.support.guests import Part, make_disk


def told(path):
    with pytest.raises(NoRootError) as caught, opened(ImageSource(path)):
        pass
    assert caught.value.image == str(path)
    return f"{caught.value} / {caught.value.hint}"


@pytest.mark.parametrize(
    ("contents", "what"),
    [
        (b"", "it is empty (0 bytes) / Download the image again."),
        (bytes(1 << 16), "it is blank / Install"),
        (bytes(2 << 20) + b"x", "it is blank: its first MiB holds nothing but zeros / Install"),
        (b"I am a letter, not a disk.\n" * 100, "no partition table, no file system and no ISO volume"),
        (bytes(range(1, 256)) * 5000, "no partition table, no file system and no ISO volume"),
        (b"<!DOCTYPE html><html><body>404", "it is a web page: the download went wrong"),
        (b"\x7fELF" + bytes(5000), "it is a program"),
        (bytes(32769) + b"BEA01" + bytes(2043) + b"NSR02" + bytes(99999), "it is a UDF volume without ISO 9660"),
    ],
)
def test_files_that_hold_no_disk(tmp_path, contents, what):
    path = tmp_path / "x.img"
    path.write_bytes(contents)
    assert what in told(path)


def test_an_iso_in_a_disk_image(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_bytes(b"a")
    oracle.run("xorriso", "-as", "mkisofs", "-quiet", "-o", tmp_path / "a.iso", tmp_path / "tree")
    path = tmp_path / "a.qcow2"
    oracle.run("qemu-img", "convert", "-O", "qcow2", tmp_path / "a.iso", path)
    assert "it is an ISO inside a qcow2 image / Make a plain ISO of it first: `qemu-img convert -O raw" in told(path)


def partitioned(path, script):
    path.write_bytes(bytes(8 << 20))
    oracle.run("sfdisk", "-q", path, text_in=script)
    return path


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("label: dos\ntype=a5\n", "it is a FreeBSD disk"),
        ("label: dos\ntype=a6\n", "it is an OpenBSD disk"),
        ("label: gpt\ntype=516E7CB6-6ECF-11D6-8FF8-00022D09712B\n", "it is a FreeBSD disk"),
        ("label: gpt\ntype=824CC7A0-36A8-11E3-890A-952519AD3F61\n", "it is an OpenBSD disk"),
        ("label: gpt\ntype=49F48D5A-B10E-11DC-B99B-0019D1879648\n", "it is a NetBSD disk"),
    ],
)
def test_disks_of_other_systems(tmp_path, script, what):
    said = told(partitioned(tmp_path / "bsd.img", script))
    assert what in said
    assert "/etc/boot.conf (OpenBSD)" in said


def test_a_windows_disk(tmp_path):
    path = partitioned(tmp_path / "win.img", "label: dos\ntype=7\n")
    volume = tmp_path / "ntfs"
    volume.write_bytes(bytes(6 << 20))
    oracle.run("mkfs.ntfs", "-F", "-q", volume)
    data = bytearray(path.read_bytes())
    data[1 << 20 : (1 << 20) + (6 << 20)] = volume.read_bytes()
    path.write_bytes(data)
    assert "it is a Windows disk" in told(path)


def test_a_disk_with_files_and_no_system_says_no_more(tmp_path):
    path = make_disk(tmp_path / "disk.img", [Part("ext4", {"/photos/1.jpg": b"x"})])
    assert told(path).startswith("no root file system was found / `imgkit inspect` shows")
