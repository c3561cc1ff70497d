"""The whole way: an ISO opened as a host file, edited, committed in place and to a new file, and taken back."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from imgkit.configtext.serial import SerialConsole
from imgkit.formats.image import Image, open_image
from imgkit.installers import recipe
from imgkit.iso.detection import is_iso
from imgkit.iso.tree import IsoTree
from imgkit.iso.volume import IsoVolume
from imgkit.storage import commit
from imgkit.storage.output import InPlace, NewFile, deliver
from imgkit.tree import apply_changes
from tests.iso import images

MTIME = 1_700_000_000_000_000_000


def tree_of(image: Image) -> IsoTree:
    assert is_iso(image.overlay)
    return IsoTree(IsoVolume.open(image.overlay, str(image.path)), now=images.NOW)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [100, 100_000, 3_000_000])
@pytest.mark.parametrize("name", ["debian", "ubuntu", "/usr/lib/ipxe/ipxe.iso"])
def test_there_and_back(name: str, size: int, tmp_path: Path) -> None:
    path = images.load(name, tmp_path)
    before = sha256(path)
    menu = "/isolinux.cfg" if "ipxe" in name else "/boot/grub/grub.cfg"
    new, undo = tmp_path / "new.iso", tmp_path / "undo"
    for destination in (NewFile(new), InPlace()):
        in_place = isinstance(destination, InPlace)
        with open_image(path, writable=in_place) as image:
            tree = tree_of(image)
            tree.write(menu, b"m" * size)
            tree.finish()
            deliver(image.host, image.plan(), destination, mtime_ns=MTIME, undo=undo if in_place else None)
    assert sha256(path) == sha256(new) != before
    assert images.open_tree(path).read(menu) == b"m" * size
    commit.undo(path, undo, mtime_ns=MTIME)
    assert sha256(path) == before


@pytest.mark.parametrize("name", ["debian", "ubuntu", "mac"])
def test_a_recipe_reaches_every_menu(name: str, tmp_path: Path) -> None:
    """Menus of the volume and in FAT images, with what they have in common: all is in order at the end."""
    path = images.load(name, tmp_path)
    tree = images.open_tree(path)
    (root,) = tree.boot_roots()
    tree.write(f"{root}/EFI/debian/grub.cfg", images.MENU)
    tree.finish()
    tree = images.open_tree(images.save(tree, tmp_path / "prepared.iso"))
    console = SerialConsole("ttyS0")
    changes = recipe.enable(tree, console, roots=tree.boot_roots())
    assert {change.path for change in changes} >= {"/boot/grub/grub.cfg", f"{root}/EFI/debian/grub.cfg"}
    apply_changes(tree, changes)
    tree.finish()
    again = images.open_tree(images.save(tree, tmp_path / "new.iso"))
    assert recipe.enable(again, console, roots=again.boot_roots()) == []
    assert images.boot_report(tmp_path / "new.iso") == images.boot_report(path)
