"""One suite for all engines: the native one does what Linux does, in a process and in libguestfs's appliance."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from imgkit.errors import PathNotFoundError, TreeError
from imgkit.formats.image import open_image
from imgkit.guest.engines import ENGINES
from imgkit.guest.engines.choice import EngineChoice
from imgkit.guest.session import open_guest
from imgkit.storage.output import InPlace, deliver
from imgkit.tree import Attributes, FileType
from tests.support import oracle
from tests.support.guests import OS_RELEASE, Part, make_disk

NOW = 1_700_000_000
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LONG_TARGET = "/" + "a-name-too-long-for-an-inode/" * 4 + "end"
BIG = bytes(range(256)) * 9000 + b"end"

FSTAB = """
LABEL=root / ext4 defaults 0 1
LABEL=boot /boot ext2 defaults 0 2
LABEL=ESP /boot/efi vfat umask=0077 0 1
"""
ROOT = {
    "/etc/os-release": OS_RELEASE.encode(),
    "/etc/fstab": FSTAB.encode(),
    "/etc/default/grub": b"GRUB_TIMEOUT=5\n",
    "/etc/empty": b"",
    "/etc/naïve name": "größe\n".encode(),
    "/etc/latin-\udce9": b"not UTF-8\n",
    "/var/big": BIG,
    "/var/sparse": b"\0" * 300_000 + b"end",
    "/boot/.keep": b"",
    "/links/absolute": "/etc/os-release",
    "/links/relative": "../etc/os-release",
    "/links/dangling": "nowhere",
    "/links/long": LONG_TARGET,
    "/links/loop": "loop",
    "/links/above": "../../../../etc/fstab",
    "/links/into-boot": "/boot/grub",
    **{f"/many/file-{number:03}": str(number).encode() for number in range(300)},
}
BOOT = {"/grub/grub.cfg": b"set timeout=5\n", "/efi/.keep": b"", "/vmlinuz": b"kernel"}
EFI = {"/EFI/debian/grub.cfg": b"configfile /grub/grub.cfg\n", "/EFI/debian/long name of a file.conf": b"x"}


def new_disk(folder):
    parts = [
        Part("vfat", EFI, label="ESP", type=ESP, size=40),
        Part("ext2", BOOT, label="boot"),
        Part("ext4", ROOT, label="root", size=32),
    ]
    return make_disk(folder / "disk.raw", parts)


@contextmanager
def opened(image, engine, *, writable=False):
    with open_image(image, writable=writable) as disk, open_guest(disk, now=NOW, engine=engine) as guest:
        assert guest.engine == engine
        yield disk, guest


MARKS = {EngineChoice.GUESTFS: pytest.mark.appliance}


def engines(*, without=()):
    """All engines that are registered, as parameters."""
    return [pytest.param(each, marks=MARKS.get(each, ())) for each in ENGINES if each not in without]


@pytest.fixture(scope="module", params=engines())
def guest(request, tmp_path_factory):
    """A guest whose edits are thrown away; each test has paths of its own."""
    with opened(new_disk(tmp_path_factory.mktemp("disk")), request.param) as (_, guest):
        yield guest


@pytest.fixture
def tree(guest):
    return guest.tree


@pytest.mark.parametrize("path", ["/etc/empty", "/etc/naïve name", "/var/big", "/var/sparse"])
def test_contents(tree, path):
    assert tree.read(path) == ROOT[path]
    assert b"".join(tree.read_chunks(path)) == ROOT[path]
    assert tree.stat(path).size == len(ROOT[path])


def test_mounts_cover_what_is_below_them(tree):
    assert tree.read("/boot/vmlinuz") == b"kernel"
    assert not tree.exists("/boot/.keep")
    assert tree.read("/boot/efi/EFI/debian/grub.cfg") == EFI["/EFI/debian/grub.cfg"]


def test_names_are_sorted_by_their_bytes(tree):
    assert tree.listdir("/many") == [f"file-{number:03}" for number in range(300)]
    assert tree.listdir("/etc") == sorted(["default", "empty", "fstab", "latin-\udce9", "naïve name", "os-release"])
    assert tree.listdir("/boot/efi/EFI/debian") == ["grub.cfg", "long name of a file.conf"]


@pytest.mark.parametrize("name", ["absolute", "relative"])
def test_links_are_followed(tree, name):
    assert tree.readlink(f"/links/{name}") == ROOT[f"/links/{name}"]
    assert tree.read(f"/links/{name}") == OS_RELEASE.encode()


def test_a_name_that_is_not_utf8(guest):
    path = "/etc/latin-\udce9"
    if guest.engine != EngineChoice.GUESTFS:
        assert guest.tree.read(path) == ROOT[path]
    else:  # its Python binding cannot pass such a name on
        with pytest.raises(TreeError, match="not UTF-8"):
            guest.tree.read(path)


def test_links_stay_in_the_tree(tree):
    assert tree.read("/links/above") == FSTAB.encode()
    assert tree.read("/links/into-boot/grub.cfg") == BOOT["/grub/grub.cfg"]


def test_links_that_lead_nowhere(tree):
    assert tree.readlink("/links/long") == LONG_TARGET
    assert tree.stat("/links/dangling", follow=False).type is FileType.LINK
    assert not tree.exists("/links/dangling")
    with pytest.raises(PathNotFoundError):
        tree.read("/links/dangling")
    with pytest.raises(TreeError, match="too many levels of symbolic links"):
        tree.read("/links/loop")


@pytest.mark.parametrize("path", ["/missing", "/etc/missing", "/missing/file", "/etc/fstab/file", "/boot/efi/missing"])
@pytest.mark.parametrize("verb", ["read", "listdir", "stat", "readlink", "remove"])
def test_what_is_not_there(tree, verb, path):
    with pytest.raises(PathNotFoundError) as caught:
        getattr(tree, verb)(path)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        *[("read", path) for path in ("/etc", "/", "/boot", "/boot/efi/EFI")],
        *[("listdir", path) for path in ("/etc/fstab", "/boot/efi/EFI/debian/grub.cfg")],
        *[("readlink", path) for path in ("/etc/fstab", "/etc")],
        *[("remove", path) for path in ("/etc", "/boot", "/boot/grub", "/boot/efi/EFI")],
        *[("mkdir", path) for path in ("/etc", "/etc/fstab")],
    ],
)
def test_what_is_something_else(tree, verb, path):
    with pytest.raises(TreeError) as caught:
        getattr(tree, verb)(path)
    assert caught.value.path == path
    assert not isinstance(caught.value, PathNotFoundError)


def test_writing_over_what_is_no_file(tree):
    for path in ("/etc", "/boot/grub", "/boot/efi/EFI"):
        with pytest.raises(TreeError):
            tree.write(path, b"data")
    with pytest.raises(PathNotFoundError):
        tree.write("/missing/file", b"data")
    with pytest.raises(TreeError):
        tree.symlink("target", "/etc/fstab")


def test_a_new_file(tree):
    for folder in ("/etc/default", "/boot/grub", "/boot/efi/EFI/debian"):
        path = f"{folder}/new one.cfg"
        tree.write(path, b"one\n")
        assert tree.read(path) == b"one\n"
        found, parent = tree.stat(path), tree.stat(folder)
        assert (found.type, found.uid, found.gid, found.size) == (FileType.FILE, parent.uid, parent.gid, 4)
        assert "new one.cfg" in tree.listdir(folder)
        tree.write(path, BIG)
        assert tree.read(path) == BIG
        tree.write(path, b"")
        assert tree.read(path) == b""
        tree.remove(path)
        assert not tree.exists(path)


def test_a_new_directory_and_link(tree):
    for folder in ("/etc/new.d", "/boot/new.d"):
        tree.mkdir(folder)
        assert tree.listdir(folder) == []
        tree.symlink("../target", f"{folder}/link")
        assert tree.readlink(f"{folder}/link") == "../target"
        with pytest.raises(TreeError):
            tree.remove(folder)
        tree.remove(f"{folder}/link")
        tree.remove(folder)
        assert not tree.exists(folder)


def edit(tree):
    """Some of everything, on every file system."""
    tree.write("/etc/default/grub", b"GRUB_TIMEOUT=9\nGRUB_TERMINAL=serial\n")
    tree.mkdir("/etc/default/grub.d")
    tree.write("/etc/default/grub.d/serial.cfg", b"new\n")
    tree.set_attributes("/etc/default/grub.d", Attributes(0o2700, 1000, 70_000))
    tree.set_attributes("/etc/default/grub.d/serial.cfg", Attributes(0o600, 1000, 70_000, "ssh_home_t"))
    tree.set_attributes("/boot/efi/EFI/debian", Attributes(0o700, 1000, 1000))
    tree.write("/var/big", BIG[::-1] + b"longer")
    tree.write("/var/sparse", b"short")
    tree.symlink("/lib/systemd/system/getty@.service", "/etc/link")
    tree.symlink(LONG_TARGET, "/etc/long-link")
    tree.remove("/etc/empty")
    tree.remove("/links/dangling")
    for number in range(300, 340):
        tree.write(f"/many/another-{number}", str(number).encode())
    tree.write("/boot/grub/grub.cfg", b"set timeout=9\n" * 500)
    tree.write("/boot/grub/custom.cfg", b"new\n")
    tree.remove("/boot/vmlinuz")
    tree.write("/boot/efi/EFI/debian/grub.cfg", b"configfile /boot/grub/grub.cfg\n")
    tree.write("/boot/efi/EFI/debian/serial console.cfg", b"new\n")


def described(tree, path="/"):
    """Everything below a path: type, mode, owner, size, time, and contents or target."""
    for name in tree.listdir(path):
        inner = f"{path.rstrip('/')}/{name}"
        if not name.isprintable():
            continue  # see test_a_name_that_is_not_utf8
        found = tree.stat(inner, follow=False)
        content = {FileType.FILE: tree.read, FileType.LINK: tree.readlink}.get(found.type, lambda _: None)(inner)
        # A directory's size is the file system's business, and Linux reckons FAT's times with its own zone.
        size = found.size if found.type is FileType.FILE else 0
        yield inner, (found.type, found.mode, found.uid, found.gid, size, content)
        if found.type is FileType.DIRECTORY and name != "lost+found":
            yield from described(tree, inner)


@pytest.mark.parametrize("other", engines(without=(EngineChoice.NATIVE,)))
def test_all_engines_give_the_same_tree_and_make_the_same_edits(tmp_path, other):
    results = {}
    for engine in (EngineChoice.NATIVE, other):
        folder = tmp_path / engine
        folder.mkdir()
        image = new_disk(folder)
        with opened(image, engine, writable=True) as (disk, guest):
            before = dict(described(guest.tree))
            edit(guest.tree)
            guest.finish()
            deliver(disk.host, disk.plan(), InPlace(), mtime_ns=NOW * 10**9)
        with opened(image, EngineChoice.NATIVE) as (_, guest):
            after = dict(described(guest.tree))
            times = {path: guest.tree.stat(path).mtime for path in ("/etc/default/grub", "/boot/grub/custom.cfg")}
        assert set(times.values()) == {NOW}
        check_file_systems(image, tmp_path)
        results[engine] = before, after
    native, linux = results[EngineChoice.NATIVE], results[other]
    assert native[0] == linux[0]
    assert native[1] == linux[1]
    assert len(native[0]) > len(ROOT)
    assert native[0] != native[1]


def check_file_systems(image, folder):
    listing = oracle.run("sfdisk", "--dump", image).stdout
    for check, line in zip(("fsck.vfat -n", "e2fsck -fn", "e2fsck -fn"), listing.splitlines()[-3:], strict=True):
        start, size = (int(field.split("=")[1]) for field in line.split(":")[1].split(",")[:2])
        part = folder / "part"
        with image.open("rb") as disk:
            disk.seek(start * 512)
            part.write_bytes(disk.read(size * 512))
        oracle.run(*check.split(), part)
