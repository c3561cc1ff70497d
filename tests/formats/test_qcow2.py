"""Qcow2Disk against QEMU: what it reads is what qemu-img reads; what it writes is clean and is what QEMU reads."""

import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgkit.errors import FormatError
from imgkit.formats.image import open_image
from imgkit.formats.qcow2 import Qcow2Disk
from imgkit.storage.output import InPlace, deliver
from tests.support import disks, oracle

DIALECTS = {
    "v2": ("compat=0.10",),
    "v3": (),
    "clusters-512": ("cluster_size=512",),
    "clusters-4k": ("cluster_size=4k",),
    "clusters-2M": ("cluster_size=2M",),
    "extended-l2": ("extended_l2=on",),
    "extended-l2-2M": ("extended_l2=on,cluster_size=2M",),
    "refcount-1": ("refcount_bits=1",),
    "refcount-2": ("refcount_bits=2",),
    "refcount-4": ("refcount_bits=4",),
    "refcount-8": ("refcount_bits=8",),
    "refcount-32": ("refcount_bits=32",),
    "refcount-64": ("refcount_bits=64,cluster_size=512",),
    "lazy-refcounts": ("lazy_refcounts=on",),
    "preallocated": ("preallocation=metadata",),
    "preallocated-full": ("preallocation=full",),
}
COMPRESSED = {
    "deflate": (),
    "deflate-v2": ("compat=0.10",),
    "deflate-512": ("cluster_size=512",),
    "deflate-2M": ("cluster_size=2M",),
    "zstd": ("compression_type=zstd",),
    "zstd-2M": ("compression_type=zstd,cluster_size=2M",),
    "zstd-extended-l2": ("compression_type=zstd,extended_l2=on",),
}


def edit(image: Path, writes: list[tuple[int, bytes]]) -> None:
    with open_image(image, writable=True) as opened:
        for offset, data in writes:
            opened.disk.write_at(offset, data)
        deliver(opened.host, opened.plan(), InPlace(), mtime_ns=time.time_ns())


def random_writes(seed: int, size: int = disks.DISK_SIZE, count: int = 12) -> list[tuple[int, bytes]]:
    noise = random.Random(seed)
    writes = []
    for _ in range(count):
        length = noise.choice((1, 511, 512, 4096, 5000, 70000))
        fill = noise.choice((bytes(length), noise.randbytes(length)))
        writes.append((noise.randrange(size - length), fill))
    return [*writes, (0, b"first"), (size - 4, b"last")]


def applied(data: bytes, writes: list[tuple[int, bytes]]) -> bytes:
    model = bytearray(data)
    for offset, piece in writes:
        model[offset : offset + len(piece)] = piece
    return bytes(model)


def assert_clean(image: Path) -> None:
    assert "No errors were found" in oracle.run("qemu-img", "check", image).stdout


@pytest.fixture(params=[*DIALECTS, *COMPRESSED])
def dialect(request, tmp_path):
    name = request.param
    data = disks.contents()
    options = DIALECTS.get(name, COMPRESSED.get(name))
    return disks.make_qcow2(tmp_path, data, *options, compress=name in COMPRESSED), data


def test_reads_what_qemu_reads(dialect):
    image, data = dialect
    with open_image(image) as opened:
        assert opened.disk.size >= len(data)
        assert opened.disk.read_at(0, len(data)) == data
        for offset, length in ((0, 1), (65535, 2), (len(data) - 7, 7), (511, 200_000)):
            assert opened.disk.read_at(offset, length) == data[offset : offset + length]


@pytest.mark.parametrize("seed", [1, 2])
def test_an_edit_is_clean_and_is_what_qemu_reads(dialect, seed):
    image, data = dialect
    writes = random_writes(seed)
    edit(image, writes)
    assert_clean(image)
    assert disks.read_back(image)[: len(data)] == applied(data, writes)


def test_writing_what_is_there_changes_nothing(dialect):
    image, data = dialect
    with open_image(image) as opened:
        opened.disk.write_at(0, data)
        assert opened.plan().is_empty


@pytest.mark.parametrize("options", [(), ("cluster_size=512",), ("extended_l2=on",), ("compat=0.10",)])
def test_internal_snapshots_keep_their_contents(tmp_path, options):
    data = disks.contents()
    image = disks.make_qcow2(tmp_path, data, *options)
    oracle.run("qemu-img", "snapshot", "-c", "before", image)
    first, second = random_writes(3), random_writes(4)
    edit(image, first)
    assert_clean(image)
    oracle.run("qemu-img", "snapshot", "-c", "between", image)
    edit(image, second)
    assert_clean(image)
    assert disks.read_back(image, "-l", "before") == data
    assert disks.read_back(image, "-l", "between") == applied(data, first)
    assert disks.read_back(image) == applied(applied(data, first), second)


def test_snapshots_are_named(tmp_path):
    image = disks.make_qcow2(tmp_path, disks.contents())
    for name in ("one", "zwei-ü"):
        oracle.run("qemu-img", "snapshot", "-c", name, image)
    with open_image(image) as opened:
        assert [snapshot.name for snapshot in opened.disk.header.snapshots] == ["one", "zwei-ü"]


@pytest.mark.parametrize("options", ["", "cluster_size=512", "extended_l2=on"])
@pytest.mark.parametrize("lengthen", [-1024 * 1024, 0, 1024 * 1024])
def test_a_backing_chain_shows_through_and_is_not_written_to(tmp_path, options, lengthen):
    data = disks.contents()
    raw = tmp_path / "base.raw"
    raw.write_bytes(data)
    middle = tmp_path / "middle.qcow2"
    oracle.run("qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", "base.raw", middle)
    edit(middle, random_writes(5))
    top, size = tmp_path / "top.qcow2", len(data) + lengthen
    words = ["-o", options] if options else []
    oracle.run("qemu-img", "create", "-f", "qcow2", "-F", "qcow2", "-b", "middle.qcow2", *words, top, str(size))
    expected = applied(data, random_writes(5))[:size].ljust(size, b"\0")
    before = disks.sha256(raw), disks.sha256(middle)
    with open_image(top) as opened:
        assert opened.disk.read_at(0, size) == expected
        assert [path.name for path in opened.chain] == ["middle.qcow2", "base.raw"]
    writes = random_writes(6, size)
    edit(top, writes)
    assert_clean(top)
    assert disks.read_back(top) == applied(expected, writes)
    assert (disks.sha256(raw), disks.sha256(middle)) == before


def test_the_refcount_table_grows(tmp_path):
    """With clusters of 512 bytes and refcounts of 64 bits one table cluster covers 2 MiB of file."""
    image = tmp_path / "disk.qcow2"
    size = 24 << 20
    oracle.run("qemu-img", "create", "-f", "qcow2", "-o", "cluster_size=512,refcount_bits=64", image, str(size))
    with open_image(image) as opened:
        table_before = opened.disk.header.refcount_table_size
    data = random.Random(7).randbytes(9 << 20)
    edit(image, [(3 << 20, data)])
    assert_clean(image)
    with open_image(image) as opened:
        assert opened.disk.header.refcount_table_size > table_before
    assert disks.read_back(image)[3 << 20 : 12 << 20] == data


def test_a_persistent_bitmap_is_announced_and_its_autoclear_bit_cleared(tmp_path):
    image = disks.make_qcow2(tmp_path, disks.contents())
    oracle.run("qemu-img", "bitmap", "--add", image, "backup")
    with open_image(image) as opened:
        assert "dirty bitmaps become invalid" in opened.notices[0]
    edit(image, [(0, b"changed")])
    with open_image(image) as opened:
        assert not opened.disk.loses_bitmaps
    assert "inconsistent" in oracle.run("qemu-img", "check", image, check=False).stderr
    assert disks.read_back(image)[:7] == b"changed"


def test_own_ranges_are_what_qemu_maps_at_depth_0(tmp_path):
    (tmp_path / "base.raw").write_bytes(disks.contents())
    top = tmp_path / "top.qcow2"
    oracle.run("qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", "base.raw", top)
    edit(top, [(100_000, b"x" * 10), (1 << 20, b"y" * 70000)])
    with open_image(top) as opened:
        ranges = [(r.start, r.stop) for r in opened.disk.own_ranges()]
    assert ranges == [(65536, 131072), (1 << 20, (1 << 20) + 131072)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    writes=st.lists(st.tuples(st.integers(0, (1 << 20) - 1), st.binary(min_size=1, max_size=3000)), max_size=12),
    options=st.sampled_from(["cluster_size=512", "cluster_size=64k", "extended_l2=on", "compat=0.10,cluster_size=4k"]),
    snapshot=st.booleans(),
)
def test_any_sequence_of_writes(tmp_path_factory, writes, options, snapshot):
    folder = tmp_path_factory.mktemp("any")
    data = disks.contents(9, 1 << 20)
    writes = [(offset, piece[: len(data) - offset]) for offset, piece in writes]
    image = disks.make_qcow2(folder, data, options)
    if snapshot:
        oracle.run("qemu-img", "snapshot", "-c", "s", image)
    edit(image, writes)
    assert_clean(image)
    assert disks.read_back(image) == applied(data, writes)
    if snapshot:
        assert disks.read_back(image, "-l", "s") == data


def test_the_type_of_the_disk_tells_its_format(tmp_path):
    image = disks.make_qcow2(tmp_path, disks.contents())
    with open_image(image) as opened:
        assert isinstance(opened.disk, Qcow2Disk)


def test_bitmaps_that_become_invalid_leave_no_clusters_behind(tmp_path):
    image = disks.make_qcow2(tmp_path, disks.contents())
    for name in ("weekly", "daily"):
        oracle.run("qemu-img", "bitmap", "--add", image, name)
    oracle.run("qemu-io", "-c", "write 1M 64k", image)  # something for the bitmaps to remember
    edit(image, [(0, b"edited")])
    assert "No errors were found" in oracle.run("qemu-img", "check", image).stdout


def test_an_image_of_e2image_is_read_and_edited(tmp_path):
    """It counts references of clusters behind the end of what it writes."""
    raw, image = tmp_path / "fs.img", tmp_path / "fs.qcow2"
    oracle.run("truncate", "-s", "16M", raw)
    oracle.run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", raw)
    oracle.run("e2image", "-Qa", raw, image)
    with open_image(image) as opened:
        assert opened.disk.read_at(1080, 2) == b"\x53\xef"
    edit(image, [(8 << 20, b"edited")])
    oracle.run("qemu-img", "convert", "-O", "raw", image, tmp_path / "back.img")
    assert (tmp_path / "back.img").read_bytes()[8 << 20 :].startswith(b"edited")


def test_an_image_whose_tables_lead_behind_its_end_is_truncated(tmp_path):
    image = disks.make_qcow2(tmp_path, disks.contents())
    with image.open("r+b") as file:
        file.truncate(image.stat().st_size - (256 << 10))
    with pytest.raises(FormatError, match="before the last cluster in use"), open_image(image):
        pass
