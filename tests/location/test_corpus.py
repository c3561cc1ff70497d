"""Detection against the corpus: trees of virt-manager's tests, .treeinfo files of productmd's.

The trees there hold only what tells them apart, so kernels and initial RAM disks are put where virt-manager's own tests
expect them; where a tree offers several architectures, the 64-bit PC's is what both take.
"""

from __future__ import annotations

import configparser
import re
import shutil

import pytest

from imgkit.errors import LocationError
from imgkit.installers import Family
from imgkit.installers.trees import architecture_name
from imgkit.location.tree import find_tree
from tests.location import trees
from tests.support import corpus

pytestmark = pytest.mark.corpus

URLDETECT = "trees/virt-manager/urldetect/"
PXEBOOT = ("images/pxeboot/vmlinuz", "images/pxeboot/initrd.img")
LOADER = ("boot/x86_64/loader/linux", "boot/x86_64/loader/initrd")
UBUNTU = ("netboot/ubuntu-installer/amd64/linux", "netboot/ubuntu-installer/amd64/initrd.gz")

# family, distribution, version, architecture, kernel and initial RAM disk, by folder
EXPECTED = {
    "centos/6.10": (Family.RHEL, "CentOS", "6.10", "x86_64", *PXEBOOT),
    "centos/sl7": (Family.RHEL, "Scientific", "7.8", "x86_64", *PXEBOOT),
    "opensuse/10.3": (Family.SUSE, "openSUSE", "10.3", "x86_64", *LOADER),
    "opensuse/11.4": (Family.SUSE, "openSUSE", "11.4", "x86_64", *LOADER),
    "opensuse/12.3": (Family.SUSE, "openSUSE", "12.3", "x86_64", *LOADER),
    "opensuse/13.2": (Family.SUSE, "openSUSE", "13.2", "x86_64", *LOADER),
    "opensuse/42.3": (Family.SUSE, "openSUSE Leap", "42.3", "x86_64", *LOADER),
    "opensuse/badversion": (Family.SUSE, "openSUSE", "77.77", "x86_64", *LOADER),
    "opensuse/15.9": (Family.SUSE, "openSUSE Leap", "15.9", "x86_64", *LOADER),
    "opensuse/tumbleweed": (Family.SUSE, "openSUSE Tumbleweed", "", "x86_64", *LOADER),
    "ubuntu/ubuntu-17.10-amd64.iso": (
        *(Family.UBUNTU, "Ubuntu-Server", "17.10", "x86_64"),
        *("install/vmlinuz", "install/initrd.gz"),
    ),
    "ubuntu/ubuntu-17.10-s390x.iso": (
        *(Family.UBUNTU, "Ubuntu-Server", "17.10", "s390x"),
        *("boot/kernel.ubuntu", "boot/initrd.ubuntu"),
    ),
    "ubuntu/bionic/main/installer-amd64": (
        *(Family.UBUNTU, "Ubuntu", "", "x86_64"),
        *(f"current/images/{name}" for name in UBUNTU),
    ),
    "ubuntu/focal/main/installer-amd64": (
        *(Family.UBUNTU, "Ubuntu", "", "x86_64"),
        *(f"current/legacy-images/{name}" for name in UBUNTU),
    ),
}
FOLDERS = {
    match[1]
    for name in corpus.manifest("trees")
    if (match := re.match(rf"{URLDETECT}(.*?)/(?:\.treeinfo|content|\.disk/info|current/.*/MANIFEST)$", name))
}
TREEINFO = sorted(name for name in corpus.manifest("trees") if "/treeinfo/" in name)


def test_every_tree_of_the_corpus_is_expected():
    assert set(EXPECTED) == FOLDERS


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_the_trees_of_virt_manager(name, tmp_path):
    family, distribution, version, architecture, kernel, initrd = EXPECTED[name]
    folder = tmp_path / name.rpartition("/")[2]
    shutil.copytree(corpus.path(URLDETECT + name), folder, copy_function=shutil.copyfile)
    for path in (folder, *folder.rglob("*/")):
        path.chmod(0o755)
    trees.write(folder, {kernel: b"kernel", initrd: b"initrd"})
    tree = find_tree(str(folder))
    assert (tree.family, tree.distribution, tree.version, tree.architecture) == (
        *(family, distribution, version, architecture),
    )
    assert (tree.kernel, tree.initrd) == (kernel, initrd)
    lists = (folder / "content", folder / ".treeinfo")
    listed = "".join(path.read_text() for path in lists if path.exists())
    assert set(tree.checksums) == {
        path for path in (kernel, initrd) if re.search(rf"^HASH .* {path}$|^{path} =", listed, re.MULTILINE)
    }
    for path, checksum in tree.checksums.items():
        algorithm, digits = checksum.split(":")
        assert re.search(
            rf"{algorithm}[: ]{digits}  {path}$|^{path} = {checksum}$", listed, re.MULTILINE | re.IGNORECASE
        )


def test_the_fedora_tree_of_virt_manager_and_its_checksums():
    """Its kernel is a stand-in that does not agree with the checksums of the real one."""
    folder = corpus.path("trees/virt-manager/fakemedia/fakefedoratree")
    tree = find_tree(str(folder))
    assert (tree.family, tree.version, tree.kernel, tree.initrd) == (Family.FEDORA, "17", *PXEBOOT)
    assert tree.checksums[PXEBOOT[0]] == "sha256:dba59f0711ec8a2ef6b8981be15286ee2ea4d9b9e4d66eec0bb27b0518d463a5"
    assert tree.checksums_from == ".treeinfo"


@pytest.mark.parametrize("name", TREEINFO)
def test_the_treeinfo_files_of_productmd(name, tmp_path):
    """Each says what the tree has, or is refused because it names no kernel at all, as media of packages alone do."""
    info = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    info.read_string(corpus.path(name).read_text())
    trees.write(tmp_path, {".treeinfo": corpus.path(name).read_bytes()})
    images = {section[7:]: info[section] for section in info.sections() if section.startswith("images-")}
    complete = {word: section for word, section in images.items() if {"kernel", "initrd"} <= set(section)}
    own = info["general"]["arch"]
    if own not in complete:
        with pytest.raises(LocationError, match="an install tree, but without a kernel") as caught:
            find_tree(str(tmp_path))
        assert "--kernel" in (caught.value.hint or "")
        assert not complete or own == "armhfp"
        return
    tree = find_tree(str(tmp_path))
    assert tree.architecture == architecture_name(own)
    assert (tree.kernel, tree.initrd) == (complete[own]["kernel"], complete[own]["initrd"])
    assert tree.distribution == info["general"]["family"]
    assert tree.version == info["general"]["version"]
    assert tree.family is {"F": Family.FEDORA, "R": Family.RHEL, "o": Family.SUSE}[tree.distribution[0]]
    for word in set(complete) - {"xen", own}:
        assert find_tree(str(tmp_path), architecture=word).kernel == complete[word]["kernel"]


@pytest.mark.parametrize("name", sorted(name for name in corpus.manifest("trees") if "/discinfo/" in name))
def test_the_discinfo_files_of_productmd(name, tmp_path):
    files = {".discinfo": corpus.path(name).read_bytes(), PXEBOOT[0]: b"kernel", PXEBOOT[1]: b"initrd"}
    tree = find_tree(str(trees.write(tmp_path, files)))
    assert tree.family is Family.FEDORA
    assert name.rpartition(".")[2] in (tree.architecture, "i386", "armhfp")
    assert re.search(r"fedora-(\d+)", name)[1] in (tree.version.partition("_")[0], *told_otherwise(name, tree.version))


def told_otherwise(name, version):
    """Fedora 8's tree says that it is "development"."""
    return ["8"] if "fedora-8-Everything" in name and version == "development" else []
