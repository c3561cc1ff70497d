"""Growth: what follows the volume moves, and every table and boot record says so, as the tools that own them see it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.iso import images
from tests.iso.test_write import edit, edited_file, named, unaffected
from tests.support import oracle

MUCH = 3_000_000


GROWING = [
    *("debian", "ubuntu", "mac", "sessions", "plain", "genisoimage"),
    *images.THIRD_PARTY,
    *(pytest.param(name, marks=pytest.mark.corpus) for name in images.CORPUS if re.search("embed|centos|real/", name)),
]


@pytest.mark.parametrize("name", GROWING)
def test_growth(name: str, tmp_path: Path) -> None:
    image = images.load(name, tmp_path)
    tree = images.open_tree(image)
    path = edited_file(tree)
    edit(tree, path, MUCH)
    new = images.save(tree, tmp_path / "new.iso")
    grown = new.stat().st_size - image.stat().st_size
    assert MUCH <= grown <= MUCH + (2 << 20)
    if image.stat().st_size % (1 << 20) == 0 and tree.volume.tables.mbr:
        assert new.stat().st_size % (1 << 20) == 0
    before, after = images.sums(image, tmp_path), images.sums(new, tmp_path)
    changed = {each for each in before if before[each] != after[each]} - {"/md5sum.txt", "/sha256sum.txt"}
    # The catalogue changes where it names an appended partition, which has moved.
    assert {each for each in changed if "boot.cat" not in each} == {path}
    old_report, new_report = images.boot_report(image), images.boot_report(new)
    assert unaffected(old_report) == unaffected(new_report)
    # Every number of sectors in the report is the old one, or is larger by what the image has grown.
    pairs = zip(*(re.findall(r"\d+", named(report)) for report in (old_report, new_report)), strict=True)
    assert {int(there) - int(here) for here, there in pairs} <= {0, grown // 512, grown // 2048}


@pytest.mark.parametrize("name", ["debian", "ubuntu", "mac"])
def test_gpt_is_valid_in_both_copies(name: str, tmp_path: Path) -> None:
    image = images.load(name, tmp_path)
    tree = images.open_tree(image)
    edit(tree, "/boot/grub/grub.cfg", MUCH)
    new = images.save(tree, tmp_path / "new.iso")

    def problems(path: Path) -> list[str]:
        said = oracle.run("sgdisk", "-v", path, check=False).stdout
        found = [line for line in said.splitlines() if re.search("problem|[Cc]aution|CRC|overlap", line)]
        return [re.sub(r"\d.*", "", line) for line in found if "Identified" not in line]

    # xorriso's own tables are not free of complaints: isohybrid has its partitions overlap.
    assert problems(new) == problems(image)
    tables = tree.volume.tables
    assert tables.gpt is not None
    assert tables.gpt.backup is not None
    assert tables.gpt.backup.my_lba == new.stat().st_size // 512 - 1
    # Without the primary copy, gdisk rebuilds the same from the backup.
    damaged = bytearray(new.read_bytes())
    damaged[512:1024] = bytes(512)
    broken = tmp_path / "broken.iso"
    broken.write_bytes(damaged)
    listed = [oracle.run("sgdisk", "-p", path, check=False).stdout.split("Number")[-1] for path in (new, broken)]
    assert listed[0] == listed[1]


def test_an_appended_partition_moves_whole(tmp_path: Path) -> None:
    image = images.load("ubuntu", tmp_path)
    tree = images.open_tree(image)
    edit(tree, "/boot/grub/grub.cfg", 10_000)
    new = images.save(tree, tmp_path / "new.iso")
    table = json.loads(oracle.run("sfdisk", "--json", new).stdout)["partitiontable"]
    first, esp, gap = table["partitions"]
    assert first["start"] + first["size"] == esp["start"]
    assert esp["start"] + esp["size"] == gap["start"]
    where = f"{new}@@{esp['start'] * 512}"
    assert oracle.run("mtype", "-i", where, "::/EFI/debian/grub.cfg").stdout.encode() == images.INNER_MENU
    (tmp_path / "esp").write_bytes(new.read_bytes()[esp["start"] * 512 :][: esp["size"] * 512])
    oracle.run("fsck.vfat", "-n", tmp_path / "esp")


def test_cylinders_keep_the_geometry_of_isohybrid(tmp_path: Path) -> None:
    """Of 64 heads and 32 sectors, of which each cylinder has 1 MiB: the last sector is the last of its cylinder."""
    tree = images.open_tree(images.load("debian", tmp_path))
    cylinders = tree.volume.device.size >> 20
    assert tree.volume.device.read_at(446 + 5, 3) == bytes((63, 32, cylinders - 1))
    edit(tree, "/boot/grub/grub.cfg", MUCH)
    cylinders = tree.volume.device.size >> 20
    assert tree.volume.device.read_at(446 + 5, 3) == bytes((63, 32, cylinders - 1))


def test_slack_behind_the_volume_is_taken_in_first(tmp_path: Path) -> None:
    """ipxe.iso is padded to a whole number of cylinders behind the end of its volume."""
    image = images.load("/usr/lib/ipxe/ipxe.iso", tmp_path)
    tree = images.open_tree(image)
    edit(tree, "/isolinux.cfg", 330_000)
    new = images.save(tree, tmp_path / "new.iso")
    assert new.stat().st_size == image.stat().st_size
    assert "MBR partition      :   1   0x80  0x17            0         4096" in images.boot_report(new)


def test_many_edits_share_what_one_has_added(tmp_path: Path) -> None:
    image = images.load("debian", tmp_path)
    tree = images.open_tree(image)
    for path in ("/boot/grub/grub.cfg", "/isolinux/isolinux.cfg", "/.disk/info"):
        edit(tree, path, 350_000)
    new = images.save(tree, tmp_path / "new.iso")
    assert new.stat().st_size == image.stat().st_size + (1 << 20)
    assert set(images.sums(image, tmp_path)) == set(images.sums(new, tmp_path))
