"""Boot images: FAT file systems inside an ISO, and what boot images carry about their own place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgkit.errors import FormatError, OutputError, PathNotFoundError, TreeError, UnsupportedError
from imgkit.iso import bootinfo
from imgkit.tree import FileType
from tests.iso import images
from tests.support import oracle

EFI_IMAGE = "/boot/grub/efi.img"
NEW_MENU = b"serial --unit=0 --speed=115200\n" * 100


@pytest.mark.parametrize(
    ("name", "root"), [("debian", EFI_IMAGE), ("ubuntu", "/[partition 2]"), ("hidden", "/[boot image 2]")]
)
def test_a_file_inside(name: str, root: str, tmp_path: Path) -> None:
    image = images.load(name, tmp_path)
    tree = images.open_tree(image)
    assert tree.boot_roots() == (root,)
    path = f"{root}/EFI/debian/grub.cfg"
    assert tree.read(path) == images.INNER_MENU
    assert b"".join(tree.read_chunks(path)) == images.INNER_MENU
    assert tree.listdir(f"{root}/EFI") == ["debian"]
    assert tree.listdir(root) == tree.listdir(f"{root}/") == ["EFI"]
    assert tree.stat(path).size == len(images.INNER_MENU)
    assert tree.stat(f"{root}/").type is FileType.DIRECTORY
    assert tree.exists(path)
    assert not tree.exists(f"{root}/EFI/none")
    tree.write(path, NEW_MENU)
    tree.finish()
    assert tree.read(path) == NEW_MENU

    new = images.save(tree, tmp_path / "new.iso")
    start = tree.fat_images()[0].where.start
    assert oracle.run("mtype", "-i", f"{new}@@{start}", "::/EFI/debian/grub.cfg").stdout.encode() == NEW_MENU
    (tmp_path / "fat").write_bytes(new.read_bytes()[start : start + (2 << 20)])
    oracle.run("fsck.vfat", "-n", tmp_path / "fat")
    assert images.boot_report(new) == images.boot_report(image)
    before, after = images.sums(image, tmp_path), images.sums(new, tmp_path)
    changed = {each for each in before if before[each] != after[each]}
    assert changed == ({EFI_IMAGE, "/md5sum.txt", "/sha256sum.txt"} if name == "debian" else set())


def test_an_image_is_still_a_file(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    assert tree.stat(EFI_IMAGE).type is FileType.FILE
    data = tree.read(EFI_IMAGE)
    assert len(data) == tree.stat(EFI_IMAGE).size == 2 << 20
    assert data[510:512] == b"\x55\xaa"
    assert tree.listdir("/boot/grub") == ["efi.img", "grub.cfg"]


def test_a_file_beside_the_partition_is_a_tree_as_well(tmp_path: Path) -> None:
    """In this form the volume has a copy of the appended partition, which no firmware reads."""
    tree = images.open_tree(images.load("ubuntu", tmp_path))
    tree.write(f"{EFI_IMAGE}/EFI/debian/grub.cfg", NEW_MENU)
    assert tree.read("/[partition 2]/EFI/debian/grub.cfg") == images.INNER_MENU


def test_edits_inside_and_around_take_turns(tmp_path: Path) -> None:
    """The partition moves between two edits of its files, when the volume grows."""
    tree = images.open_tree(images.load("ubuntu", tmp_path))
    path = "/[partition 2]/EFI/debian/grub.cfg"
    tree.write(path, b"first\n")
    tree.write("/boot/grub/grub.cfg", bytes(100_000))
    assert tree.read(path) == b"first\n"
    tree.write(path, b"second\n")
    assert tree.read(path) == b"second\n"
    new = images.save(tree, tmp_path / "new.iso")
    start = tree.fat_images()[0].where.start
    assert oracle.run("mtype", "-i", f"{new}@@{start}", "::/EFI/debian/grub.cfg").stdout == "second\n"


def test_an_image_that_is_replaced_whole(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    before = tree.read(EFI_IMAGE)
    path = f"{EFI_IMAGE}/EFI/debian/grub.cfg"
    tree.write(path, b"other\n")
    assert tree.read(path) == b"other\n"
    tree.write(EFI_IMAGE, before)
    assert tree.read(path) == images.INNER_MENU
    tree.write(path, b"other\n")
    assert tree.read(path) == b"other\n"


def test_a_name_that_stands_for_a_partition_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "source" / "[partition 2]"
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"of the volume\n")
    image = tmp_path / "image.iso"
    oracle.run("xorriso", "-as", "mkisofs", "-quiet", "-r", "-o", image, folder.parent)
    assert images.open_tree(image).read("/[partition 2]/file") == b"of the volume\n"


def test_files_can_be_made_and_removed_inside(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    tree.mkdir(f"{EFI_IMAGE}/EFI/boot")
    tree.write(f"{EFI_IMAGE}/EFI/boot/new.cfg", b"new\n")
    tree.remove(f"{EFI_IMAGE}/EFI/debian/grub.cfg")
    new = images.save(tree, tmp_path / "new.iso")
    start = tree.fat_images()[0].where.start
    assert oracle.run("mdir", "-b", "-/", "-i", f"{new}@@{start}").stdout.splitlines() == [
        "::/EFI/",
        "::/EFI/debian/",
        "::/EFI/boot/",
        "::/EFI/boot/new.cfg",
    ]


def test_what_goes_wrong_inside_names_the_path(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    path = f"{EFI_IMAGE}/EFI/none/grub.cfg"
    with pytest.raises(PathNotFoundError) as caught:
        tree.read(path)
    assert caught.value.path == path
    with pytest.raises(TreeError, match="not a resolved"):
        tree.read(f"{EFI_IMAGE}/../grub.cfg")
    with pytest.raises(OutputError, match="no room"):
        tree.write(f"{EFI_IMAGE}/EFI/debian/grub.cfg", bytes(3 << 20))
    with pytest.raises(PathNotFoundError, match="not a directory"):
        tree.read("/boot/grub/grub.cfg/EFI")
    with pytest.raises(PathNotFoundError):
        tree.read("/[partition 7]/EFI")


@pytest.mark.parametrize("name", ["/usr/lib/ipxe/ipxe.iso", "/usr/lib/memtest86+/memtest86+x64.iso"])
def test_third_parties(name: str, tmp_path: Path) -> None:
    image = images.load(name, tmp_path)
    tree = images.open_tree(image)
    (found,) = tree.fat_images()
    listed = oracle.run("mdir", "-b", "-/", "-i", f"{image}@@{found.where.start}").stdout.splitlines()
    for line in listed:
        path = f"{found.path}/{line.removeprefix('::/')}"
        assert tree.exists(path.rstrip("/"))
        if not line.endswith("/"):
            extracted = tmp_path / "extracted"
            oracle.run("mcopy", "-n", "-o", "-i", f"{image}@@{found.where.start}", line, extracted)
            assert tree.read(path) == extracted.read_bytes()
    assert listed


@pytest.mark.parametrize("longer", [0, 100_000])
@pytest.mark.parametrize("name", ["debian", "ubuntu", "genisoimage"])
def test_a_boot_image_that_changes_keeps_its_table(name: str, longer: int, tmp_path: Path) -> None:
    """The file as it was before an image was made of it, given back: the table is filled in as xorriso does it."""
    image = images.load(name, tmp_path)
    tree = images.open_tree(image)
    path = "/isolinux/isolinux.bin"
    original = Path("/usr/lib/ISOLINUX/isolinux.bin").read_bytes()
    in_image = tree.read(path)
    tree.write(path, original + bytes(longer))
    if not longer:
        assert tree.read(path) == in_image
        assert tree.volume.device.plan().is_empty
        return
    tree.finish()
    new = images.save(tree, tmp_path / "new.iso")
    block = int(tree.identity(path) or 0) // 2048
    assert bootinfo.has_table(tree.read(path), block)
    report = images.boot_report(new)
    # xorriso recognises boot information table, GRUB's address and isohybrid by what is in the file.
    assert [line for line in report.splitlines() if "img opts" in line or "area summary" in line] == [
        line for line in images.boot_report(image).splitlines() if "img opts" in line or "area summary" in line
    ]
    assert f"  {block}\n" in report


def test_isohybrid_boot_code_follows(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    path = "/isolinux/isolinux.bin"
    tree.write(path, tree.read(path) + bytes(100_000))
    block = int(tree.identity(path) or 0) // 2048
    assert int.from_bytes(tree.volume.device.read_at(432, 4), "little") == block * 4


def test_grub_boot_code_follows(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("/usr/lib/grub-rescue/grub-rescue-cdrom.iso", tmp_path))
    path = "/boot/grub/i386-pc/eltorito.img"
    old = int(tree.identity(path) or 0) // 2048
    held = int.from_bytes(tree.volume.device.read_at(432, 8), "little")
    assert held == old * 4 + 4
    tree.write(path, tree.read(path) + bytes(100_000))
    new = int(tree.identity(path) or 0) // 2048
    assert int.from_bytes(tree.volume.device.read_at(432, 8), "little") == new * 4 + 4
    assert int.from_bytes(tree.read(path)[2548:2556], "little") == new * 4 + 5


def test_a_larger_efi_image_takes_everything_along(tmp_path: Path) -> None:
    image = images.load("debian", tmp_path)
    tree = images.open_tree(image)
    larger = tmp_path / "larger.img"
    images.make_fat(larger)
    data = larger.read_bytes() + bytes(1 << 20)
    tree.write(EFI_IMAGE, data)
    tree.finish()
    new = images.save(tree, tmp_path / "new.iso")
    start = int(tree.identity(EFI_IMAGE) or 0)
    report = images.boot_report(new)
    assert f"El Torito boot img :   2  UEFI  y   none  0x0000  0x00   6144  {start // 2048:>10}" in report
    assert f"GPT start and size :   2  {start // 512}  6144" in report
    assert f"MBR partition      :   2   0x00  0xef  {start // 512:>11}         6144" in report
    assert f"APM start and size :   1  {start // 2048}  1536" in report
    assert report.count(f"path :   2  {EFI_IMAGE}") == 3


@given(st.binary(min_size=64, max_size=5000), st.integers(0, 1 << 30), st.integers(0, 1 << 30))
def test_tables_follow_and_data_stays(data: bytes, old: int, new: int) -> None:
    """Moving there and back gives the same; without a table, nothing changes at all."""
    assert bootinfo.follow(bytes(len(data)), data, old_block=old + 1, new_block=new) == data
    blank = bytes(8) + bytes(56) + data[64:]
    with_table = bootinfo.follow(_table(old) + data[64:], blank, old_block=old, new_block=old)
    moved = bootinfo.follow(with_table, blank, old_block=old, new_block=new)
    assert bootinfo.has_table(moved, new)
    assert bootinfo.follow(moved, blank, old_block=new, new_block=old) == with_table
    assert moved[64:] == data[64:]


def _table(block: int) -> bytes:
    return bytes(8) + (16).to_bytes(4, "little") + block.to_bytes(4, "little") + bytes(48)


def test_what_only_another_tool_can_do_names_it(tmp_path: Path) -> None:
    """There is no engine to choose for an ISO."""
    tree = images.open_tree(images.load("debian", tmp_path))
    with pytest.raises(UnsupportedError, match="code page") as caught:
        tree.write(f"{EFI_IMAGE}/not UTF-8 \udcff", b"x")
    assert "mtools" in str(caught.value.hint)


def test_a_damaged_fat_image_is_refused(tmp_path: Path) -> None:
    image = images.load("debian", tmp_path)
    start = images.open_tree(image).fat_images()[0].where.start
    raw = bytearray(image.read_bytes())
    raw[start + 512 * 4 + 4 : start + 512 * 8] = b"\xfd" * (512 * 4 - 4)
    tree = images.open_tree(bytes(raw))
    with pytest.raises(FormatError):
        tree.write(f"{EFI_IMAGE}/EFI/debian/grub.cfg", b"x")
    assert tree.volume.device.plan().is_empty
