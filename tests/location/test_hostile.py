"""Trees that a generator made up or damaged: each is told, or refused with one error; nothing else comes out."""

from __future__ import annotations

import shutil

from hypothesis import given, settings
from hypothesis import strategies as st

from imgkit.errors import ImgkitError
from imgkit.installers import trees as sums
from imgkit.location.tree import find_tree
from tests.location import trees

GOOD = {
    ".treeinfo": trees.fedora(b"k", b"i")[".treeinfo"],
    "content": b"DESCRDIR suse\nDISTRO cpe:/o:opensuse:opensuse:13.2,openSUSE\nREPOID x/i586-x86_64\n"
    b"HASH SHA256 " + b"0" * 64 + b"  boot/x86_64/loader/linux\n",
    ".disk/info": b'Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST 20240210-11:27',
    ".discinfo": b"1417650209.342809\nFedora-Server 21\nx86_64\n",
    "MANIFEST": b"netboot/debian-installer -- PXE boot directory\n",
    "media.1/products": b"/ openSUSE-Leap 15.6-1\n",
}
PRESENT = {
    **dict.fromkeys(("images/pxeboot/vmlinuz", "images/pxeboot/initrd.img", "install.amd/vmlinuz"), b"kernel"),
    **dict.fromkeys(("install.amd/initrd.gz", trees.KERNEL, trees.INITRD), b"initrd"),
    **{f"boot/x86_64/loader/{name}": b"suse" for name in ("linux", "initrd")},
}


@st.composite
def damaged(draw):
    """A good file of a tree with a piece cut out, put in, or put in the place of another."""
    name = draw(st.sampled_from(sorted(GOOD)))
    data = GOOD[name]
    start = draw(st.integers(0, len(data)))
    stop = draw(st.integers(start, min(len(data), start + 20)))
    piece = draw(st.one_of(st.binary(max_size=20), st.text("[]=:.-/ \n\"'%0", max_size=20).map(str.encode)))
    return name, data[:start] + piece + data[stop:]


@settings(max_examples=200, deadline=None)
@given(file=damaged())
def test_damaged_trees(tmp_path_factory, file):
    name, data = file
    folder = trees.write(tmp_path_factory.mktemp("tree"), PRESENT | {name: data})
    try:
        tree = find_tree(str(folder))
    except ImgkitError:
        pass
    else:
        assert not tree.kernel.startswith(("/", ".."))
        assert set(tree.checksums) <= {tree.kernel, tree.initrd}
    shutil.rmtree(folder)


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=300))
def test_lists_of_checksums_from_anything(text):
    for listed in (sums.sums(text), sums.content_hashes(text)):
        assert all(value.partition(":")[0] in ("md5", "sha1", "sha256", "sha512") for value in listed.values())
