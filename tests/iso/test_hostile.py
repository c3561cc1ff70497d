"""Damaged and hostile images: refused with a sentence, never a crash, a hang, or memory without bound."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgkit.errors import FormatError, ImgkitError, UnclassifiedImageError, UnsupportedError
from imgkit.iso import rockridge
from imgkit.iso.description import describe
from imgkit.iso.detection import is_iso
from imgkit.iso.tree import IsoTree
from imgkit.layoutmap.iso import iso_map
from imgkit.tree import FileType
from tests.iso import images
from tests.iso.damage import SECTOR, assert_refused, bounded, made, patched, record_of
from tests.support import corpus
from tests.support.memorydevice import MemoryDevice


def use_all(data: bytes) -> None:
    """Everything that can be done with an image: describe it, read all of it, edit, add and remove files."""
    tree = images.open_tree(data)
    with suppress(ImgkitError):
        describe(tree)
    with suppress(ImgkitError):
        iso_map(tree)
    files: list[str] = []
    with suppress(ImgkitError):
        visit(tree, "", files, 0)
    for path in files[:2]:
        with suppress(ImgkitError):
            tree.write(path, b"x" * 5000)
            tree.finish()
    folders = {path.rpartition("/")[0] for path in files[:10]}
    for folder in sorted(folders)[:1]:
        for step in (
            tree.mkdir,
            lambda inner: tree.write(f"{inner}/{'a long name ' * 12}", b"x" * 3000),
            lambda inner: tree.symlink("/there", f"{inner}/link"),
            lambda inner: tree.remove(f"{inner}/link"),
        ):
            with suppress(ImgkitError):
                step(f"{folder}/NEW")
    for path in files[:2]:
        with suppress(ImgkitError):
            tree.remove(path)
    with suppress(ImgkitError):
        tree.finish()


def visit(tree: IsoTree, path: str, files: list[str], depth: int) -> None:
    for name in tree.listdir(path or "/")[:50]:
        inner = f"{path}/{name}"
        with suppress(ImgkitError):
            kind = tree.stat(inner, follow=False).type
            if kind is FileType.DIRECTORY and depth < 20:
                visit(tree, inner, files, depth + 1)
            elif kind is FileType.FILE:
                for _ in tree.read_chunks(inner):
                    pass
                files.append(inner)


REFUSED = ["iso/libcdio/malformed.iso", "iso/libcdio/malformed2.iso"]
NO_ISO = [
    "iso/libarchive/test_write_format_iso9660_null_deref.bin",
    "iso/libarchive/test_write_format_iso9660_underflow.bin",
]


@pytest.mark.corpus
@pytest.mark.parametrize("name", REFUSED)
def test_malformed_images_of_the_corpus(name: str) -> None:
    with bounded(), pytest.raises(FormatError) as caught:
        images.open_tree(corpus.content(name)).listdir("/")
    assert caught.value.hint
    assert caught.value.structure


@pytest.mark.corpus
@pytest.mark.parametrize("name", NO_ISO)
def test_what_is_no_iso(name: str) -> None:
    data = corpus.content(name)
    assert not is_iso(MemoryDevice(data))
    with pytest.raises(UnclassifiedImageError, match="not an ISO 9660 image"):
        images.open_tree(data)


@pytest.mark.corpus
def test_a_fuzzed_image_of_the_corpus() -> None:
    data = corpus.content("iso/libarchive/test_fuzz_1.iso")
    with bounded():
        use_all(data)
    # Directories that lie 200 deep are no loop.
    assert images.open_tree(data).listdir("/A" * 150) == ["A"]


@pytest.mark.parametrize("size", [0, 100, 32768, 32774, 34815, 36864, 45056, 100_000])
def test_truncated_images(size: int) -> None:
    with bounded(), pytest.raises(ImgkitError) as caught:
        tree = images.open_tree(made("debian")[:size])
        tree.write("/boot/grub/grub.cfg", b"x")
    assert caught.value.hint


def test_a_file_past_the_end_is_named() -> None:
    data = made("debian")[:2_400_000]
    tree = images.open_tree(data)
    with pytest.raises(FormatError, match=r"/doc/noise\.bin has data past the end"):
        tree.read("/doc/noise.bin")
    assert_refused(
        data,
        "the image only 2,400,000",
        lambda tree: tree.write("/boot/grub/grub.cfg", b"y"),
    )


def test_a_directory_that_contains_itself() -> None:
    root = images.open_tree(made("debian")).volume.root.extents[0].start
    at = record_of("debian", "/boot/grub")
    data = patched("debian", (at + 2, (root // SECTOR).to_bytes(4, "little") + (root // SECTOR).to_bytes(4, "big")))
    assert_refused(data, "contains itself", lambda tree: tree.listdir("/boot/grub/boot"))
    assert_refused(data, "loop", lambda tree: tree.write("/md5sum.txt", b"x"))


def test_directories_that_overlap() -> None:
    at = record_of("debian", "/boot/grub")
    size = 5 * SECTOR
    data = patched("debian", (at + 10, size.to_bytes(4, "little") + size.to_bytes(4, "big")))
    assert_refused(data, "overlap", lambda tree: tree.write("/md5sum.txt", b"x"))


@pytest.mark.parametrize(
    ("offset", "piece", "message"),
    [
        (0, b"\x21", "directory record of 33 bytes"),
        (0, b"\xff", "directory record of 255 bytes|does not fit|impossible|unexpected"),
        (32, b"\xf0", "identifier does not fit"),
        (32, b"\x00", "identifier does not fit"),
    ],
)
def test_damaged_records(offset: int, piece: bytes, message: str) -> None:
    at = record_of("plain", "/ISOLINUX.CFG")
    with bounded(), pytest.raises(FormatError, match=message):
        # The last record of its sector, 255 bytes long, runs past what is there.
        data = bytearray(patched("plain", (at + offset, piece)))
        if piece == b"\xff":
            data[at + 33 :] = data[at + 33 :]
            data[at : at + 34] = b"\0" * 34
            data[at // SECTOR * SECTOR + SECTOR - 40] = 255
            data[at] = 40
            data[at + 32] = 1
            _fill_to_end(data, at)
        images.open_tree(bytes(data)).listdir("/")


def _fill_to_end(data: bytearray, at: int) -> None:
    """Small records up to the last 255-byte one of the sector."""
    end = at // SECTOR * SECTOR + SECTOR
    while at + 80 < end:
        data[at], data[at + 32], data[at + 33] = 40, 1, 0x41
        at += 40
    data[at], data[at + 32] = 255, 1


@pytest.mark.parametrize("name", [b"..", b".", b"a/b"])
def test_names_that_would_lead_out(name: bytes) -> None:
    record = record_of("debian", "/.disk/info")
    data = made("debian")
    at = data.index(b"NM", record)
    raw = b"NM" + bytes([5 + len(name), 1, 0]) + name
    rest = 9 - len(raw)
    assert_refused(patched("debian", (at, raw + bytes(rest))), "impossible", lambda tree: tree.listdir("/.disk"))


def test_files_that_overlap() -> None:
    at = record_of("debian", "/.disk/info")
    other = int(images.open_tree(made("debian")).identity("/doc/noise.bin") or 0) + SECTOR
    block = other // SECTOR
    data = patched("debian", (at + 2, block.to_bytes(4, "little") + block.to_bytes(4, "big")))
    assert_refused(data, "overlaps", lambda tree: tree.write("/doc/noise.bin", b"x"))
    assert_refused(data, "overlaps", lambda tree: tree.write("/.disk/info", b"x"))


def test_a_file_on_top_of_a_structure() -> None:
    at = record_of("debian", "/.disk/info")
    for block, what in (
        (16, "volume descriptors"),
        (0, "system area"),
        (images.open_tree(made("debian")).volume.root.extents[0].start // SECTOR, "directory"),
    ):
        data = patched("debian", (at + 2, block.to_bytes(4, "little") + block.to_bytes(4, "big")))
        assert_refused(data, f"overlaps with .*{what}", lambda tree: tree.write("/.disk/info", b"x"))


def test_a_directory_of_four_gigabytes() -> None:
    at = record_of("debian", "/boot/grub")
    data = patched("debian", (at + 10, b"\xff" * 8))
    assert_refused(data, "leaves the image", lambda tree: tree.listdir("/boot/grub"))


def test_continuation_areas_without_end() -> None:
    area = b"CE" + bytes([28, 1]) + b"".join(value.to_bytes(4, "little") + bytes(4) for value in (0, 0, 28))
    device = MemoryDevice(area + bytes(SECTOR))
    descriptor = images.open_tree(made("plain")).volume.primary
    with bounded(), pytest.raises(FormatError, match="does not end"):
        rockridge.attributes(device, descriptor, area)
    far = area.replace((28).to_bytes(4, "little"), b"\xff\xff\xff\xff")
    with bounded(), pytest.raises(FormatError, match="leaves the image"):
        rockridge.attributes(device, descriptor, far)


def test_links_without_end(tmp_path: Path) -> None:
    tree = images.open_tree(images.load("debian", tmp_path))
    target = b"SL"
    data = tree.volume.device.read_at(0, tree.volume.device.size)
    at = data.index(target, record_of("debian", "/doc/menu"))
    # ../boot/grub/grub.cfg becomes ../doc//menu, itself.
    raw = bytearray(data[at : at + data[at + 2]])
    components = b"\x04\x00" + b"\x00\x03doc" + b"\x00\x04menu"
    raw[5:] = components + bytes([0, len(raw) - 5 - len(components) - 2]) + bytes(0)
    looping = raw[:5] + components
    looping[2] = len(looping)
    patch = bytes(looping) + b"ST\x04\x01"
    with bounded(), pytest.raises(ImgkitError, match="too many levels of symbolic links"):
        images.open_tree(patched("debian", (at, patch))).read("/doc/menu")


@pytest.mark.parametrize("name", ["debian", "ubuntu", "joliet", "plain", "deep", "genisoimage", "mac"])
@pytest.mark.parametrize("seed", range(6))
def test_flipped_bytes(name: str, seed: int) -> None:
    """In the structures, which are a few sectors out of 1,500: tables, descriptors, directories, catalogue."""
    tree = images.open_tree(made(name))
    extents = tree.volume.extents
    ranges = [where for where in extents.claims() if where.start not in extents.files and where.size < 100_000]
    noise = random.Random(f"{name} {seed}")
    for _ in range(12):
        data = bytearray(made(name))
        for _ in range(noise.choice((1, 1, 2, 8, 60))):
            where = noise.choice(ranges)
            data[min(noise.randrange(where.start, where.stop), len(data) - 1)] = noise.choice(
                (0, 1, 0x7F, 0xFF, noise.randrange(256))
            )
        with bounded():
            use_or_refuse(bytes(data))


def use_or_refuse(data: bytes) -> None:
    with suppress(ImgkitError):
        use_all(data)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_directory_record(data: st.DataObject) -> None:
    """Any bytes in the place of a directory are refused, or read as names that lead nowhere else."""
    where = images.open_tree(made("debian")).volume.root.extents[0]
    own = made("debian")[where.start : where.start + 34]
    noise = data.draw(st.binary(max_size=300))
    with bounded(), suppress(ImgkitError):
        tree = images.open_tree(patched("debian", (where.start + 34, noise), (where.start, own)))
        for name in tree.listdir("/"):
            assert "/" not in name
            assert name not in ("", ".", "..")


@given(st.binary(max_size=250))
@settings(deadline=None)
def test_any_system_use_field(field: bytes) -> None:
    descriptor = images.open_tree(made("plain")).volume.primary
    with suppress(FormatError):
        rockridge.attributes(MemoryDevice(made("plain")[:100_000]), descriptor, field)


def test_unsupported_is_said_so(tmp_path: Path) -> None:
    at = record_of("plain", "/ISOLINUX.CFG")
    tree = images.open_tree(patched("plain", (at + 26, b"\2")))
    with pytest.raises(UnsupportedError, match="interleaved"):
        tree.read("/ISOLINUX.CFG")
    tree = images.open_tree(patched("plain", (at + 1, b"\1")))
    with pytest.raises(UnsupportedError, match="extended attribute"):
        tree.write("/ISOLINUX.CFG", b"x")
