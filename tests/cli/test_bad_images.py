"""Images that are damaged, hostile, encrypted or somebody else's: refused by name, with the way out, untouched."""

import json
import os
import struct
import subprocess
import zlib
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.command import assert_refused, imgkit, snapshot
from tests.support import oracle
from tests.support.disks import sha256
from tests.support.guests import OS_RELEASE, Part, make_disk, make_file_system
from tests.support.images import private_copy

ENABLE = ("console", "enable")


def refused(image, *options, **expected):
    """The image is not edited, neither in place nor into a new file."""
    assert_refused(image.parent, *ENABLE, image, "--in-place", *options, **expected)
    assert_refused(image.parent, *ENABLE, image, "-o", image.with_name("new"), *options, **expected)


def patch(image, offset, data):
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@contextmanager
def qemu_with(image, *drive):
    """A QEMU that has the image open, as one that runs a guest has it."""
    words = ["-machine", "none", "-nodefaults", "-display", "none", "-qmp", "stdio"]
    words += ["-drive", ",".join([f"file={image}", "format=qcow2", "if=none", *drive])]
    words = [oracle.find("qemu-system-x86_64"), *words]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as qemu:
        try:
            qemu.stdin.write('{"execute": "qmp_capabilities"}\n')
            qemu.stdin.flush()
            assert "QMP" in json.loads(qemu.stdout.readline())
            assert json.loads(qemu.stdout.readline()) == {"return": {}}
            yield
        finally:
            qemu.kill()


def test_an_image_that_qemu_writes_to_is_in_use(small):
    with qemu_with(small):
        refused(small, status=6, says="another process has it open for writing", hint="Shut the virtual machine down")
    assert imgkit(*ENABLE, small, "--in-place").status == 0


def test_an_image_that_qemu_reads_can_be_read_but_not_edited(small):
    with qemu_with(small, "readonly=on"):
        assert imgkit("ls", small).status == 0
        assert imgkit(*ENABLE, small, "--dry-run").status == 0
        words = [*ENABLE, small, "--in-place"]
        assert_refused(small.parent, *words, status=6, says="does not let others write", hint="`lsof` names who")


def test_a_backing_file_that_qemu_writes_to_is_in_use(small):
    top = small.with_name("top.qcow2")
    oracle.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", small.name, "-F", "qcow2", top)
    with qemu_with(small):
        refused(top, status=6, says=f"{small}: image is in use", hint="Shut the virtual machine down")


@pytest.mark.parametrize("keep", [3, 50, 103, 104, 70_000, 400_000])
def test_a_truncated_qcow2(small, keep):
    os.truncate(small, keep)
    done = imgkit(*ENABLE, small, "--in-place")
    if keep == 3:  # the magic is gone: an empty raw disk, for all that can be told
        assert done.status == 10
    else:
        assert done.status == 4
        assert f"error: {small}: " in done.stderr
        assert "(qcow2" in done.stderr
        assert " at byte " in done.stderr
    assert small.stat().st_size == keep
    assert sorted(snapshot(small.parent)) == [small.name]


def test_a_truncated_raw_disk(tmp_path):
    root = Part("ext4", {"/etc/os-release": OS_RELEASE.encode(), "/etc/fstab": b""})
    image = make_disk(tmp_path / "disk.img", [root], scheme="dos")
    os.truncate(image, 9 << 20)
    done = imgkit(*ENABLE, image, "--in-place", "--engine", "native")
    assert done.status in (4, 5), done.stderr
    assert "Traceback" not in done.stderr
    assert image.stat().st_size == 9 << 20


@pytest.mark.parametrize(
    ("name", "contents", "hint"),
    [
        ("text", b"I am a letter, not a disk.\n" * 100, "Download the image again"),
        ("zeros", bytes(1 << 20), "`imgkit vm install`"),
        ("program", None, "`imgkit inspect`"),
        ("empty", b"", "Download the image again"),
    ],
    ids=["text", "zeros", "program", "empty"],
)
def test_files_that_are_no_images(tmp_path, name, contents, hint):
    image = tmp_path / name
    image.write_bytes(Path("/bin/sh").read_bytes() if contents is None else contents)
    refused(image, status=10, says="no root file system was found", hint=hint)
    hint = "Download the image again" if name == "program" else hint
    refused(image.rename(tmp_path / "x.ISO"), status=3, says="not an ISO", hint=hint)


@pytest.mark.parametrize("format_", ["vmdk", "vdi", "vhdx", "vpc", "qed"])
def test_images_of_other_programs_are_named_with_how_to_convert_them(tmp_path, format_):
    image = tmp_path / f"disk.{format_}"
    oracle.run("qemu-img", "create", "-q", "-f", format_, image, "1M")
    refused(image, status=5, says=f"{image}: is a V" if format_[0] == "v" else "QED", hint="qemu-img convert -O qcow2")


@pytest.mark.parametrize(("tool", "hint"), [("gzip", "gunzip -k"), ("xz", "unxz -k"), ("bzip2", "bunzip2 -k")])
def test_a_compressed_file_is_named_with_how_to_unpack_it(tmp_path, tool, hint):
    image = tmp_path / "disk.img"
    image.write_bytes(b"x" * 1000)
    oracle.run(tool, image)
    (packed,) = tmp_path.iterdir()
    refused(packed, status=5, says=f"compressed with {tool}", hint=f"{hint} {packed.name}")


@pytest.mark.parametrize(
    ("offset", "data", "says", "hint"),
    [
        (72, 1 << 1, "marked corrupt", "qemu-img check -r all"),
        (72, 1 << 0, "marked dirty", "qemu-img check -r all"),
        (72, 1 << 41, "incompatible features that are not known here: bit 41", "qemu-img convert"),
    ],
)
def test_qcow2_features_that_forbid_to_open_it(small, offset, data, says, hint):
    patch(small, offset, struct.pack(">Q", data))
    refused(small, status=5, says=says, hint=hint)


@pytest.mark.parametrize(
    ("offset", "field", "data", "says"),
    [
        (40, "l1_table_offset", struct.pack(">Q", 1 << 40), "past the end of the file"),
        (40, "l1_table_offset", struct.pack(">Q", 0x30001), "not at the start of a cluster"),
        (36, "l1_size", struct.pack(">I", 0xFFFFFFFF), "larger than 32 MiB"),
        (24, "l1_size", struct.pack(">Q", (1 << 63) - 512), "larger than 32 MiB"),
        (20, "cluster_bits", struct.pack(">I", 63), "outside 2^9 to 2^21"),
        (48, "refcount_table_offset", struct.pack(">Q", 1 << 50), "past the end of the file"),
        (4, "version", struct.pack(">I", 9), "version 9"),
    ],
)
def test_a_qcow2_header_that_lies_is_refused_by_field(small, offset, field, data, says):
    patch(small, offset, data)
    told = f"field {field}" if field != "version" else "version 9"
    refused(small, status=4, says=told, hint="`qemu-img check`")
    assert says in imgkit("ls", small).stderr


def test_an_encrypted_qcow2(tmp_path):
    image = private_copy("small-luks", tmp_path)
    refused(image, status=5, says="encrypted (LUKS)", hint="Decrypt a copy with `qemu-img convert")


def test_an_external_data_file_is_opened_only_by_name(small, tmp_path):
    image, data = tmp_path / "split.qcow2", tmp_path / "split.data"
    oracle.run("qemu-img", "convert", "-O", "qcow2", "-o", f"data_file={data}", small, image)
    small.unlink()
    refused(image, status=5, says="external data file", hint=f"--allow {data}")
    assert imgkit("ls", image, "--allow", data).text == imgkit("ls", image, "--allow", data, "/").text != ""


def test_a_backing_file_of_another_folder_is_opened_only_by_name(small, tmp_path):
    folder = tmp_path / "overlays"
    folder.mkdir()
    top = folder / "top.qcow2"
    oracle.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", small, "-F", "qcow2", top)
    before = sha256(small)
    refused(top, status=5, says=f"backing file {small} lies outside of {folder}", hint=f"--allow {small}")
    done = imgkit(*ENABLE, top, "--in-place", "--allow", small)
    assert done.status == 0, done.stderr
    assert imgkit("console", "status", top, "--allow", small).status == 0
    assert sha256(small) == before
    assert oracle.run("qemu-img", "check", top).returncode == 0


def test_backing_files_that_are_missing_or_not_files(tmp_path):
    top = tmp_path / "top.qcow2"
    oracle.run("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "gone.qcow2", "-F", "qcow2", top, "1M")
    refused(top, status=4, says="backing file", hint="Restore it")
    remote = "nbd://localhost/disk"
    oracle.run("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", remote, "-F", "raw", top, "1M")
    refused(top, status=5, says="is not a plain file", hint="qemu-img convert")


def test_a_backing_chain_that_loops(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        image = tmp_path / f"{name}.qcow2"
        oracle.run("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", f"{other}.qcow2", "-F", "qcow2", image, "1M")
    done = imgkit("ls", tmp_path / "a.qcow2")
    assert done.status == 4
    assert "loops" in done.stderr


def ebr(image, sector, entries):
    """An extended boot record at a sector: its entries as (type, start, size)."""
    table = b"".join(struct.pack("<B3xB3xII", 0, *entry) for entry in entries)
    patch(image, sector * 512 + 446, table.ljust(64, b"\0") + b"\x55\xaa")


def test_a_loop_of_extended_boot_records_ends(tmp_path):
    root = Part("ext4", {"/etc/os-release": OS_RELEASE.encode(), "/etc/fstab": b"", "/etc/motd": b"hi\n"})
    image = make_disk(tmp_path / "disk.img", [root, Part("", type="5", size=8)], scheme="dos")
    extended = 2048 + 16 * 2048
    ebr(image, extended, [(0x83, 64, 64), (5, 1024, 1024)])
    ebr(image, extended + 1024, [(0x83, 64, 64), (5, 1024, 1024)])  # leads to itself
    refused(image, status=4, says="runs in a loop", hint="Repair")
    assert imgkit("inspect", image).status == 4


def test_a_gpt_that_claims_four_billion_entries(tmp_path):
    root = Part("ext4", {"/etc/os-release": OS_RELEASE.encode(), "/etc/fstab": b""})
    image = make_disk(tmp_path / "disk.img", [root])
    size = image.stat().st_size
    for header in (512, size - 512):
        fields = bytearray(image.read_bytes()[header : header + 92])
        fields[80:84] = struct.pack("<I", 0xFFFFFFFF)
        fields[16:20] = bytes(4)
        fields[16:20] = struct.pack("<I", zlib.crc32(fields))
        patch(image, header, fields)
    limited = [oracle.find("prlimit"), "--as=2000000000", "--"]
    refused(image, status=4, says="4,294,967,295 entries", hint="gdisk", through=limited)


def dirty_journal(folder):
    """An image whose journal holds a committed transaction that was never written back: /etc/motd's new contents."""
    files = {"/etc/os-release": OS_RELEASE.encode(), "/etc/fstab": b"", "/etc/motd": b"before".ljust(4096, b".")}
    image = make_file_system(folder / "disk.img", Part("ext4", files, options=("-b", "4096", "-O", "has_journal")))
    block = oracle.run("debugfs", "-R", "blocks /etc/motd", image).stdout.split()[0]
    new = folder / "block"
    new.write_bytes(b"after!".ljust(4096, b"."))
    script = folder / "script"
    script.write_text(f"jo\njw -b {block} {new}\njc\n")
    oracle.run("debugfs", "-w", "-f", script, image)
    new.unlink()
    script.unlink()
    assert "needs_recovery" in oracle.run("dumpe2fs", "-h", image).stdout
    return image


def test_a_journal_that_needs_recovery_is_replayed_natively(tmp_path):
    image = dirty_journal(tmp_path)
    before = image.read_bytes()
    assert b"before..." in before
    assert imgkit("cat", image, "/etc/motd", "--engine", "native").stdout == b"after!".ljust(4096, b".")
    dry = imgkit("write", image, "/etc/hello", "--dry-run", "--engine", "native", stdin=b"hello\n")
    assert (dry.status, b"journal" in dry.stdout) == (0, False)
    assert image.read_bytes() == before
    done = imgkit("write", image, "/etc/hello", "--in-place", "--undo", tmp_path / "u", stdin=b"hello\n")
    assert done.status == 0, done.stderr
    assert "its journal is replayed" in done.stderr
    assert imgkit("cat", image, "/etc/motd", "--engine", "native").stdout == b"after!".ljust(4096, b".")
    assert imgkit("cat", image, "/etc/hello", "--engine", "native").stdout == b"hello\n"
    assert oracle.run("e2fsck", "-fn", image).returncode == 0
    assert "needs_recovery" not in oracle.run("dumpe2fs", "-h", image).stdout
    assert imgkit("undo", image, tmp_path / "u").status == 0
    assert image.read_bytes() == before
