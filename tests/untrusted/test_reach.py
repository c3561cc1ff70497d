"""An image reaches only itself: no file beside it, no file outside a tree, no line of the terminal, no right."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

import pexpect
import pytest

from imgkit.errors import LocationError, UnsupportedError
from imgkit.formats.image import Format, open_image
from imgkit.location.fetch import fetch
from imgkit.location.tree import find_tree
from imgkit.visible import visible_bytes, visible_line, visible_text
from tests.cli.command import environment, imgkit, script
from tests.location import trees
from tests.support import oracle
from tests.untrusted.test_bombs import guest

FORGED = "a\nimgkit: error: forged\x1b[2J\u202e"
SEEN = r"a\nimgkit: error: forged\x1b[2J\u202e"


def first_byte(image: Path, **options: object) -> bytes:
    with open_image(image, **options) as opened:
        return opened.disk.read_at(0, 1)


def create_on(backing: Path, image: Path) -> None:
    """A qcow2 image that names a backing file without its format, as qemu-img made them before version 6.1."""
    oracle.run("qemu-img", "create", "-q", "-f", "qcow2", image, "64k")
    name = backing.name.encode()
    with image.open("r+b") as file:
        file.seek(8)
        file.write(struct.pack(">QI", 4096, len(name)))
        file.seek(4096)
        file.write(name)
    assert "backing-filename-format" not in oracle.run("qemu-img", "info", "--output=json", image).stdout


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim.raw"
    path.write_bytes(b"v" * 65536)
    return path


# -- what a guest writes to its disk ----------------------------------------------------------------------------------


def test_a_raw_disk_with_a_header_that_names_a_neighbour(tmp_path, victim):
    image = tmp_path / "guest.img"
    oracle.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", victim.name, image, "64k")
    with pytest.raises(UnsupportedError, match=r"backing file 'victim\.raw'") as caught:
        first_byte(image)
    assert "--format qcow2" in (caught.value.hint or "")
    done = imgkit("inspect", image)
    assert done.status != 0
    assert "--format qcow2" in done.stderr
    assert first_byte(image, image_format=Format.QCOW2) == b"v"
    assert first_byte(image, image_format=Format.RAW) == b"Q"
    assert imgkit("inspect", image, "--format", "qcow2").status == 0
    assert first_byte(image.rename(tmp_path / "guest.qcow2")) == b"v"


def test_a_raw_disk_with_a_header_that_names_a_data_file(tmp_path):
    image, data = tmp_path / "guest.img", tmp_path / "data.raw"
    oracle.run("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={data},data_file_raw=on", image, "64k")
    data.write_bytes(b"d" * 65536)
    with pytest.raises(UnsupportedError, match="external data file") as caught:
        first_byte(image)
    assert "--format qcow2" in (caught.value.hint or "")
    # Even then a second file that is written through wants a word of its own.
    with pytest.raises(UnsupportedError, match="second file"):
        first_byte(image, image_format=Format.QCOW2)
    oracle.run("qemu-io", "-f", "qcow2", "-c", "write -P 100 0 64k", image)
    assert first_byte(image, image_format=Format.QCOW2, allow=[data]) == b"d"


def test_a_backing_file_without_a_recorded_format_refers_no_further(tmp_path, victim):
    top, middle = tmp_path / "top.qcow2", tmp_path / "middle.img"
    oracle.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", victim.name, middle, "64k")
    create_on(middle, top)
    with pytest.raises(UnsupportedError, match=r"middle\.img.* names the backing file 'victim\.raw'") as caught:
        first_byte(top)
    way_out = f"qemu-img rebase -u -b {middle.name} -F qcow2 {top}"
    assert way_out in (caught.value.hint or "")
    oracle.run(*way_out.split())
    assert first_byte(top) == b"v"


def test_a_backing_file_without_a_recorded_format_that_stands_alone_is_read(tmp_path):
    top, middle = tmp_path / "top.qcow2", tmp_path / "middle.img"
    oracle.run("qemu-img", "create", "-q", "-f", "qcow2", middle, "64k")
    oracle.run("qemu-io", "-f", "qcow2", "-c", "write -P 109 0 64k", middle)
    create_on(middle, top)
    assert first_byte(top) == b"m"


# -- install trees ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["absolute", "relative", "folder"])
def test_a_link_that_leads_out_of_an_install_tree(tmp_path, target):
    (tmp_path / "secrets").mkdir()
    secret = tmp_path / "secrets/vmlinuz"
    secret.write_bytes(b"secret")
    tree = trees.write(tmp_path / "tree", trees.fedora(b"kernel", b"initrd", sums=""))
    kernel = tree / "images/pxeboot/vmlinuz"
    if target == "folder":
        for path in kernel.parent.iterdir():
            path.rename(tmp_path / "secrets" / path.name)
        kernel.parent.rmdir()
        kernel.parent.symlink_to(tmp_path / "secrets")
    else:
        kernel.unlink()
        kernel.symlink_to(secret if target == "absolute" else "../../../secrets/vmlinuz")
    with pytest.raises(LocationError):
        fetch(find_tree(str(tree)), tmp_path / "cache")
    assert not [path for path in tmp_path.glob("cache/**/*") if path.is_file() and b"secret" in path.read_bytes()]


def test_a_link_within_an_install_tree_is_followed(tmp_path):
    tree = trees.write(tmp_path / "tree", trees.fedora(b"kernel", b"initrd", sums=""))
    kernel = tree / "images/pxeboot/vmlinuz"
    kernel.rename(tree / "vmlinuz-6.1")
    kernel.symlink_to("../../vmlinuz-6.1")
    assert fetch(find_tree(str(tree)), tmp_path / "cache").kernel.read_bytes() == b"kernel"


# -- text -------------------------------------------------------------------------------------------------------------


def test_text_that_forges_is_shown_as_escapes():
    assert visible_line(FORGED) == SEEN
    assert visible_text(FORGED) == SEEN.replace(r"\n", "\n")
    assert visible_line("caf\u00e9 \udce9\x9b31m\r") == "caf\u00e9 \\udce9\\x9b31m\\r"
    assert visible_bytes(b"\x1b[31m\tcaf\xc3\xa9 \xe9\x9b\x7f\r\n") == b"^[[31m\tcaf\xc3\xa9 M-iM-^[^?^M\n"


@pytest.fixture
def forging(tmp_path):
    """An image with a name, and a label of a menu, that are made to forge."""
    folder = tmp_path / "tree/srv"
    folder.mkdir(parents=True)
    (folder / FORGED).write_bytes(b"\x1b[31mred\x1b[0m\r\n")
    (folder / "plain").symlink_to(FORGED)
    return guest(tmp_path / "disk.img", tmp_path / "tree")


def test_names_forge_no_line_of_a_listing(forging):
    done = imgkit("ls", forging, "/srv")
    assert done.text.splitlines() == [SEEN, "plain"]
    long = imgkit("ls", "-l", forging, "/srv").text
    assert len(long.splitlines()) == 2
    assert long.splitlines()[0].endswith(SEEN)
    assert "\x1b" not in long


def test_names_forge_no_message(forging, tmp_path):
    for words in (("cat", forging, f"/srv/{FORGED}x"), ("ls", forging, f"/{FORGED}"), ("inspect", tmp_path / FORGED)):
        done = imgkit(*words)
        assert done.status not in (0, 1)
        assert sum(line.startswith("imgkit: ") for line in done.stderr.splitlines()) == 1, done.stderr
        assert SEEN in done.stderr
        assert "\x1b" not in done.stderr


def test_names_forge_nothing_in_the_report_of_a_batch(forging, tmp_path):
    image = forging.rename(tmp_path / FORGED)
    done = imgkit("batch", "console", "enable", image, "--in-place", "--ledger", tmp_path / "ledger", cwd=tmp_path)
    told = done.text + done.stderr
    for words in (("status", tmp_path / "ledger"), ("report", tmp_path / "ledger", "-o", tmp_path / "page.html")):
        done = imgkit("batch", *words, cwd=tmp_path)
        told += done.text + done.stderr
    page = (tmp_path / "page.html").read_text()
    assert SEEN in told
    assert not {"\x1b", "\u202e"} & set(told + page)
    assert not [line for line in told.splitlines() if line.startswith("imgkit: error: forged")]


@pytest.mark.parametrize(("options", "shown"), [([], b"^[[31mred^[[0m^M"), (["--raw"], b"\x1b[31mred\x1b[0m")])
def test_a_terminal_gets_no_sequence_unless_it_asks(forging, options, shown):
    child = pexpect.spawn(str(script()), ["cat", str(forging), "/srv/plain", *options], env=environment())
    seen = child.expect_exact([shown, pexpect.EOF])
    child.wait()
    assert seen == 0, child.before


# -- rights -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_extract_keeps_the_sticky_bit_and_gives_no_rights(tmp_path, mask):
    tree, out = tmp_path / "tree", tmp_path / "out"
    (tree / "tmp").mkdir(parents=True)
    (tree / "shared").mkdir()
    (tree / "tmp/file").write_text("x")
    (tree / "program").write_text("x")
    for name, mode in {"tmp": 0o1777, "shared": 0o2775, "tmp/file": 0o666, "program": 0o6755}.items():
        (tree / name).chmod(mode)
    image = tmp_path / "cd.iso"
    oracle.run("xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", "X", "-o", image, tree)
    through = ["sh", "-c", f'umask {mask:04o}; exec "$@"', "sh"]
    assert imgkit("iso", "extract", image, out, through=through).status == 0
    modes = {name: stat.S_IMODE((out / name).stat().st_mode) for name in ("tmp", "shared", "tmp/file", "program")}
    assert modes == {
        "tmp": 0o1777 & ~mask,
        "shared": 0o775 & ~mask,
        "tmp/file": 0o666 & ~mask,
        "program": 0o755 & ~mask,
    }


# -- ext2 -------------------------------------------------------------------------------------------------------------


def test_unused_inodes_that_no_feature_counts(tmp_path):
    """bg_itable_unused without uninit_bg: what e2fsck passes over before an edit must be so behind it."""
    tree = tmp_path / "tree/d"
    tree.mkdir(parents=True)
    for number in range(50):
        (tree / str(number)).touch()
    image = guest(tmp_path / "disk.img", tmp_path / "tree", "-t ext2 -b 1024 -I 256 -N 200", "1500k")
    free = int(oracle.run("dumpe2fs", "-h", image).stdout.partition("Free inodes:")[2].split()[0])
    with image.open("r+b") as file:
        file.seek(2048 + 0x1C)
        file.write(struct.pack("<H", free))
    assert oracle.run("e2fsck", "-fn", image, check=False).returncode == 0
    for number in range(3):
        done = imgkit("write", image, f"/etc/n{number}", "--in-place", stdin=os.urandom(10))
        assert done.status == 0, done.stderr
    checked = oracle.run("e2fsck", "-fn", image, check=False)
    assert checked.returncode == 0, checked.stdout
