"""Files, directories and links that come and go, as xorriso, isoinfo and pycdlib see them."""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
from contextlib import suppress
from pathlib import Path

import pycdlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycdlib.pycdlibexception import PyCdlibInvalidInput

from imgkit.errors import TreeError, UnsupportedError
from imgkit.iso.directory import Naming
from imgkit.iso.pathtable import build_table
from imgkit.iso.tree import IsoTree
from imgkit.tree import FileType
from tests.iso import images
from tests.support import oracle

LONG = "a name that does not fit its record " * 6
EDITABLE = ("debian", "ubuntu", "mac", "genisoimage", "joliet", "plain", "sessions", "hidden", "level4")


def folder_of(tree: IsoTree) -> str:
    """A directory that is there, below the root where there is one."""
    names = [name for name in tree.listdir("/") if name.isalnum() and tree.stat(f"/{name}").type is FileType.DIRECTORY]
    return f"/{min(names)}" if names else ""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def others(tree: IsoTree, known: set[str]) -> set[str]:
    return {path for path in known if not re.search(r"(md5|sha256)sum\.txt", path, re.IGNORECASE)}


@pytest.mark.parametrize(
    "name",
    [
        *EDITABLE,
        *images.THIRD_PARTY,
        *(
            pytest.param(name, marks=pytest.mark.corpus)
            for name in images.CORPUS
            if re.search("embed|centos|real/", name)
        ),
    ],
)
def test_what_is_added_is_there_and_nothing_else_has_changed(name: str, tmp_path: Path) -> None:
    image = images.load(name, tmp_path)
    tree = images.open_tree(image)
    added = {
        f"{folder}/PRESEED.CFG": b"d-i debconf/locale string C\n" * size
        for folder, size in ((folder_of(tree), 3), ("", 9000))
    }
    for path, data in added.items():
        tree.write(path, data)
    tree.finish()
    new = images.save(tree, tmp_path / "new.iso")
    before, after = images.sums(image, tmp_path), images.sums(new, tmp_path)
    wanted = {path: digest(data) for path, data in added.items()}
    if tree.volume.namespace.naming is Naming.PLAIN:
        wanted = {path.lower() if path.lower() in after else path: value for path, value in wanted.items()}
    assert {path: after[path] for path in wanted} == wanted
    kept = others(tree, set(before))
    assert {path for path in kept if before[path] != after[path]} <= {path for path in kept if "boot.cat" in path}
    assert set(after) == set(before) | set(wanted)
    assert images.boot_report(image).count("El Torito") == images.boot_report(new).count("El Torito")
    # And back again: the same names, and nothing is left of the new ones.
    for path in added:
        tree.remove(path)
    tree.finish()
    assert images.listing(images.save(tree, tmp_path / "back.iso")).keys() == images.listing(image).keys()


@pytest.mark.parametrize("name", EDITABLE)
def test_path_tables_are_made_as_they_were(name: str, tmp_path: Path) -> None:
    """xorriso and genisoimage order them as ECMA-119 says."""
    volume = images.open_tree(images.load(name, tmp_path)).volume
    for descriptor in (descriptor for each in volume.sets for descriptor in each.descriptors):
        tables = [volume.device.read_at(where.start, where.size) for where in descriptor.path_tables]
        made = {order: build_table(volume, descriptor, order) for order in ("little", "big")}
        assert set(tables) == set(made.values())


def tree_by_pycdlib(image: Path, kind: str) -> dict[str, bytes | None]:
    """Every path of one tree with its contents; None for directories."""
    iso = pycdlib.PyCdlib()
    iso.open(str(image))
    found: dict[str, bytes | None] = {}
    for folder, folders, files in iso.walk(**{kind: "/"}):
        found |= {f"{folder.rstrip('/')}/{name}": None for name in folders}
        for name in files:
            path, data = f"{folder.rstrip('/')}/{name}", io.BytesIO()
            with suppress(PyCdlibInvalidInput):  # a link
                iso.get_file_from_iso_fp(data, **{kind: path})
            found[path.removesuffix(";1")] = data.getvalue()
    iso.close()
    return found


@pytest.mark.parametrize("name", ["debian", "ubuntu", "genisoimage"])
def test_all_trees_say_the_same(name: str, tmp_path: Path) -> None:
    """A directory with a file, a program, a link and a long name; and many files, for which directories move."""
    image = images.load(name, tmp_path)
    tree = images.open_tree(image)
    tree.mkdir("/custom")
    tree.write("/custom/late command.sh", b"#!/bin/sh\n")
    tree.symlink("late command.sh", "/custom/start")
    tree.symlink("/" + "x" * 300 + "/../y", "/custom/far")
    tree.write(f"/custom/{LONG[:100]}", b"long\n")
    many = {f"/custom/package_{number:03}_of_many.deb": b"%d" % number for number in range(120)}
    for path, data in many.items():
        tree.write(path, data)
    tree.mkdir("/custom/empty")
    tree.finish()
    new = images.save(tree, tmp_path / "new.iso")
    listed = images.listing(new)
    assert listed["/custom/late command.sh"].mode == "-r-xr-xr-x"
    assert listed["/custom/start"].target == "late command.sh"
    assert listed["/custom/far"].target == "/" + "x" * 300 + "/../y"
    assert listed["/custom/empty"].mode == "dr-xr-xr-x"
    assert {path for path in listed if path not in images.listing(image)} == {
        *("/custom", "/custom/late command.sh", "/custom/start", "/custom/far", "/custom/empty"),
        f"/custom/{LONG[:100]}",
        *many,
    }
    for kind in ("joliet_path", "iso_path"):
        old, found = tree_by_pycdlib(image, kind), tree_by_pycdlib(new, kind)
        mine = {path: data for path, data in found.items() if path not in old}
        assert sorted(data for data in mine.values() if data) == sorted([*many.values(), b"long\n", b"#!/bin/sh\n"])
        changed = {path for path in old if old[path] != found[path]}
        assert {path for path in changed if not re.search("sum|su.txt|boot.cat", path.lower())} == set()
    joliet = oracle.run("isoinfo", "-J", "-f", "-i", new).stdout
    assert "/custom/package_119_of_many.deb" in joliet
    for tool in ("md5sum", "sha256sum"):
        oracle.run("xorriso", "-osirrox", "on:auto_chmod_on", "-indev", new, "-extract", "/", tmp_path / tool)
        checked = oracle.run("sh", "-c", f"cd '{tmp_path / tool}' && {tool} --check --quiet {tool}.txt", check=False)
        assert checked.returncode == 0, checked.stdout
        assert "late command.sh" in (tmp_path / tool / f"{tool}.txt").read_text()
        oracle.run("chmod", "-R", "u+rwX", tmp_path / tool)


def test_a_tree_of_iso_9660_1999(tmp_path: Path) -> None:
    """xorriso reads it where it is to pass over Rock Ridge and Joliet."""
    image = images.load("level4", tmp_path)
    only = ("-read_fs", "nojoliet")
    tree = images.open_tree(image)
    menu = "/boot/grub/grub.cfg"
    names = {"/custom", "/custom/In any.case.", "/custom/über", *(f"/custom/package number {n}.deb" for n in range(60))}
    tree.mkdir("/custom")
    for path in names - {"/custom"}:
        tree.write(path, path.encode() * 100)
    tree.write(menu, b"x" * 50_000)
    tree.write("/.disk/info", b"")
    tree.remove("/doc/noise.bin")
    new = images.save(tree, tmp_path / "new.iso")
    before = images.listing(image, *only)
    assert "/doc/" + "long name " * 20 in before
    assert images.listing(new, *only).keys() == (before.keys() | names) - {"/doc/noise.bin"}
    found = images.sums(new, tmp_path, *only)
    assert found[menu] == digest(b"x" * 50_000)
    for path in names - {"/custom"}:
        assert found[path] == digest(path.encode() * 100)
    with pytest.raises(UnsupportedError, match=r"Joliet|1999"):
        tree.write("/" + "ü" * 104, b"x")


def check_links(image: Path) -> None:
    """Each directory has two links, and one more for each directory in it, wherever its count stands."""
    counts = images.link_counts(image)
    inside: dict[str, set[str]] = {folder: set() for folder, _ in counts}
    for folder, name in counts:
        inside[folder] |= {name} - {".", ".."}
    for (folder, name), count in counts.items():
        above = folder.rstrip("/").rpartition("/")[0] + "/"
        where = {".": folder, "..": above}.get(name, f"{folder}{name}/")
        assert count == 2 + len(inside[where]), (folder, name)


def test_link_counts_are_kept_up(tmp_path: Path) -> None:
    """As genisoimage counts them; xorriso says 1 of every directory."""
    tree = images.open_tree(images.load("genisoimage", tmp_path))
    check_links(images.save(tree, tmp_path / "same.iso"))
    # The name of two hundred bytes has its count in a continuation area.
    for path in ("/new", "/new/in it", "/new/in it/deeper", "/doc/" + "ü" * 100, "/boot/other"):
        tree.mkdir(path)
    for number in range(60):
        tree.mkdir(f"/new/so that it moves {number}")
    tree.remove("/doc/empty folder")
    tree.remove("/new/in it/deeper")
    check_links(images.save(tree, tmp_path / "new.iso"))
    (tmp_path / "xorriso").mkdir()
    tree = images.open_tree(images.load("debian", tmp_path / "xorriso"))
    tree.mkdir("/new")
    tree.mkdir("/new/inner")
    assert set(images.link_counts(images.save(tree, tmp_path / "new.iso")).values()) == {1}


NAMES = st.sampled_from(["a", "B.txt", "c.tar.gz", "über", "long " * 12, ".hidden", "x.1", "x.2", "readme.TXT"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "mkdir", "symlink", "remove"]),
        st.lists(NAMES, min_size=1, max_size=3),
        st.integers(0, 5000),
    ),
    min_size=1,
    max_size=25,
)


@given(steps=STEPS)
@settings(max_examples=25, deadline=None)
def test_any_steps_come_out_as_in_a_model(steps: list[tuple[str, list[str], int]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        _walk(steps, Path(scratch))


def _walk(steps: list[tuple[str, list[str], int]], folder: Path) -> None:
    """Carry out the steps on an ISO and on a dict of paths; xorriso has the last word."""
    image = images.load("genisoimage", folder)
    tree = images.open_tree(image)
    model: dict[str, bytes | str | None] = {}
    for verb, names, size in steps:
        path = "/new/" + "/".join(names)
        if "/new" not in model:
            tree.mkdir("/new")
            model["/new"] = None
        if model.get(path.rpartition("/")[0], b"") is not None:
            continue
        if verb == "write" and (path not in model or isinstance(model[path], bytes)):
            tree.write(path, bytes(size % 7) + b"x" * size)
            model[path] = bytes(size % 7) + b"x" * size
        elif verb == "mkdir" and path not in model:
            tree.mkdir(path)
            model[path] = None
        elif verb == "symlink" and path not in model:
            tree.symlink("over/there", path)
            model[path] = "over/there"
        elif verb == "remove" and path in model:
            if any(each.startswith(f"{path}/") for each in model):
                with pytest.raises(TreeError, match="not empty"):
                    tree.remove(path)
            else:
                tree.remove(path)
                del model[path]
    tree.finish()
    new = images.save(tree, folder / "new.iso")
    listed = {path: each for path, each in images.listing(new).items() if path.startswith("/new")}
    assert listed.keys() == model.keys()
    for path, value in model.items():
        assert isinstance(value, str) == (listed[path].mode[0] == "l")
        assert (value is None) == (listed[path].mode[0] == "d")
    check_links(new)
    extracted = images.sums(new, folder)
    assert {path: extracted[path] for path in model if isinstance(model[path], bytes)} == {
        path: digest(value) for path, value in model.items() if isinstance(value, bytes)
    }


def test_what_cannot_be_is_refused_by_name(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    for kind, says, step in (
        (TreeError, "exists", lambda: tree.mkdir("/boot")),
        (TreeError, "exists", lambda: tree.symlink("x", "/boot")),
        (TreeError, "not empty", lambda: tree.remove("/boot")),
        (TreeError, "root directory", lambda: tree.remove("/")),
        (UnsupportedError, "needed to boot", lambda: tree.remove("/isolinux/isolinux.bin")),
        (UnsupportedError, "needed to boot", lambda: tree.remove("/boot/grub/efi.img")),
        (UnsupportedError, "needed to boot", lambda: tree.remove("/isolinux/boot.cat")),
        (UnsupportedError, "not a valid name in a Joliet tree", lambda: tree.write("/a:b", b"x")),
        (UnsupportedError, "not a valid name in a Joliet tree", lambda: tree.write("/" + "x" * 104, b"x")),
        (UnsupportedError, "not a valid name in a Joliet tree", lambda: tree.write("/not UTF-8 \udcff", b"x")),
    ):
        with pytest.raises(kind, match=says):
            step()


def test_deep_directories_of_rock_ridge(tmp_path: Path) -> None:
    """Those that lie elsewhere than they are seen, and those that they are seen in, grow and move."""
    tree = images.open_tree(images.load("deep", tmp_path))
    before = images.sums(tmp_path / "image.iso", tmp_path)
    bottom, seen_in = "/" + "/".join("abcdefghijkl"), "/" + "/".join("abcdefg")
    added = {f"{folder}/a new file {number:02}": b"%d" % number for folder in (bottom, seen_in) for number in range(40)}
    tree.mkdir("/new")
    tree.mkdir(f"{bottom}/inner")
    added |= {"/new/file": b"x", f"{bottom}/inner/file": b"y"}
    for path, data in added.items():
        tree.write(path, data)
    for says, path in (("elsewhere", "/rr_moved"), ("not empty", seen_in), ("not empty", bottom)):
        with pytest.raises((UnsupportedError, TreeError), match=says):
            tree.remove(path)
    with pytest.raises(UnsupportedError, match="more than 8 levels"):
        tree.mkdir(f"{seen_in}/too deep")
    new = images.save(tree, tmp_path / "new.iso")
    assert images.sums(new, tmp_path) == before | {path: digest(data) for path, data in added.items()}
    # The way up, which xorriso does not go.
    iso = pycdlib.PyCdlib()
    iso.open(str(new))
    for folder in (each for each in iso.list_children(iso_path="/RR_MOVED") if each.is_dir() and not each.is_dotdot()):
        if not folder.is_dot():
            above = folder.children[1].rock_ridge.dr_entries.pl_record.parent_log_block_num
            assert folder.rock_ridge.name().decode() in seen_from(iso, above)
    iso.close()


def seen_from(iso: pycdlib.PyCdlib, block: int) -> set[str]:
    """Rock Ridge's names in the directory that lies at a block."""
    waiting = [iso.get_record(iso_path="/")]
    while waiting:
        here = waiting.pop()
        if here.extent_location() == block:
            return {each.rock_ridge.name().decode() for each in here.children[2:]}
        waiting += [each for each in here.children[2:] if each.is_dir()]
    return set()


def test_plain_names_take_what_they_can_show(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("plain", tmp_path))
    for name in ("two.dots.cfg", "späße", "x" * 40):
        with pytest.raises(UnsupportedError, match="not a valid name on an ISO without"):
            tree.write(f"/{name}", b"x")
    with pytest.raises(UnsupportedError, match="has no Rock Ridge"):
        tree.symlink("a", "/b")
    tree.write("/preseed.cfg", b"x")
    assert tree.read("/PRESEED.CFG") == b"x"


def test_the_same_steps_give_the_same_bytes(tmp_path: Path) -> None:
    def made() -> bytes:
        tree = images.open_tree(images.load("debian", tmp_path))
        tree.mkdir("/custom")
        tree.write("/custom/a", b"#!/bin/sh\n")
        tree.remove("/doc/noise.bin")
        tree.finish()
        return images.save(tree, tmp_path / "new.iso").read_bytes()

    assert made() == made()


def test_room_is_found_again(tmp_path: Path) -> None:
    """What comes and goes does not make the image grow; a large file does, and its bytes stay where they were."""
    tree = images.open_tree(images.load("debian", tmp_path))
    size = tree.volume.device.size
    for number in range(20):
        tree.write("/preseed.cfg", b"x" * 100_000)
        tree.write("/preseed.cfg", b"")
        tree.write("/preseed.cfg", b"%d" % number)
        tree.remove("/preseed.cfg")
    assert tree.volume.device.size == size
    for _ in range(2):
        tree.write("/large", b"y" * 3_000_000)
        tree.remove("/large")
    tree.finish()
    new = images.save(tree, tmp_path / "new.iso")
    assert images.sums(new, tmp_path) == images.sums(images.load("debian", tmp_path), tmp_path)
    assert new.stat().st_size > size + 6_000_000
