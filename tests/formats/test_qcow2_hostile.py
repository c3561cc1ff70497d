"""Broken, hostile and unserved qcow2 images: refused by name, unchanged, in bounded time and memory."""

import random
import shutil
import subprocess
import time
import tracemalloc
from pathlib import Path

import pytest

from imgkit.errors import FormatError, ImgkitError, InUseError, UnsupportedError
from imgkit.formats.image import open_image
from imgkit.formats.qcow2.disk import Qcow2Disk
from imgkit.units import ByteRange
from tests.support import corpus, disks, oracle


@pytest.fixture
def image(tmp_path):
    return disks.make_qcow2(tmp_path, disks.contents())


def poke(image: Path, offset: int, data: bytes) -> None:
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def refused(image: Path, error: type[ImgkitError], **options) -> ImgkitError:
    """Open, read and write: some of it raises `error`; the image stays as it was."""
    before = disks.sha256(image)
    with pytest.raises(error) as caught, open_image(image, **options) as opened:
        opened.disk.read_at(0, min(opened.disk.size, 1 << 20))
        opened.disk.write_at(0, b"x")
    assert disks.sha256(image) == before
    assert str(image) in str(caught.value) or isinstance(caught.value, UnsupportedError)
    return caught.value


@pytest.mark.parametrize(
    ("offset", "data", "field"),
    [
        (4, b"\0\0\0\4", "version"),
        (20, b"\0\0\0\x3f", "cluster_bits"),
        (20, b"\0\0\0\x08", "cluster_bits"),
        (24, b"\x7f" + b"\xff" * 7, "l1_size"),
        (36, b"\xff\xff\xff\xff", "l1_size"),
        (36, b"\0\0\0\0", "l1_size"),
        (40, b"\0\0\0\0\0\3\2\0", "l1_table_offset"),
        (40, b"\0\0\x7f\0\0\0\0\0", "l1_table_offset"),
        (40, bytes(8), "l1_table_offset"),
        (48, b"\0\0\x7f\0\0\0\0\0", "refcount_table_offset"),
        (56, b"\xff\xff\xff\xff", "refcount_table_clusters"),
        (56, bytes(4), "refcount_table_clusters"),
        (60, b"\xff\xff\xff\xff", "nb_snapshots"),
        (96, b"\0\0\0\x09", "refcount_order"),
        (100, b"\0\0\0\x50", "header_length"),
        (100, b"\x7f\xff\xff\xf8", "header_length"),
        (8, b"\0\0\0\0\0\0\x01\0\xff\xff\xff\xff", "backing_file_size"),
        (8, b"\0\0\0\0\x10\0\0\0\0\0\0\x08", "backing_file_offset"),
    ],
)
def test_a_header_field_that_contradicts_the_file_is_named(image, offset, data, field):
    poke(image, offset, data)
    error = refused(image, FormatError)
    assert error.field == field
    assert error.structure == "qcow2 header"
    assert error.hint


@pytest.mark.parametrize(
    ("offset", "data", "words"),
    [
        (79, b"\x01", "marked dirty"),
        (79, b"\x02", "marked corrupt"),
        (72, b"\x80", "bit 63"),
        (32, b"\0\0\0\1", "encrypted (AES)"),
        (32, b"\0\0\0\2", "encrypted (LUKS)"),
    ],
)
def test_what_is_not_served_is_refused_by_name(image, offset, data, words):
    poke(image, offset, data)
    error = refused(image, UnsupportedError)
    assert words in error.message
    assert "qemu-img" in error.hint


def test_the_dirty_bit_names_its_repair(image):
    poke(image, 79, b"\x01")
    assert "qemu-img check -r all" in refused(image, UnsupportedError).hint


def test_unknown_features_are_called_by_the_names_that_the_image_gives_them(image):
    poke(image, 72 + 7 - 5, b"\x02")  # incompatible feature 41
    data = image.read_bytes()
    table = data.index(b"\0\0dirty bit")
    poke(image, table, b"\0\x29time travel" + bytes(36))
    assert "time travel" in refused(image, UnsupportedError).message


def test_an_external_data_file_is_read_if_allowed_and_never_written(tmp_path):
    data = disks.contents()
    image = disks.make_qcow2(tmp_path, data, f"data_file={tmp_path}/outside.raw")
    assert "--allow" in refused(image, UnsupportedError).hint
    with open_image(image, allow=[tmp_path / "outside.raw"]) as opened:
        assert opened.disk.read_at(0, len(data)) == data
    error = refused(image, UnsupportedError, allow=[tmp_path / "outside.raw"])
    assert "qemu-img convert" in error.hint


def test_a_backing_file_outside_the_folder_needs_a_word(tmp_path):
    (tmp_path / "secret").write_bytes(b"s" * 65536)
    folder = tmp_path / "images"
    folder.mkdir()
    image = folder / "top.qcow2"
    for name in ("../secret", str(tmp_path / "secret")):
        oracle.run("qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", name, image, "64k")
        assert f"--allow {tmp_path / 'secret'}" in refused(image, UnsupportedError).hint
        with open_image(image, allow=[tmp_path / "secret"]) as opened:
            assert opened.disk.read_at(0, 1) == b"s"
    (folder / "link").symlink_to("../secret")
    oracle.run("qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", "link", image, "64k")
    refused(image, UnsupportedError)


@pytest.mark.parametrize("name", ["json:{}", "nbd://localhost", "file:base.raw", "ssh:host/x"])
def test_a_backing_file_is_never_a_protocol(tmp_path, name):
    image = tmp_path / "top.qcow2"
    oracle.run("qemu-img", "create", "-u", "-f", "qcow2", "-F", "raw", "-b", name, image, "64k")
    assert "not a plain file" in refused(image, UnsupportedError).message


def test_a_chain_that_loops_and_one_that_is_broken(tmp_path):
    image = tmp_path / "top.qcow2"
    oracle.run("qemu-img", "create", "-u", "-f", "qcow2", "-F", "qcow2", "-b", "top.qcow2", image, "64k")
    assert "loops" in refused(image, FormatError).message
    oracle.run("qemu-img", "create", "-u", "-f", "qcow2", "-F", "qcow2", "-b", "none.qcow2", image, "64k")
    assert "missing" in refused(image, FormatError).message


def test_a_backing_file_in_another_format(tmp_path):
    oracle.run("qemu-img", "create", "-f", "vmdk", tmp_path / "base.vmdk", "64k")
    image = tmp_path / "top.qcow2"
    oracle.run("qemu-img", "create", "-f", "qcow2", "-F", "vmdk", "-b", "base.vmdk", image)
    assert "vmdk" in refused(image, UnsupportedError).message


@pytest.mark.parametrize("form", ["vmdk", "vdi", "vhdx", "vpc", "qed", "qcow"])
def test_other_disk_formats_are_told_and_their_conversion_named(tmp_path, form):
    image = tmp_path / "disk"
    oracle.run("qemu-img", "create", "-f", form, image, "1M")
    assert "qemu-img convert" in refused(image, UnsupportedError).hint


@pytest.mark.parametrize("packer", ["gzip", "xz", "zstd", "bzip2"])
def test_a_packed_image_is_told(tmp_path, packer):
    image = disks.make_qcow2(tmp_path, disks.contents())
    oracle.run(packer, "-q", "-k", image)
    (packed,) = [path for path in tmp_path.iterdir() if path != image]
    assert "compressed with" in refused(packed, UnsupportedError).message


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_a_truncated_image_is_refused_before_anything_is_staged(tmp_path, keep):
    """A file that ends within its last cluster is valid, so only whole missing clusters can be told."""
    image = disks.make_qcow2(tmp_path, disks.contents())
    size = image.stat().st_size
    with image.open("r+b") as file:
        file.truncate(int(size * keep))
    assert "truncated" in refused(image, FormatError).hint


def test_l2_tables_that_lie(tmp_path):
    data = disks.contents()
    image = disks.make_qcow2(tmp_path, data, "compat=0.10")
    header = image.read_bytes()[:72]
    l1 = int.from_bytes(header[40:48], "big")
    l2 = int.from_bytes(image.read_bytes()[l1 : l1 + 8], "big") & ~(1 << 63)
    for at, value in (
        (l1, l1 | 1 << 63),  # the L1 table as an L2 table
        (l1, 1 << 40),  # an L2 table past the end
        (l1, l2 + 512 | 1 << 63),  # not at a cluster's start
        (l2, l1 | 1 << 63),  # a data cluster over the L1 table
        (l2, 1 << 50 | 1 << 63),  # a data cluster past the end
        (l2, 1 << 62 | 1 << 40),  # a compressed cluster past the end
        (l2, 1 << 62 | 65536),  # noise that does not inflate
    ):
        twin = tmp_path / "twin.qcow2"
        shutil.copy(image, twin)
        poke(twin, at, value.to_bytes(8, "big"))
        refused(twin, FormatError)


def test_an_image_that_qemu_writes_to_is_in_use(image):
    qemu = subprocess.Popen(
        [oracle.find("qemu-io"), "-f", "qcow2", str(image)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        qemu.stdin.write(b"length\n")
        qemu.stdin.flush()
        deadline = time.monotonic() + 20
        while not qemu.stdout.readline().strip().endswith(b"MiB") and time.monotonic() < deadline:
            pass
        refused(image, InUseError)
    finally:
        qemu.kill()
        qemu.communicate()


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bytes_raise_only_our_errors(tmp_path, seed):
    options = ("cluster_size=512",) if seed % 2 else ("extended_l2=on,cluster_size=16k",)
    image = disks.make_qcow2(tmp_path, disks.contents(size=1 << 18), *options, compress=seed % 3 == 0)
    noise = random.Random(seed)
    size = image.stat().st_size
    for _ in range(noise.choice((1, 3, 20))):
        poke(image, noise.randrange(min(size, 20_000)), bytes([noise.randrange(256)]))
    if seed % 5 == 0:
        with image.open("r+b") as file:
            file.truncate(noise.randrange(size))
    tracemalloc.start()
    try:
        with open_image(image) as opened:
            length = min(opened.disk.size, 1 << 18)
            opened.disk.read_at(0, length)
            for offset in range(0, length - 600, 7777):
                opened.disk.write_at(offset, noise.randbytes(600))
            opened.plan()
    except ImgkitError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 64 << 20


REFUSED = (
    "backing-missing cluster-bits-63 corrupt-bit header-length-80 l1-offset-past-eof l1-offset-unaligned luks-secret "
    "refcount-order-9 size-huge truncated-half truncated-header-60 unknown-incompat-bit63 version4"
).split()
READ = "base lazy longer-than-base mid refcount1 top unknown-autoclear-bit unknown-compat-bit zlib zstd".split()


@pytest.fixture
def corpus_folder(tmp_path):
    """All derived images unpacked beside each other, as their backing files demand."""
    for name in REFUSED + READ:
        (tmp_path / f"{name}.qcow2").write_bytes(corpus.content(f"qcow2/derived/{name}.qcow2.xz"))
    return tmp_path


@pytest.mark.corpus
@pytest.mark.parametrize("name", REFUSED)
def test_the_corpus_images_that_must_be_refused(corpus_folder, name):
    refused(corpus_folder / f"{name}.qcow2", ImgkitError)


@pytest.mark.corpus
@pytest.mark.parametrize("name", READ)
def test_the_corpus_images_that_qemu_reads(corpus_folder, name):
    image = corpus_folder / f"{name}.qcow2"
    with open_image(image) as opened:
        assert opened.disk.read_at(0, opened.disk.size) == disks.read_back(image)


@pytest.mark.corpus
@pytest.mark.parametrize(
    "name",
    ["cdi/invalid-qcow-backing-file.img", "cdi/invalid-qcow-large-json.img", "cdi/cirros-snapshot2.qcow2"],
)
def test_broken_images_of_other_projects(tmp_path, name):
    image = tmp_path / "image"
    image.write_bytes(corpus.content(f"qcow2/{name}"))
    refused(image, ImgkitError)


@pytest.mark.corpus
@pytest.mark.parametrize(
    "name", ["keramics/ext2.qcow2", "keramics/fat32.qcow2", "e2fsprogs/image4096.orig.bz2", "cdi/fs-overhead.qcow2"]
)
def test_images_of_other_projects(tmp_path, name):
    image = tmp_path / "image"
    image.write_bytes(corpus.content(f"qcow2/{name}"))
    with open_image(image) as opened:
        size = min(opened.disk.size, 64 << 20)
        assert opened.disk.read_at(0, size) == disks.read_back(image)[:size]


def test_a_hole_of_a_pebibyte_is_one_step(tmp_path):
    """What an image holds itself is found by the tables that are there, not by what its size would have room for."""
    image = tmp_path / "disk.qcow2"
    oracle.run("qemu-img", "create", "-q", "-f", "qcow2", image, "1P")
    with open_image(image) as opened:
        assert isinstance(opened.disk, Qcow2Disk)
        assert list(opened.disk.own_ranges()) == []
        far = (1 << 50) - 65536
        opened.disk.write_at(far, b"x" * 65536)
        assert list(opened.disk.own_ranges()) == [ByteRange(far, 1 << 50)]
        assert opened.disk.read_at(far - 5, 10) == bytes(5) + b"x" * 5
