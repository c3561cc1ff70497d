"""Reading: names, metadata and contents are those that xorriso sees, in every kind of image."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pycdlib
import pytest

from imgkit.errors import PathNotFoundError, TreeError, UnsupportedError
from imgkit.iso.description import describe
from imgkit.iso.directory import Naming
from imgkit.iso.tree import IsoTree
from imgkit.tree import FileType, list_entries
from tests.iso import images
from tests.support import oracle

ALL = [
    *images.MADE,
    *images.THIRD_PARTY,
    *(pytest.param(name, marks=pytest.mark.corpus) for name in images.CORPUS),
]
_LETTERS = {"-": FileType.FILE, "e": FileType.FILE, "d": FileType.DIRECTORY, "l": FileType.LINK}


def walk(tree: IsoTree, path: str = "") -> Iterator[str]:
    for entry in list_entries(tree, path or "/"):
        yield f"{path}/{entry.name}"
        if entry.stat.type is FileType.DIRECTORY:
            yield from walk(tree, f"{path}/{entry.name}")


@pytest.mark.parametrize("name", ALL)
def test_names_metadata_and_contents(name: str, tmp_path: Path) -> None:
    image = images.load(name, tmp_path)
    tree, listed = images.open_tree(image), images.listing(image)
    # Devices have numbers in the place of a size, and are left out of the listing.
    paths = {path for path in walk(tree) if tree.stat(path, follow=False).type in _LETTERS.values()}
    # xorriso shows the boot catalogue, and hidden boot images, by names of its own invention.
    invented = {path for path in listed if path not in paths}
    assert all(re.search("boot.cat|catalog", path) for path in invented), invented
    assert paths <= set(listed)
    extracted = images.sums(image, tmp_path)
    rock_ridge = tree.volume.namespace.naming is Naming.ROCK_RIDGE
    for path in paths:
        found, expected = tree.stat(path, follow=False), listed[path]
        assert found.type is _LETTERS[expected.mode[0]], path
        if rock_ridge:
            assert (found.uid, found.gid) == (expected.uid, expected.gid), path
            assert stat.filemode(found.mode)[1:] == expected.mode[1:], path
        if found.type is FileType.LINK:
            assert tree.readlink(path) == expected.target
        if found.type is FileType.FILE:
            assert found.size == expected.size, path
            if "zisofs" in name and found.size:
                with pytest.raises(UnsupportedError, match="zisofs"):
                    images.whole(tree, path)
            else:
                assert hashlib.sha256(images.whole(tree, path)).hexdigest() == extracted[path], path


@pytest.mark.parametrize("name", ["debian", "deep", "joliet", "plain", *images.THIRD_PARTY])
def test_pycdlib_reads_the_same(name: str, tmp_path: Path) -> None:
    image = images.load(name, tmp_path)
    tree = images.open_tree(image)
    naming = {Naming.ROCK_RIDGE: "rr_path", Naming.JOLIET: "joliet_path", Naming.PLAIN: "iso_path"}
    keyword = naming[tree.volume.namespace.naming]
    other = pycdlib.PyCdlib()
    other.open(str(image))
    compared = 0
    for path in walk(tree):
        if tree.stat(path, follow=False).type is FileType.FILE:
            data = BytesIO()
            spelled = path if keyword != "iso_path" else path + ("." if "." not in Path(path).name else "") + ";1"
            other.get_file_from_iso_fp(data, **{keyword: spelled})
            assert data.getvalue() == images.whole(tree, path), path
            compared += 1
    other.close()
    assert compared


def test_modification_times(tmp_path: Path) -> None:
    image = images.load("debian", tmp_path)
    tree = images.open_tree(image)
    output = oracle.run("xorriso", "-indev", image, "-find", "/boot", "-exec", "mtime_of", "--", check=False).stdout
    extracted = tmp_path / "grub.cfg"
    oracle.run("xorriso", "-osirrox", "on", "-indev", image, "-extract", "/boot/grub/grub.cfg", extracted)
    assert tree.stat("/boot/grub/grub.cfg").mtime == int(extracted.stat().st_mtime), output


def test_links_are_followed_inside_the_tree(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    assert tree.read("/doc/menu") == images.MENU
    assert tree.read("/doc/../doc/./menu") == images.MENU
    assert tree.stat("/doc/menu").type is FileType.FILE
    assert tree.stat("/doc/menu", follow=False).type is FileType.LINK
    with pytest.raises(TreeError, match="not a symbolic link"):
        tree.readlink("/boot")


def test_what_is_not_there(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    assert not tree.exists("/boot/grub/none")
    assert not tree.exists("/none/grub")
    assert not tree.exists("/boot/grub/grub.cfg/none")
    with pytest.raises(PathNotFoundError) as caught:
        tree.read("/boot/none/grub.cfg")
    assert caught.value.hint == "`imgkit ls IMAGE /boot` lists what exists."
    with pytest.raises(TreeError, match="not a regular file"):
        tree.read("/boot")
    with pytest.raises(TreeError, match="not a directory"):
        tree.listdir("/boot/grub/grub.cfg")


def test_names_of_plain_iso_9660(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("plain", tmp_path))
    assert tree.volume.namespace.naming is Naming.PLAIN
    for path in ("/ISOLINUX.CFG", "/isolinux.cfg", "/IsoLinux.Cfg;1", "/isolinux.cfg;1"):
        assert tree.read(path) == b"default install\ntimeout 0\n"


def test_a_directory_too_deep_for_iso_9660(tmp_path: Path) -> None:
    image = images.load("deep", tmp_path)
    tree = images.open_tree(image)
    assert tree.read("/" + "/".join("abcdefghijkl") + "/bottom") == b"at the bottom\n"


@pytest.mark.parametrize("name", ["debian", "ubuntu", "mac", "genisoimage", *images.THIRD_PARTY])
def test_description(name: str, tmp_path: Path) -> None:
    image = images.load(name, tmp_path)
    report = images.boot_report(image)
    described = describe(images.open_tree(image))
    catalog = re.findall(r"El Torito boot img : +(\d+) +(\w+) +(\w) .* (\d+) +(\d+)$", report, re.MULTILINE)
    found = [
        (
            str(each.number),
            each.platform,
            "y" if each.bootable else "n",
            str(each.load_size // 512),
            str(each.start // 2048),
        )
        for each in described.boot_images
    ]
    assert found == catalog
    paths = dict(re.findall(r"El Torito img path : +(\d+)  (.*)$", report, re.MULTILINE))
    assert [paths.get(str(each.number), "") for each in described.boot_images] == list(described.boot_paths)
    for scheme, unit, pattern in (
        ("MBR", 512, r"MBR partition      : +(\d+)   0x.. +0x.. +(\d+) +(\d+)"),
        ("GPT", 512, r"GPT start and size : +(\d+) +(\d+) +(\d+)"),
        ("APM", 2048, r"APM start and size : +(\d+) +(\d+) +(\d+)"),
    ):
        # The Apple partition map is its own first partition, which xorriso leaves out.
        slots = [slot for slot in described.partitions if slot.scheme == scheme and slot.type != "Apple_partition_map"]
        skipped = 1 if scheme == "APM" else 0
        numbers = [(slot.number - skipped, slot.where.start // unit, slot.where.size // unit) for slot in slots]
        assert numbers == [tuple(map(int, each)) for each in re.findall(pattern, report)]
    assert described.hfs_plus == (name == "mac")
    size = oracle.run("isoinfo", "-d", "-i", image).stdout
    assert f"Volume size is: {described.volume_size // 2048}\n" in size


def test_checksums_that_are_carried(tmp_path: Path) -> None:
    image = images.load("debian", tmp_path)
    oracle.run("implantisomd5", image)
    assert describe(images.open_tree(image)).checksums == ("/md5sum.txt", "/sha256sum.txt", "isomd5sum")
    assert describe(images.open_tree(images.load("plain", tmp_path))).checksums == ()
