"""Small images that claim to be large: answered or refused, in bounded time and memory."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest

from tests.support import oracle
from tests.untrusted.bounded import imgkit

HOLE = 1 << 30
GRUB_CFG = "menuentry 'x' {\n linux /vmlinuz root=/dev/sda quiet\n}\n"
# Every file that is read of an installed system, whoever reads it.
READ = """
/etc/os-release /usr/lib/os-release /etc/debian_version /etc/fstab /etc/inittab /etc/securetty /etc/default/grub
/etc/default/grub.d/50.cfg /etc/default/u-boot /etc/default/extlinux /etc/update-extlinux.conf /etc/kernel/cmdline
/etc/init/ttyS0.conf /etc/systemd/system/serial-getty@.service /lib/systemd/system/getty.target
/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service /etc/runit/runsvdir/default/agetty-ttyS0/run
/boot/grub/grub.cfg /boot/grub/custom.cfg /boot/grub2/grub.cfg /boot/grub/grubenv /boot/grub/menu.lst
/boot/loader/loader.conf /boot/loader/entries/a.conf /boot/extlinux/extlinux.conf /boot/efi/EFI/debian/grub.cfg
/boot/cmdline.txt /boot/config.txt /bin/sh /sbin/init /var/lib/dpkg/arch /boot/vmlinuz /etc/hostname
""".split()


def guest(image: Path, folder: Path, options: str = "-t ext4 -b 1024 -O ^has_journal", size: str = "8M") -> Path:
    """An image of one file system, made of a folder that becomes a small system first; what is there already stays."""
    for name, text in {
        "etc/os-release": "ID=debian\n",
        "etc/fstab": "/dev/sda / ext4 defaults 0 1\n",
        "boot/grub/grub.cfg": GRUB_CFG,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(text)
    oracle.run("truncate", "-s", size, image)
    oracle.run("mke2fs", "-q", "-F", *options.split(), "-d", folder, image)
    return image


@pytest.mark.parametrize("path", READ)
def test_a_hole_in_the_place_of_a_file_that_is_read(tmp_path, path):
    hole = tmp_path / f"tree{path}"
    hole.parent.mkdir(parents=True)
    hole.touch()
    os.truncate(hole, HOLE)
    image = guest(tmp_path / "disk.img", tmp_path / "tree")
    imgkit("console", "enable", image, "--dry-run")


@pytest.mark.parametrize("what", ["a", '"', "$", "a ", "\\"])
@pytest.mark.parametrize("path", ["/etc/os-release", "/etc/default/grub", "/etc/inittab", "/boot/grub/grub.cfg"])
def test_a_file_of_one_character_a_million_times(tmp_path, path, what):
    file = tmp_path / f"tree{path}"
    file.parent.mkdir(parents=True)
    file.write_text("PRETTY_NAME=" + what * ((1 << 20) // len(what.encode()) - 20) + "\n")
    image = guest(tmp_path / "disk.img", tmp_path / "tree")
    imgkit("console", "enable", image, "--dry-run")


@pytest.mark.parametrize("what", ["a ", "a;", "a\n", "$a", '"$a"', "\\a", "{\n", "if a;then\n", '"$a" '])
@pytest.mark.parametrize("start", ["", "menuentry 'x' {\n linux /vmlinuz "])
def test_a_menu_of_too_many_words_or_one_too_long(tmp_path, what, start):
    file = tmp_path / "tree/boot/grub/grub.cfg"
    file.parent.mkdir(parents=True)
    end = "\n}\n" if start else "\n"
    file.write_text(start + what * (((1 << 20) - 50) // len(what)) + end)
    image = guest(tmp_path / "disk.img", tmp_path / "tree")
    ran = imgkit("console", "enable", image, "--dry-run")
    assert ran.status == 12
    assert "/boot/grub/grub.cfg:" in ran.errors


@pytest.mark.parametrize(
    "start",
    [
        "while true; do set a=$a$a; done\n" * 100,
        "source /*/*/*/*/*\n" * 2000,
        "".join(f"for x{n} in a b c d e f g h; do\n" for n in range(20)) + "echo\n" + "done\n" * 20,
    ],
    ids=["values that double", "patterns", "loops in loops"],
)
def test_a_menu_that_cannot_be_followed_to_its_end(tmp_path, start):
    image = guest(tmp_path / "disk.img", config(tmp_path / "tree", "/boot/grub/grub.cfg", start + GRUB_CFG))
    assert imgkit("console", "enable", image, "--dry-run").status in (0, 15)


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        (
            "/etc/default/grub",
            "A=xxxxxxxx\n" + 'A="$A$A"\n' * 60,
            "/etc/default/grub:15: the value of A grows too large",
        ),
        ("/boot/extlinux/extlinux.conf", "LABEL a\nKERNEL /v\nAPPEND x\n" * 30_000, "more than 20,000 directives"),
    ],
)
def test_settings_that_grow(tmp_path, path, text, says):
    image = guest(tmp_path / "disk.img", config(tmp_path / "tree", path, text))
    for words in (("console", "status", image), ("console", "enable", image, "--dry-run")):
        done = imgkit(*words)
        assert (done.status, says in done.errors) == (12, True), done


def test_more_boot_entries_than_any_system_has(tmp_path):
    for number in range(3000):
        folder = config(tmp_path / "tree", f"/boot/loader/entries/{number}.conf", "title x\nlinux /v\n")
    options = "-t ext4 -b 1024 -N 6000 -O ^has_journal"
    image = guest(tmp_path / "disk.img", folder, options, "24M")
    for words in (("console", "enable", image, "--dry-run"), ("inspect", image)):
        done = imgkit(*words)
        assert done.status == 12
        assert "more than 200 boot loader configurations" in done.errors


def config(folder: Path, path: str, text: str) -> Path:
    """The folder of a guest, with a file in it."""
    file = folder / path[1:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return folder


def test_a_file_that_is_not_read_may_be_a_hole_and_is_replaced(tmp_path):
    tree = tmp_path / "tree/srv"
    tree.mkdir(parents=True)
    (tree / "hole").touch()
    os.truncate(tree / "hole", HOLE)
    image = guest(tmp_path / "disk.img", tmp_path / "tree")
    (tmp_path / "new").write_text("new")
    assert imgkit("write", image, "/srv/hole", tmp_path / "new", "--in-place").status == 0
    assert imgkit("cat", image, "/srv/hole").output == "new"
    assert oracle.run("e2fsck", "-fn", image, check=False).returncode == 0


@pytest.mark.parametrize("command", ["edit", "cat --json"])
def test_a_file_that_is_too_long_to_be_read_whole_is_refused(tmp_path, command, monkeypatch):
    tree = tmp_path / "tree/srv"
    tree.mkdir(parents=True)
    (tree / "hole").touch()
    os.truncate(tree / "hole", HOLE)
    image = guest(tmp_path / "disk.img", tmp_path / "tree")
    monkeypatch.setenv("EDITOR", "true")
    verb, *options = command.split()
    ran = imgkit(verb, image, "/srv/hole", *options, *(["--dry-run"] if verb == "edit" else []))
    assert ran.status == 11
    assert "8,388,608" in ran.output + ran.errors


def test_a_directory_of_many_names(tmp_path):
    """40,000 names in /boot/loader/entries, none of them worth a file."""
    script = tmp_path / "script"
    image = guest(tmp_path / "disk.img", tmp_path / "tree", "-t ext4 -b 1024 -O ^has_journal,^dir_index", "32M")
    (tmp_path / "one").write_text("")
    commands = [
        "mkdir /boot/loader",
        "mkdir /boot/loader/entries",
        "cd /boot/loader/entries",
        f"write {tmp_path}/one a",
    ]
    commands += [f"ln a {number}.conf" for number in range(3000)]
    script.write_text("\n".join(commands) + "\n")
    oracle.run("debugfs", "-w", "-f", script, image)
    imgkit("inspect", image)


@pytest.mark.parametrize("bits", [9, 12, 16, 21])
@pytest.mark.parametrize("refers", ["one block", "many blocks"])
def test_a_refcount_table_of_a_million_entries(tmp_path, bits, refers):
    image = tmp_path / "disk.qcow2"
    cluster, entries = 1 << bits, 1 << 20
    table_clusters = max(entries * 8 // cluster, 1)
    block = (2 + table_clusters) * cluster
    blocks = [block + (number * cluster if refers == "many blocks" else 0) for number in range(entries)]
    size = blocks[-1] + cluster
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, bits, 16384, 0, 1, cluster, 2 * cluster, table_clusters, 0, 0
    )
    with image.open("wb") as file:
        file.truncate(size)
        file.write(header + struct.pack(">QQQII", 0, 0, 0, 4, 104))
        file.seek(2 * cluster)
        file.write(struct.pack(f">{entries}Q", *blocks))
    imgkit("inspect", image)


def iso(image: Path, files: dict[str, str]) -> bytearray:
    folder = image.parent / "iso"
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    oracle.run("xorriso", "-as", "mkisofs", "-quiet", "-r", "-V", "X", "-o", image, folder)
    return bytearray(image.read_bytes())


MENU = "default x\nlabel x\n kernel /v\n append initrd=/i quiet\n"


@pytest.mark.parametrize(
    "name", ["md5sum.txt", ".treeinfo", ".discinfo", "isolinux/isolinux.cfg", ".disk/info", "coreos/kargs.json"]
)
def test_a_file_of_an_iso_that_is_a_hole(tmp_path, name):
    """The record says 1 GiB, and the image is as long: a hole."""
    image = tmp_path / "cd.iso"
    data = iso(image, {"isolinux/isolinux.cfg": MENU, "v": "x", "i": "y", name: MENU})
    plain = name.rpartition("/")[2].upper()
    last = name.rpartition("/")[2].encode()
    at = data.find(b"NM" + bytes([5 + len(last), 1, 0]) + last)
    assert at > 0, plain
    start = max(
        position
        for position in range(at - 120, at)
        if data[position]
        and position + data[position] > at
        and int.from_bytes(data[position + 10 : position + 14], "little") == len(MENU)
    )
    data[start + 10 : start + 18] = struct.pack("<I", HOLE) + struct.pack(">I", HOLE)
    image.write_bytes(data)
    os.truncate(image, HOLE + len(data))
    imgkit("inspect", image)
    imgkit("console", "enable", image, "--dry-run")


@pytest.mark.parametrize("entry", [b"XX\x04\x01", b"NM\xff\x01\x00" + b"a" * 250, b"CE\x1c\x01" + bytes(24)])
def test_continuation_areas_that_all_records_share(tmp_path, entry):
    image = tmp_path / "cd.iso"
    data = iso(
        image, {"isolinux/isolinux.cfg": MENU, "pad": "\0" * (60 * 32768), **{f"f{n:04}": "" for n in range(200)}}
    )
    root, size = struct.unpack_from("<I", data, 16 * 2048 + 158)[0], struct.unpack_from("<I", data, 16 * 2048 + 166)[0]
    records, position = [], root * 2048
    while position < root * 2048 + size:
        if not data[position]:
            position = (position // 2048 + 1) * 2048
            continue
        records.append(position)
        position += data[position]
    area = next(struct.unpack_from("<I", data, at + 2)[0] for at in records if data[at + 33 :].startswith(b"PAD"))

    def continued(block: int) -> bytes:
        return b"CE\x1c\x01" + b"".join(struct.pack("<I", n) + struct.pack(">I", n) for n in (block, 0, 32768))

    for number in range(60):
        body = continued(area + 16 * (number + 1)) if number < 59 else b""
        body += entry * ((32768 - 300) // len(entry))
        data[(area + 16 * number) * 2048 : (area + 16 * number + 16) * 2048] = body.ljust(32768, b"\0")
    for at in records:
        start = at + 33 + data[at + 32] + (1 - data[at + 32] % 2)
        if data[at + 33 :].startswith(b"F") and at + data[at] - start >= 28:
            data[start : at + data[at]] = continued(area).ljust(at + data[at] - start, b"\0")
    image.write_bytes(data)
    assert imgkit("inspect", image).status == 4


@pytest.mark.parametrize(("count", "size"), [(2**32 - 1, 128), (2**32 - 1, 4096), (128, 2**32 - 128), (32768, 128)])
def test_a_gpt_of_many_entries(tmp_path, count, size):
    image = tmp_path / "disk.img"
    oracle.run("truncate", "-s", "64M", image)
    oracle.run("sfdisk", "-q", image, text_in="label: gpt\nsize=10M\n")
    data = bytearray(image.read_bytes())
    for lba in (1, len(data) // 512 - 1):
        head = bytearray(data[lba * 512 : lba * 512 + 92])
        head[80:88] = struct.pack("<II", count, size)
        head[16:20] = bytes(4)
        head[16:20] = struct.pack("<I", zlib.crc32(head))
        data[lba * 512 : lba * 512 + 92] = head
    image.write_bytes(data)
    imgkit("inspect", image)


def test_extended_partitions_in_a_circle(tmp_path):
    image = tmp_path / "disk.img"
    data = bytearray(16 << 20)
    data[510:512] = b"\x55\xaa"
    data[446:462] = struct.pack("<8sII", b"\0\0\0\0\x05\0\0\0", 2048, 20000)
    for start, following in ((2048, 4096), (4096, 2048)):
        at = start * 512
        data[at + 510 : at + 512] = b"\x55\xaa"
        data[at + 446 : at + 462] = struct.pack("<8sII", b"\0\0\0\0\x83\0\0\0", 1, 100)
        data[at + 462 : at + 478] = struct.pack("<8sII", b"\0\0\0\0\x05\0\0\0", following - 2048, 2000)
    image.write_bytes(data)
    imgkit("inspect", image)


def test_a_fat_chain_in_a_circle_and_a_file_of_4_gib(tmp_path):
    image = tmp_path / "disk.img"
    oracle.run("truncate", "-s", "40M", image)
    oracle.run("mkfs.vfat", "-F", "32", "-s", "1", image)
    (tmp_path / "f").write_bytes(b"x" * 5000)
    oracle.run("mcopy", "-i", image, tmp_path / "f", "::cfg")
    data = bytearray(image.read_bytes())
    at = data.find(b"CFG        ")
    first = struct.unpack_from("<H", data, at + 26)[0]
    data[at + 28 : at + 32] = b"\xff\xff\xff\xff"
    table = data.index(b"\xf8\xff\xff\x0f")
    fat_size = struct.unpack_from("<I", data, 36)[0] * 512
    for copy in (0, fat_size):
        struct.pack_into("<I", data, table + copy + first * 4, first)
    image.write_bytes(data)
    imgkit("inspect", image)
