"""Telling trees: the real netboot tree from any folder above it, CDs, ISOs, and what is none or means harm."""

from __future__ import annotations

import platform

import pytest

from imgkit.configtext.serial import default_console
from imgkit.errors import ImgkitError, LocationError, MissingFileError, UnclassifiedImageError
from imgkit.installers import Family
from imgkit.installers.commandline import installer_arguments
from imgkit.location.tree import find_tree
from tests.location import servers, trees
from tests.support import oracle
from tests.support.images import fixture
from tests.support.webserver import Manners, serving

MANIFEST = "netboot/debian-installer    -- PXE boot directory for tftp server\n"
DISK_INFO = 'Debian GNU/Linux 12.5.0 "Bookworm" - Official {} NETINST with firmware 20240210-11:27'
UBUNTU_INFO = 'Ubuntu-Server 24.04.1 LTS "Noble Numbat" - Release amd64 (20240827)'
LEAP_PRODUCTS = "/ openSUSE-Leap 15.6-1\n"


@pytest.mark.parametrize(
    "above",
    [
        "",
        "dists/stable/",
        "dists/stable/main/installer-amd64/",
        "dists/stable/main/installer-amd64/current",
        trees.IMAGES,
    ],
)
@pytest.mark.parametrize("road", ["folder", "http"])
def test_debians_mirror_from_any_folder_above(mirror, above, road):
    with servers.http(mirror) as server:
        tree = find_tree(f"{mirror if road == 'folder' else server.address}/{above}", architecture="amd64")
    assert (tree.family, tree.distribution, tree.version, tree.architecture) == (
        Family.DEBIAN,
        "Debian",
        "12",
        "x86_64",
    )
    path = f"{trees.IMAGES}/".removeprefix(above.rstrip("/") + "/" if above else "")
    assert (tree.kernel, tree.initrd) == (path + trees.KERNEL, path + trees.INITRD)
    assert (set(tree.checksums), tree.checksums_from) == ({tree.kernel, tree.initrd}, f"{path}SHA256SUMS")


@pytest.mark.parametrize(
    ("word", "machine", "kernel", "initrd"),
    [
        ("amd64", "x86_64", "netboot/debian-installer/amd64/linux", "netboot/debian-installer/amd64/initrd.gz"),
        ("arm64", "aarch64", "netboot/debian-installer/arm64/linux", "netboot/debian-installer/arm64/initrd.gz"),
        ("i386", "i686", "netboot/debian-installer/i386/linux", "netboot/debian-installer/i386/initrd.gz"),
        (
            "ppc64el",
            "ppc64le",
            "netboot/debian-installer/ppc64el/vmlinux",
            "netboot/debian-installer/ppc64el/initrd.gz",
        ),
        ("armhf", "armv7l", "netboot/vmlinuz", "netboot/initrd.gz"),
        ("s390x", "s390x", "generic/kernel.debian", "generic/initrd.debian"),
    ],
)
@pytest.mark.parametrize("by", ["address", "option"])
def test_debians_architectures(tmp_path, word, machine, kernel, initrd, by):
    """The address tells the architecture, or the caller does, in any distribution's word."""
    images = f"dists/trixie/main/installer-{word}/current/images/"
    trees.write(tmp_path, {images + "MANIFEST": MANIFEST, images + kernel: b"\x7fELF", images + initrd: b"\x1f\x8b"})
    if by == "address":
        tree = find_tree(f"{tmp_path}/dists/trixie/main/installer-{word}")
        kernel, initrd = f"current/images/{kernel}", f"current/images/{initrd}"
    else:
        tree = find_tree(f"{tmp_path}/dists/trixie", architecture=word)
        kernel, initrd = (f"main/installer-{word}/current/images/{name}" for name in (kernel, initrd))
    assert (tree.architecture, tree.version, tree.kernel, tree.initrd) == (machine, "trixie", kernel, initrd)
    assert tree.checksums == {}


def test_the_architecture_of_this_host_is_taken_where_nothing_tells(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    images = "dists/stable/main/installer-{}/current/images/"
    for word in ("amd64", "arm64"):
        base = images.format(word) + "netboot/debian-installer/" + word
        trees.write(
            tmp_path, {images.format(word) + "MANIFEST": MANIFEST, f"{base}/linux": b"k", f"{base}/initrd.gz": b"i"}
        )
    assert find_tree(str(tmp_path)).architecture == "aarch64"


def test_debians_daily_build(tmp_path):
    trees.write(
        tmp_path / "daily-images/amd64/daily",
        {"MANIFEST": MANIFEST, trees.KERNEL: b"kernel", trees.INITRD: b"initrd"},
    )
    for location in ("daily-images/amd64", "daily-images/amd64/daily/"):
        tree = find_tree(str(tmp_path / location), architecture=None)
        assert tree.architecture == "x86_64"
        assert tree.kernel.endswith(trees.KERNEL)


@pytest.mark.parametrize(
    ("info", "kernel", "initrd", "expected"),
    [
        (
            DISK_INFO.format("amd64"),
            "install.amd/vmlinuz",
            "install.amd/initrd.gz",
            ("Debian GNU/Linux", "12.5.0", "x86_64"),
        ),
        (
            DISK_INFO.format("i386"),
            "install.386/vmlinuz",
            "install.386/initrd.gz",
            ("Debian GNU/Linux", "12.5.0", "i686"),
        ),
        (
            DISK_INFO.format("arm64"),
            "install.a64/vmlinuz",
            "install.a64/initrd.gz",
            ("Debian GNU/Linux", "12.5.0", "aarch64"),
        ),
        (
            DISK_INFO.format("ppc64el"),
            "install/vmlinux",
            "install/initrd.gz",
            ("Debian GNU/Linux", "12.5.0", "ppc64le"),
        ),
        (DISK_INFO.format("s390x"), "boot/linux_vm", "boot/root.bin", ("Debian GNU/Linux", "12.5.0", "s390x")),
        (UBUNTU_INFO, "casper/vmlinuz", "casper/initrd", ("Ubuntu-Server", "24.04.1", "x86_64")),
    ],
)
def test_the_files_of_a_cd(tmp_path, info, kernel, initrd, expected):
    trees.write(tmp_path, {".disk/info": info, kernel: b"kernel", initrd: b"initrd"})
    tree = find_tree(str(tmp_path))
    assert (tree.distribution, tree.version, tree.architecture) == expected
    assert (tree.kernel, tree.initrd) == (kernel, initrd)
    assert tree.family is (Family.UBUNTU if "Ubuntu" in info else Family.DEBIAN)
    with pytest.raises(LocationError, match="not riscv64"):
        find_tree(str(tmp_path), architecture="riscv64")


def test_an_iso_without_mounting_it():
    tree = find_tree(str(fixture("iso-debian")))
    assert (tree.family, tree.architecture) == (Family.DEBIAN, "x86_64")
    assert (tree.kernel, tree.initrd) == ("install.amd/vmlinuz", "install.amd/initrd.gz")
    assert tree.checksums_from == "md5sum.txt"
    assert find_tree(fixture("iso-debian").as_uri()).kernel == tree.kernel


@pytest.mark.parametrize("sums", ["CHECKSUMS", None])
def test_a_newer_suse_without_treeinfo(tmp_path, sums):
    files = {"media.1/products": LEAP_PRODUCTS, "boot/x86_64/loader/linux": "k", "boot/x86_64/loader/initrd": "i"}
    if sums:
        files[sums] = "".join(f"{c * 64}  boot/x86_64/loader/{name}\n" for c, name in (("a", "linux"), ("b", "initrd")))
    tree = find_tree(str(trees.write(tmp_path, files)))
    assert (tree.family, tree.distribution, tree.version) == (Family.SUSE, "openSUSE-Leap", "15.6")
    assert tree.checksums == ({tree.kernel: "sha256:" + "a" * 64, tree.initrd: "sha256:" + "b" * 64} if sums else {})


def test_treeinfo_where_no_file_begins_with_a_dot(tmp_path):
    files = trees.fedora(b"kernel", b"initrd")
    files["treeinfo"] = files.pop(".treeinfo")
    assert find_tree(str(trees.write(tmp_path, files))).checksums_from == "treeinfo"


@pytest.mark.parametrize("path", ["../../etc/shadow", "/etc/shadow", "a/../../b", "..", "", "a\x1bb"])
def test_paths_out_of_the_tree_are_refused(tmp_path, path):
    info = f"[general]\nfamily = Fedora\nversion = 40\narch = x86_64\n[images-x86_64]\nkernel = {path}\ninitrd = x\n"
    trees.write(tmp_path, {".treeinfo": info})
    with pytest.raises(LocationError, match="not a file inside the tree") as caught:
        find_tree(str(tmp_path))
    assert "--kernel" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "files",
    [
        {".treeinfo": "nonsense without sections"},
        {".treeinfo": b"\xff\xfe\0[\0g"},
        {".treeinfo": "[general]\n"},
        {".treeinfo": "[checksums]\n../x = sha256:1\n[general]\narch=x86_64\n"},
        {"content": "DESCRDIR x\nBASEARCHS\n"},
        {"content": "DISTRO cpe:/o:\n"},
        {".disk/info": ""},
        {".disk/info": "- - - -"},
        {".disk/info": 'Debian GNU/Linux 12 "x" - Official amd64'},
        {".discinfo": "1\n2\n3\n4\n"},
        {".discinfo": "1.5\n\n\n"},
        {"MANIFEST": "netboot"},
        {"media.1/products": "/ x 1-1\n"},
        {"media.1/products": "nonsense"},
        {},
    ],
)
def test_what_is_no_whole_tree_is_one_error(tmp_path, files):
    trees.write(tmp_path, files)
    with pytest.raises(LocationError) as caught:
        find_tree(str(tmp_path))
    assert caught.value.hint


BLANKS = "a" + " " * (2 << 20) + "b"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "files",
    [
        {".treeinfo": f"[general]\n{BLANKS}\n"},
        {".treeinfo": f"[general]\nfamily = {BLANKS}\n"},
        {"content": f"DESCRDIR {BLANKS}\nLABEL {BLANKS}\n{'HASH ' * 200_000}\nHASH{' ' * 1_000_000}x"},
        {".disk/info": BLANKS + ' "' * 100_000},
        {".disk/info": "x - - " + "y " * 500_000},
        {"media.1/products": "/ " + "-1" * 1_000_000},
        {"MANIFEST": "netboot", "SHA256SUMS": "0" * 64 + "  " + BLANKS, trees.KERNEL: "k", trees.INITRD: "i"},
    ],
)
def test_text_that_is_made_to_take_for_ever_does_not(tmp_path, files):
    trees.write(tmp_path, files)
    if "MANIFEST" in files:
        assert find_tree(str(tmp_path), architecture="amd64").checksums == {}
    else:
        with pytest.raises(LocationError):
            find_tree(str(tmp_path))


def test_what_is_no_tree_at_all(tmp_path):
    (tmp_path / "disk.raw").write_bytes(bytes(1 << 20))
    with pytest.raises(UnclassifiedImageError, match="not an ISO"):
        find_tree(str(tmp_path / "disk.raw"))
    with pytest.raises(MissingFileError, match="there is no such directory or ISO"):
        find_tree(str(tmp_path / "nothing"))
    with servers.http(tmp_path) as server, pytest.raises(ImgkitError) as caught:
        find_tree(f"{server.address}/debian-12.iso")
    assert "404" in str(caught.value)


def test_an_iso_at_an_address_is_a_tree_of_which_only_what_is_needed_is_fetched(iso_address):
    address, manners = iso_address
    tree = find_tree(address)
    assert (tree.family, tree.architecture) == (Family.DEBIAN, "x86_64")
    assert sum(manners.sent) < 4 << 20


@pytest.fixture
def iso_address():
    manners = Manners(fixture("iso-debian"))
    with serving(manners) as url:
        yield url, manners


BARE = {
    "debian-installer/amd64/linux debian-installer/amd64/initrd.gz": (Family.DEBIAN, "x86_64"),
    "debian-installer/arm64/linux debian-installer/arm64/initrd.gz": (Family.DEBIAN, "aarch64"),
    "linux initrd.gz": (Family.DEBIAN, "x86_64"),
    "ubuntu-installer/amd64/linux ubuntu-installer/amd64/initrd.gz": (Family.UBUNTU, "x86_64"),
    "amd64/linux amd64/initrd": (Family.UBUNTU, "x86_64"),
    "linux initrd": (Family.UBUNTU, "x86_64"),
    "arch/boot/x86_64/vmlinuz-linux arch/boot/x86_64/initramfs-linux.img": (Family.ARCH, "x86_64"),
    "boot/vmlinuz-lts boot/initramfs-lts": (Family.ALPINE, "x86_64"),
    "vmlinuz-virt initramfs-virt": (Family.ALPINE, "x86_64"),
}


@pytest.mark.parametrize("pair", BARE)
@pytest.mark.parametrize("road", ["folder", "http", "iso"])
def test_folders_for_network_booting_that_describe_nothing(tmp_path, pair, road):
    family, machine = BARE[pair]
    kernel, initrd = pair.split()
    folder = trees.write(tmp_path / "tree", {kernel: "kernel", initrd: "initrd"})
    with servers.http(folder) as server:
        places = {"folder": str(folder), "http": server.address, "iso": str(tmp_path / "mini.iso")}
        oracle.run("genisoimage", "-quiet", "-r", "-o", tmp_path / "mini.iso", folder)
        tree = find_tree(places[road], architecture=machine)
    assert (tree.family, tree.architecture, tree.kernel, tree.initrd) == (family, machine, kernel, initrd)
    assert tree.needs_iso == initrd.endswith("initrd")


@pytest.mark.parametrize(
    ("files", "heard"),
    [
        (
            {"arch/boot/x86_64/vmlinuz-linux": "k", "arch/boot/x86_64/initramfs-linux.img": "i"},
            ["archisobasedir=arch", "archiso_http_srv={}/", "ip=dhcp"],
        ),
        (
            {"netboot/vmlinuz-lts": "k", "netboot/initramfs-lts": "i"},
            ["modules=loop,squashfs,sd-mod,usb-storage", "modloop={}/netboot/modloop-lts", "ip=dhcp"],
        ),
        (
            {
                "amd64/linux": "k",
                "amd64/initrd": "i",
                "grub/grub.cfg": "linux amd64/linux iso-url=https://releases.example/ubuntu.iso ip=dhcp ---\n",
            },
            ["iso-url=https://releases.example/ubuntu.iso", "ip=dhcp"],
        ),
    ],
)
def test_what_such_a_kernel_has_to_hear_to_find_the_rest(tmp_path, files, heard):
    with servers.http(trees.write(tmp_path, files)) as server:
        tree = find_tree(server.address, architecture="amd64")
    assert list(tree.arguments) == [word.format(server.address) for word in heard]
    line = installer_arguments(tree, default_console("x86_64")).split()
    assert set(tree.arguments) <= set(line)
    assert "console=ttyS0,115200n8" in line


def test_alpines_mirror_is_told_to_its_kernel(tmp_path):
    release = "alpine/v3.20/releases/x86_64/netboot"
    trees.write(tmp_path, {f"{release}/vmlinuz-lts": "k", f"{release}/initramfs-lts": "i"})
    with servers.http(tmp_path) as server:
        tree = find_tree(f"{server.address}/{release}", architecture="x86_64")
        assert f"alpine_repo={server.address}/alpine/v3.20/main" in tree.arguments
