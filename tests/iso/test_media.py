"""Checksums that an ISO carries: right after an edit, as md5sum, sha256sum and checkisomd5 see it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from imgkit.errors import FormatError
from imgkit.iso import layout, media
from tests.iso import images
from tests.support import oracle

EFI_IMAGE = "/boot/grub/efi.img"


def extract(image: Path, folder: Path) -> Path:
    target = folder / "tree"
    oracle.run("xorriso", "-osirrox", "on:auto_chmod_on", "-indev", image, "-extract", "/", target)
    return target


@pytest.mark.parametrize(
    "path", ["/boot/grub/grub.cfg", "/doc/a second name", "/doc/menu", f"{EFI_IMAGE}/EFI/debian/grub.cfg"]
)
@pytest.mark.parametrize("size", [10, 5000])
def test_lists_are_right(path: str, size: int, tmp_path: Path) -> None:
    image = images.load("debian", tmp_path)
    tree = images.open_tree(image)
    tree.write(path, b"x" * size)
    tree.write(path, b"y" * size)  # the sum before the first edit counts
    tree.finish()
    target = extract(images.save(tree, tmp_path / "new.iso"), tmp_path)
    for tool in ("md5sum", "sha256sum"):
        checked = oracle.run("sh", "-c", f"cd '{target}' && {tool} --check --quiet {tool}.txt", check=False)
        assert checked.returncode == 0, checked.stdout
    oracle.run("chmod", "-R", "u+rwX", target)


def test_nothing_else_in_a_list_changes(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    before = tree.read("/md5sum.txt").splitlines(keepends=True)
    tree.write("/boot/grub/grub.cfg", b"other\n")
    tree.finish()
    after = tree.read("/md5sum.txt").splitlines(keepends=True)
    different = [line for line, other in zip(before, after, strict=True) if line != other]
    # The second is a link to the first.
    assert [line.split()[1] for line in different] == [b"./boot/grub/grub.cfg", b"./doc/menu"]


def test_a_line_that_was_wrong_stays_wrong(tmp_path: Path) -> None:
    """A sum that did not fit the file before belongs to another user affair."""
    tree = images.open_tree(images.load("debian", tmp_path))
    wrong = tree.read("/md5sum.txt").replace(b"\n", b"\n0123456789abcdef0123456789abcdef  ./isolinux/isolinux.cfg\n", 1)
    tree.write("/md5sum.txt", wrong)
    tree.write("/isolinux/isolinux.cfg", b"x")
    tree.finish()
    assert b"0123456789abcdef0123456789abcdef  ./isolinux/isolinux.cfg\n" in tree.read("/md5sum.txt")


def test_nothing_is_refreshed_without_an_edit(tmp_path: Path) -> None:
    image = images.load("debian", tmp_path)
    oracle.run("implantisomd5", image)
    damaged = bytearray(image.read_bytes())
    damaged[-1] ^= 1
    tree = images.open_tree(bytes(damaged))
    tree.write("/boot/grub/grub.cfg", tree.read("/boot/grub/grub.cfg"))
    tree.finish()
    assert tree.volume.device.plan().is_empty


@pytest.mark.parametrize("size", [len(images.MENU), 5000, 400_000, 3_000_000])
def test_isomd5sum(size: int, tmp_path: Path) -> None:
    image = images.load("debian", tmp_path)
    oracle.run("implantisomd5", image)
    tree = images.open_tree(image)
    tree.write("/boot/grub/grub.cfg", b"z" * size)
    tree.finish()
    new = images.save(tree, tmp_path / "new.iso")
    said = oracle.run("checkisomd5", "--verbose", new)
    assert "PASS" in said.stdout + said.stderr
    # Implanted anew by isomd5sum itself, it is the same to the last byte.
    ours = new.read_bytes()
    oracle.run("implantisomd5", "--force", new)
    assert new.read_bytes() == ours


def test_isomd5sum_after_an_edit_in_a_fat_image(tmp_path: Path) -> None:
    image = images.load("ubuntu", tmp_path)
    oracle.run("implantisomd5", image)
    tree = images.open_tree(image)
    tree.write("/[partition 2]/EFI/debian/grub.cfg", b"other\n")
    tree.finish()
    said = oracle.run("checkisomd5", "--verbose", images.save(tree, tmp_path / "new.iso"))
    assert "PASS" in said.stdout + said.stderr


@pytest.mark.parametrize(
    "text",
    [
        b"ISO MD5SUM = 0;",
        b"ISO MD5SUM = " + b"0" * 32 + b";SKIPSECTORS = ;",
        b"ISO MD5SUM = " + b"0" * 32 + b";SKIPSECTORS = 99999999999999999999999;",
        b"ISO MD5SUM = " + b"0" * 32 + b";SKIPSECTORS = 99999999;FRAGMENT COUNT = 20;",
        b"ISO MD5SUM = " + b"0" * 32 + b";SKIPSECTORS = 15;FRAGMENT COUNT = 2000000000;",
        b"ISO MD5SUM = " + b"0" * 32 + b";SKIPSECTORS = 15;FRAGMENT COUNT = ;",
    ],
)
def test_what_isomd5sum_cannot_have_written(text: bytes, tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    tree.volume.device.write_at(
        tree.volume.primary.position + layout.APPLICATION_USE_OFFSET, text.ljust(layout.APPLICATION_USE_SIZE)
    )
    tree.write("/boot/grub/grub.cfg", b"x")
    with pytest.raises(FormatError, match="isomd5sum") as caught:
        tree.finish()
    assert caught.value.hint


def test_no_fragments(tmp_path: Path) -> None:
    """Images of before 2005 have one sum and no fragments; more sectors may be skipped than there are."""
    tree = images.open_tree(images.load("plain", tmp_path))
    old = (b"ISO MD5SUM = " + b"0" * 32 + b";SKIPSECTORS = 100000;").ljust(512)
    new = media.isomd5sum(tree.volume.device, tree.volume.device.size, tree.volume.primary.position, old)
    assert new == old.replace(b"0" * 32, b"d41d8cd98f00b204e9800998ecf8427e", 1)


SIGNATURE = b"7984fc91-a43f-4e45-bf27-6d3aa08b24cf"


def suse_tags(image: bytes, pad: int, signature: int, partition: tuple[int, int]) -> bytes:
    """The tags of an image by checkmedia's own description: https://github.com/openSUSE/checkmedia"""
    data = bytearray(image)
    data[:512] = bytes(512)
    data[0x8373:0x8573] = b" " * 512
    data[signature * 512 + 64 : signature * 512 + 2048] = bytes(2048 - 64)
    size = 2048 * int.from_bytes(image[0x8050:0x8054], "little")
    whole = hashlib.sha256(data[: size - 2048 * pad] + bytes(2048 * pad)).hexdigest()
    start, count = partition
    part = hashlib.sha256(data[start * 512 : (start + count) * 512]).hexdigest()
    tags = f"sha256sum={whole};check=1;pad={pad};partition={start},{count},{part};signature={signature}"
    return tags.encode().ljust(512)


def last_partition(image: bytes) -> tuple[int, int]:
    """First block and number of blocks of the partition that ends last."""
    entries = (image[at : at + 16] for at in range(446, 510, 16))
    found = [(int.from_bytes(e[8:12], "little"), int.from_bytes(e[12:16], "little")) for e in entries if e[4]]
    return max(found, key=sum)


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("name", ["debian", "ubuntu"])
def test_the_sums_of_suse(name: str, size: int, tmp_path: Path) -> None:
    image = bytearray(images.load(name, tmp_path).read_bytes())
    block = int(images.open_tree(bytes(image)).identity("/doc/noise.bin") or 0) // 512
    image[block * 512 : block * 512 + 2048] = (SIGNATURE.ljust(64, b"\0") + b"-----BEGIN PGP SIGNATURE-----").ljust(
        2048
    )
    image[0x8373:0x8573] = suse_tags(bytes(image), 15, block, last_partition(image))
    tree = images.open_tree(bytes(image))
    assert "checkmedia" in media.carried_sums(tree)
    assert "isomd5sum" not in media.carried_sums(tree)
    tree.write("/boot/grub/grub.cfg", b"y" * size)
    tree.finish()
    new = images.save(tree, tmp_path / "new.iso").read_bytes()
    assert (len(new) > len(image)) is (size > 10)
    assert new[0x8373:0x8573] == suse_tags(new, 15, block, last_partition(new))
    assert b"BEGIN PGP" not in new


@pytest.mark.parametrize(
    "tags", [b"sha256sum=12", b"md5sum=" + b"0" * 32 + b";pad=x", b"partition=1,99999999," + b"0" * 32]
)
def test_what_tagmedia_cannot_have_written(tags: bytes, tmp_path: Path) -> None:
    tree = images.open_tree(images.load("plain", tmp_path))
    tree.volume.device.write_at(0x8373, tags.ljust(512))
    tree.write("/isolinux.cfg", b"x")
    with pytest.raises(FormatError, match="checkmedia") as caught:
        tree.finish()
    assert caught.value.hint


def test_a_signed_list_is_left_and_told_of(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    menu = tree.read("/boot/grub/grub.cfg")
    listed = f"{hashlib.sha256(menu).hexdigest()}  boot/grub/grub.cfg\n".encode()
    tree.write("/CHECKSUMS", listed)
    tree.write("/CHECKSUMS.asc", b"-----BEGIN PGP SIGNATURE-----\n")
    image = images.save(tree, tmp_path / "signed.iso")
    tree = images.open_tree(image)
    tree.write("/isolinux/isolinux.cfg", b"not in the list\n")
    tree.finish()
    assert tree.notices == ()
    tree.write("/boot/grub/grub.cfg", b"other\n")
    tree.finish()
    assert tree.read("/CHECKSUMS") == listed
    assert "/CHECKSUMS is signed" in tree.notices[0]
    tree = images.open_tree(image)
    tree.remove("/CHECKSUMS.asc")
    tree.write("/boot/grub/grub.cfg", b"other\n")
    tree.finish()
    assert tree.read("/CHECKSUMS").startswith(hashlib.sha256(b"other\n").hexdigest().encode())
    assert tree.notices == ()
