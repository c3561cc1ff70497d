"""Edits of one file: every name of it shows the new contents, and nothing else has changed, as other tools see it."""

from __future__ import annotations

import hashlib
import re
from io import BytesIO
from pathlib import Path

import pycdlib
import pytest

from imgkit.errors import ImgkitError, TreeError, UnsupportedError
from imgkit.iso.directory import Naming
from imgkit.iso.tree import IsoTree
from imgkit.tree import FileType
from tests.iso import images
from tests.iso.test_read import walk
from tests.support import oracle

SECTOR = 2048


def edited_file(tree: IsoTree) -> str:
    """A file to edit: a menu where there is one, never the catalogue, a boot image where there is nothing else."""
    catalog = tree.volume.catalog
    boot = {image.start for image in catalog.images} if catalog else set()
    files = [
        path
        for path in walk(tree)
        if tree.stat(path, follow=False).type is FileType.FILE
        and tree.stat(path).size
        and not (catalog and tree.identity(path) == catalog.where.start)
    ]
    plain = [path for path in files if tree.identity(path) not in boot]
    menus = [path for path in plain if re.search("cfg$|CFG$|conf$|prm$|json$", path)]
    return min(menus or plain or files, key=lambda path: tree.stat(path).size)


def edit(tree: IsoTree, path: str, size: int) -> bytes:
    data = (b"# edited by a test\n" * (size // 19 + 1))[:size]
    tree.write(path, data)
    assert images.whole(tree, path) == data
    tree.finish()
    return data


def sizes(old: int) -> dict[str, int]:
    """Lengths of new contents: of one byte, as before, to the end of the last sector, and beyond it."""
    full = -(-old // SECTOR) * SECTOR
    return {"shorter": 1, "same": old, "sector": full, "longer": full + 1, "much longer": full + 5 * SECTOR}


def named(report: str) -> str:
    """A boot report without what a file that moved changes in it and nothing on the ISO: fillers, and a guess."""
    fillers = re.findall(r"GPT partname local : +(\d+)  Gap", report) + re.findall(
        r"APM partition name : +(\d+)  Gap", report
    )
    report = re.sub(rf"(?m)^...* partition path : +({'|'.join(fillers or ['none'])})  .*\n", "", report)
    # The length of a boot image without a name is xorriso's guess: up to where the next file begins.
    paths = re.findall(r"El Torito img path : +(\d+) ", report)
    return re.sub(rf"(?m)^El Torito img blks : +(?!(?:{'|'.join(paths or ['none'])}) ).*\n", "", report)


def unaffected(report: str) -> str:
    """A boot report without what growth explains: where things end, and where what follows the volume lies."""
    return re.sub(
        r"(?m)^(ISO image size|GPT lba range|MBR partition +:|... start and size|El Torito boot img|.*EFI image).*$",
        "",
        named(report),
    )


EDITABLE = [
    *(name for name in images.MADE),
    *images.THIRD_PARTY,
    *(
        pytest.param(name, marks=pytest.mark.corpus)
        for name in images.CORPUS
        if not re.search("unicode-long-label|multi_extent|zisofs|fuzz", name)
    ),
]


@pytest.mark.parametrize("how", ["shorter", "same", "sector", "longer", "much longer"])
@pytest.mark.parametrize("name", EDITABLE)
def test_one_file_changes_and_nothing_else(name: str, how: str, tmp_path: Path) -> None:
    image = images.load(name, tmp_path)
    tree = images.open_tree(image)
    path = edited_file(tree)
    names = {each for each in walk(tree) if tree.identity(each) == tree.identity(path)}
    names = {each for each in names if tree.stat(each, follow=False).type is FileType.FILE}
    data = edit(tree, path, sizes(tree.stat(path).size)[how])
    new = images.save(tree, tmp_path / "new.iso")
    before, after = images.sums(image, tmp_path), images.sums(new, tmp_path)
    carried = {"/md5sum.txt", "/sha256sum.txt"}
    changed = {each for each in before if before[each] != after[each]} - carried
    # The catalogue names appended partitions, which move where the volume grows.
    assert {each for each in changed if "boot.cat" not in each} == names
    assert set(before) == set(after)
    assert after[path] == hashlib.sha256(data).hexdigest()
    old_report, new_report = images.boot_report(image), images.boot_report(new)
    if new.stat().st_size == image.stat().st_size and "ISO image size" in old_report:
        old_size, new_size = (re.search(r"ISO image size/512 : (\d+)", text) for text in (old_report, new_report))
        assert old_size
        assert new_size
        assert int(new_size[1]) >= int(old_size[1])
        assert named(old_report.replace(old_size[0], "")) == named(new_report.replace(new_size[0], ""))
    else:
        assert unaffected(new_report) == unaffected(old_report)
    # Reading it anew gives what the tree gave that was written to.
    assert images.whole(images.open_tree(new), path) == data


@pytest.mark.parametrize("name", ["debian", "ubuntu", "mac", "genisoimage", "sessions", *list(images.THIRD_PARTY)[1:3]])
def test_every_name_and_every_tree_follows(name: str, tmp_path: Path) -> None:
    image = images.load(name, tmp_path)
    tree = images.open_tree(image)
    path = edited_file(tree)
    data = edit(tree, path, 40_000)
    new = images.save(tree, tmp_path / "new.iso")
    assert tree.volume.namespace.naming is Naming.ROCK_RIDGE
    volume = pycdlib.PyCdlib()
    volume.open(str(new))
    keywords = {"rr_path": path} | ({"joliet_path": path} if tree.volume.joliet else {})
    for keyword, spelled in keywords.items():
        found = BytesIO()
        volume.get_file_from_iso_fp(found, **{keyword: spelled})
        assert found.getvalue() == data, keyword
    volume.close()
    if tree.volume.joliet:
        shown = oracle.run(
            "xorriso", "-read_fs", "norock", "-osirrox", "on", "-indev", new, "-extract", path, tmp_path / "j"
        )
        assert (tmp_path / "j").read_bytes() == data, shown


def test_hard_links_share_their_data(tmp_path: Path) -> None:
    image = images.load("debian", tmp_path)
    tree = images.open_tree(image)
    data = edit(tree, "/doc/noise.bin", 400_000)
    assert tree.read("/doc/a second name") == data
    sums = images.sums(images.save(tree, tmp_path / "new.iso"), tmp_path)
    assert sums["/doc/a second name"] == sums["/doc/noise.bin"] == hashlib.sha256(data).hexdigest()


def test_a_file_named_in_a_continuation_area(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    path = "/doc/" + "long name " * 20
    data = edit(tree, path, 10_000)
    assert images.sums(images.save(tree, tmp_path / "new.iso"), tmp_path)[path] == hashlib.sha256(data).hexdigest()


def test_a_partition_with_descriptors_of_its_own(tmp_path: Path) -> None:
    """Its addresses count from its start: a kernel that mounts the partition sees the edit as well."""
    tree = images.open_tree(images.load("ubuntu", tmp_path))
    data = edit(tree, "/boot/grub/grub.cfg", 30_000)
    new = images.save(tree, tmp_path / "new.iso")
    start, size = next(
        (slot.where.start, slot.where.size)
        for slot in images.open_tree(new).volume.tables.slots
        if slot.scheme == "GPT" and slot.number == 1
    )
    partition = tmp_path / "partition.iso"
    partition.write_bytes(new.read_bytes()[start : start + size])
    sums = images.sums(partition, tmp_path)
    assert sums["/boot/grub/grub.cfg"] == hashlib.sha256(data).hexdigest()
    assert sums["/doc/noise.bin"] == images.sums(new, tmp_path)["/doc/noise.bin"]


def test_the_rest_of_the_last_sector_is_zero(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    start = tree.identity("/doc/noise.bin")
    assert isinstance(start, int)
    edit(tree, "/doc/noise.bin", 10)
    assert not tree.volume.device.read_at(start + 10, SECTOR - 10).strip(b"\0")


def test_padding_is_used_before_the_image_grows(tmp_path: Path) -> None:
    image = images.load("debian", tmp_path)
    tree = images.open_tree(image)
    edit(tree, "/boot/grub/grub.cfg", 200_000)
    assert tree.volume.device.size == image.stat().st_size


def test_twice_is_once(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    tree.write("/boot/grub/grub.cfg", images.MENU)
    tree.finish()
    assert tree.volume.device.plan().is_empty


@pytest.mark.parametrize("options", ["-r", "-r -J", "-r -J -partition_offset 16", "-J"])
def test_an_empty_file_gets_an_extent(options: str, tmp_path: Path) -> None:
    folder = tmp_path / "source" / "folder"
    folder.mkdir(parents=True)
    for name in ("empty", "empty too"):
        (folder / name).touch()
    (folder / "full").write_bytes(b"full\n")
    image = tmp_path / "image.iso"
    oracle.run("xorriso", "-as", "mkisofs", "-quiet", *options.split(), "-o", image, folder.parent)
    tree = images.open_tree(image)
    tree.write("/folder/empty", b"no longer\n")
    new = images.save(tree, tmp_path / "new.iso")
    views = [new]
    if "partition" in options:
        views.append(tmp_path / "partition.iso")
        views[-1].write_bytes(new.read_bytes()[16 * SECTOR :])
    for view in views:
        sums = images.sums(view, tmp_path)
        assert sums["/folder/empty"] == hashlib.sha256(b"no longer\n").hexdigest()
        assert sums["/folder/empty too"] == hashlib.sha256(b"").hexdigest()
        assert sums["/folder/full"] == hashlib.sha256(b"full\n").hexdigest()
    if "-J" in options:
        oracle.run("isoinfo", "-J", "-i", new, "-x", "/folder/empty")
        assert oracle.run("isoinfo", "-J", "-i", new, "-x", "/folder/empty").stdout == "no longer\n"


def test_an_empty_file_of_another_name_elsewhere_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a name with more than eight letters").touch()
    image = tmp_path / "image.iso"
    oracle.run("genisoimage", "-quiet", "-J", "-o", image, folder)
    tree = images.open_tree(image)
    with pytest.raises(UnsupportedError, match="another name in the primary tree"):
        tree.write("/a name with more than eight letters", b"x")


@pytest.mark.parametrize(
    "name", ["iso/libcdio/multi_extent_8k_joliet.iso", "iso/libarchive/test_read_format_iso_multi_extent.iso"]
)
@pytest.mark.corpus
def test_files_of_several_extents(name: str, tmp_path: Path) -> None:
    image = images.load(name, tmp_path)
    tree = images.open_tree(image)
    (path,) = (each for each in walk(tree) if tree.stat(each).type is FileType.FILE)
    old = images.whole(tree, path)
    tree.write(path, old[:-5] + b"other ending")
    assert (
        images.sums(images.save(tree, tmp_path / "new.iso"), tmp_path)[path]
        == hashlib.sha256(old[:-5] + b"other ending").hexdigest()
    )
    with pytest.raises(UnsupportedError, match="several extents"):
        tree.write(path, old * 2)


def test_what_is_refused(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    refused: list[tuple[type[ImgkitError], str, object]] = [
        (UnsupportedError, "boot catalogue", lambda: tree.write("/isolinux/boot.cat", b"x")),
        (TreeError, "not a regular file", lambda: tree.write("/boot", b"x")),
    ]
    for error, message, attempt in refused:
        with pytest.raises(error, match=message) as caught:
            attempt()  # type: ignore[operator]
        assert caught.value.hint or error is TreeError
    assert tree.volume.device.plan().is_empty


def test_a_udf_bridge_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "file.cfg").write_bytes(b"x")
    image = tmp_path / "image.iso"
    oracle.run("genisoimage", "-quiet", "-udf", "-r", "-o", image, folder)
    tree = images.open_tree(image)
    assert tree.read("/file.cfg") == b"x"
    with pytest.raises(UnsupportedError, match="UDF"):
        tree.write("/file.cfg", b"y")


def by_sleuthkit(image: Path, start: int, path: str) -> bytes:
    """Contents of a file of the HFS+ volume at a byte position, as sleuthkit sees it."""
    where = ("-f", "hfs", "-o", str(start // 512))
    listed = oracle.run("fls", *where, "-r", "-p", image).stdout
    number = next(line.split()[1].rstrip(":") for line in listed.splitlines() if line.endswith(f"\t{path}"))
    return oracle.run("icat", *where, image, number).stdout.encode()


def test_the_directory_for_macs_follows_as_far_as_it_goes(tmp_path: Path) -> None:
    image = images.load("mac", tmp_path)
    tree = images.open_tree(image)
    (start,) = tree.volume.hfs_plus
    assert by_sleuthkit(image, start, "boot/grub/grub.cfg") == images.MENU
    for data in (b"y" * 2000, b"shorter\n"):
        tree.write("/boot/grub/grub.cfg", data)
        tree.write("/doc/a second name", data * 100)
        tree.finish()
        new = images.save(tree, tmp_path / "new.iso")
        assert by_sleuthkit(new, start, "boot/grub/grub.cfg") == data
        assert by_sleuthkit(new, start, "doc/noise.bin") == by_sleuthkit(new, start, "doc/a second name") == data * 100
        assert by_sleuthkit(new, start, "isolinux/isolinux.cfg") == tree.read("/isolinux/isolinux.cfg")
        assert tree.notices == ()
    tree.write("/boot/grub/grub.cfg", b"z" * 3000)
    assert "Mac" in tree.notices[0]


def test_a_session_that_genisoimage_appended_is_refused(tmp_path: Path) -> None:
    """The descriptors in front do not know of it, but a CD drive shows it."""
    first, second, both = images.load("genisoimage", tmp_path), tmp_path / "second.iso", tmp_path / "both.iso"
    blocks = first.stat().st_size // 2048
    more = tmp_path / "more"
    more.mkdir()
    (more / "later.txt").write_bytes(b"of the second session\n")
    oracle.run("genisoimage", "-quiet", "-r", "-J", "-C", f"0,{blocks}", "-M", first, "-o", second, more)
    both.write_bytes(first.read_bytes() + second.read_bytes())
    seen = oracle.run("xorriso", "-load", "sbsector", str(blocks), "-indev", both, "-find", "/later.txt").stdout
    assert "later.txt" in seen
    tree = images.open_tree(both)
    assert tree.read("/isolinux/isolinux.cfg")
    for edit in (lambda: tree.write("/isolinux/isolinux.cfg", b"x"), lambda: tree.mkdir("/new")):
        with pytest.raises(UnsupportedError, match="several sessions"):
            edit()
    assert tree.volume.device.plan().is_empty
    # What lies behind a volume and only looks like one, or belongs to an older one, is no session.
    padded = images.open_tree(first.read_bytes() + bytes(32768) + first.read_bytes()[32768:34816] + bytes(32768))
    padded.write("/isolinux/isolinux.cfg", b"x")


def test_several_sessions_are_refused(tmp_path: Path) -> None:
    image = images.load("sessions", tmp_path)
    added = tmp_path / "added"
    added.write_bytes(b"added\n")
    oracle.run("xorriso", "-dev", image, "-map", added, "/added", "-commit")
    tree = images.open_tree(image)
    assert tree.read("/added") == b"added\n"
    with pytest.raises(UnsupportedError, match="several sessions"):
        tree.write("/added", b"y")
