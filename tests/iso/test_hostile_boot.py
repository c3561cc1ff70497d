"""Damaged boot catalogues and partition tables: refused with a sentence, or left alone."""

from __future__ import annotations

import zlib
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgkit.errors import FormatError, ImgkitError
from imgkit.iso import eltorito, layout
from imgkit.partition.gpt import build_header
from tests.iso import images
from tests.iso.damage import SECTOR, assert_refused, bounded, made, patched
from tests.support.memorydevice import MemoryDevice


@pytest.mark.parametrize(
    ("offset", "piece", "field"),
    [
        (0, b"\2", "header_id"),
        (30, b"\0", "header_id"),
        (5, b"\x77", "checksum"),
        (32, b"\x55", "boot_indicator"),
        (33, b"\x07", "media_type"),
    ],
)
def test_damaged_catalogues(offset: int, piece: bytes, field: str) -> None:
    catalog = images.open_tree(made("debian")).volume.catalog
    assert catalog is not None
    data = patched("debian", (catalog.where.start + offset, piece))
    error = assert_refused(data, None, lambda tree: tree.volume.catalog)
    assert isinstance(error, FormatError)
    assert error.field == field
    assert images.open_tree(data).read("/boot/grub/grub.cfg") == images.MENU


def test_a_catalogue_without_end() -> None:
    validation = bytearray(made("debian")[:SECTOR])
    catalog = images.open_tree(made("debian")).volume.catalog
    assert catalog is not None
    validation[:64] = made("debian")[catalog.where.start : catalog.where.start + 64]
    header = b"\x90\x00\xff\xff" + bytes(28)
    device = MemoryDevice(bytes(validation[:64]) + header + validation[32:64] * 70_000)
    with bounded(), pytest.raises(FormatError, match="more than 256"):
        eltorito.read_catalog(device, 0)


def test_an_apple_partition_map_of_four_billion_entries() -> None:
    data = patched("debian", (SECTOR + 4, b"\xff" * 4))
    assert_refused(data, "4,294,967,295 entries", lambda tree: tree.volume.tables)


def test_a_gpt_that_does_not_match_its_checksum_is_left_alone() -> None:
    data = patched("debian", (512 + 40, b"\x41"))
    tree = images.open_tree(data)
    assert tree.volume.tables.gpt is None
    tree.write("/boot/grub/grub.cfg", b"x" * 100)
    assert tree.volume.device.read_at(0, 4096) == data[:4096]


@pytest.mark.parametrize(
    "patches",
    [
        ((446 + 12, b"\xff" * 4),),  # MBR: a partition of 2 TiB
        ((4, b"\xff" * 4),),  # Apple: a disk of 8 TiB
        ((2 * SECTOR + 12, b"\xff" * 4),),  # Apple: a partition of 8 TiB
        ((18 * SECTOR + 80, b"\xff" * 8),),  # Joliet: a volume of 8 TiB
    ],
)
def test_growth_of_what_reaches_past_the_end(patches: tuple[tuple[int, bytes], ...]) -> None:
    data = patched("debian", *patches)
    tree = images.open_tree(data)
    with bounded(), suppress(ImgkitError):
        tree.write("/boot/grub/grub.cfg", bytes(3_000_000))
        assert images.open_tree(tree.volume.device.read_at(0, tree.volume.device.size)).read("/.disk/info")


def test_growth_of_a_gpt_with_the_last_sector_of_all() -> None:
    """Its checksums are right, so that it counts."""
    tree = images.open_tree(made("debian"))
    gpt = tree.volume.tables.gpt
    assert gpt is not None
    array = bytearray(gpt.array)
    array[40:48] = b"\xff" * 8
    device = tree.volume.device
    for header in filter(None, (gpt.header, gpt.backup)):
        device.write_at(header.partition_entry_lba * 512, bytes(array))
        device.write_at(
            header.my_lba * 512, build_header(replace(header, partition_entry_array_crc32=zlib.crc32(array)))
        )
    tree.volume.refresh()
    with bounded():
        tree.write("/boot/grub/grub.cfg", bytes(3_000_000))
    assert tree.volume.tables.gpt is not None


@pytest.mark.parametrize(("offset", "piece"), [(1, b"\x20"), (5, b"\1")])
def test_boot_entries_that_cannot_be_rewritten(offset: int, piece: bytes) -> None:
    catalog = images.open_tree(made("debian")).volume.catalog
    assert catalog is not None
    data = patched("debian", (catalog.images[1].position + offset, piece))
    assert_refused(data, None, lambda tree: tree.write("/boot/grub/efi.img", bytes(3_000_000)))


@given(st.binary(min_size=512, max_size=4096))
@settings(deadline=None)
def test_any_catalogue(raw: bytes) -> None:
    validation = bytes([1]) + raw[1:28] + b"\0\0\x55\xaa"
    total = sum(int.from_bytes(validation[at : at + 2], "little") for at in range(0, 32, 2))
    checksum = (-total & 0xFFFF).to_bytes(2, "little")
    with suppress(FormatError):
        catalog = eltorito.read_catalog(MemoryDevice(validation[:28] + checksum + b"\x55\xaa" + raw), 0)
        assert catalog.images
        assert catalog.where.size % layout.CATALOG_ENTRY_SIZE == 0
