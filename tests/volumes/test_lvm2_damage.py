"""Damaged and hostile LVM2 metadata: a FormatError that names the place, never anything else, at a bounded cost."""

from __future__ import annotations

import random
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgkit.errors import FormatError, UnsupportedError
from imgkit.storage.mapped import Linear, Striped
from imgkit.volumes.lvm2.config import parse
from imgkit.volumes.lvm2.group import parse_group
from imgkit.volumes.model import Assembly, Member
from imgkit.volumes.registry import assemble
from tests.support.lvm import Lvm
from tests.support.memorydevice import MemoryDevice

MIB = 1 << 20


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    lvm = Lvm(tmp_path_factory.mktemp("lvm"))
    path = lvm.file("pv1", 16)
    lvm.create("vg", path, options=("--physicalextentsize", "1m"))
    lvm.volume("vg", "root", "-l", "5")
    lvm.volume("vg", "swap_1", "-l", "3")
    return path.read_bytes()


def assembled(data: bytes | bytearray) -> Assembly:
    return assemble([Member("/dev/sda5", "LVM2_member", MemoryDevice(data))])


def checksum(data: bytes) -> bytes:
    return (zlib.crc32(data, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF).to_bytes(4, "little")


def text_of(image: bytes) -> bytes:
    """The metadata's text, without the NUL at its end."""
    offset, size = (int.from_bytes(image[at : at + 8], "little") for at in (4096 + 40, 4096 + 48))
    return image[4096 + offset : 4096 + offset + size - 1]


def with_text(image: bytes, text: bytes) -> bytearray:
    """The physical volume with another text, all checksums right."""
    data = bytearray(image)
    data[4096 + 512 : 4096 + 512 + len(text)] = text
    location = (512).to_bytes(8, "little") + len(text).to_bytes(8, "little") + checksum(text)
    data[4096 + 40 : 4096 + 60] = location
    data[4096:4100] = checksum(bytes(data[4100 : 4096 + 512]))
    return data


def test_the_text_can_be_replaced_here(image: bytes) -> None:
    assert [volume.name for volume in assembled(with_text(image, text_of(image))).volumes] == [
        "/dev/vg/root",
        "/dev/vg/swap_1",
    ]


@pytest.mark.parametrize(
    ("offset", "field", "words"),
    [
        (512 + 16, "label_header.crc_xl", "label"),
        (512 + 40, "label_header.crc_xl", "checksum"),
        (4096, "mda_header.checksum_xl", "checksum"),
        (4096 + 30, "mda_header.checksum_xl", "checksum"),
    ],
)
def test_a_wrong_checksum_names_its_structure(image: bytes, offset: int, field: str, words: str) -> None:
    data = bytearray(image)
    data[offset] ^= 0x10
    found = assembled(data)
    error = found.problems["/dev/sda5"]
    assert isinstance(error, FormatError)
    assert (error.field, error.offset) == (field, offset // 512 * 512)
    assert words in error.message
    assert error.hint
    assert found.volumes == ()


def test_a_wrong_checksum_of_the_text(image: bytes) -> None:
    data = bytearray(image)
    at = 4096 + int.from_bytes(data[4096 + 40 : 4096 + 48], "little")
    data[at + 100] ^= 1
    error = assembled(data).problems["/dev/sda5"]
    assert isinstance(error, FormatError)
    assert (error.field, error.offset) == ("raw_locn.checksum", at)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"extent_size = 2048", b"extent_size = 0", "extent_size"),
        (b"extent_size = 2048", b"extent_size = 99999999999999999999", "extent_size"),
        (b"pe_count = 15", b"pe_count = 16", "counts on"),
        (b"pe_count = 15", b"pe_count = 9999999999", "pe_count"),
        (b"extent_count = 5", b"extent_count = 16", "leave physical volume pv0"),
        (b"extent_count = 5", b"extent_count = 0", "extent_count"),
        (b"extent_count = 5", b"extent_count = -1", "extent_count"),
        (b"extent_count = 5", b"extent_count = 6", "share extents"),
        (b"start_extent = 0", b"start_extent = 1", "does not begin with extent 0"),
        (b"segment_count = 1", b"segment_count = 2", "segment_count"),
        (b"stripe_count = 1", b"stripe_count = 0", "stripe_count"),
        (b"stripe_count = 1", b"stripe_count = 3", "stripe_count"),
        (b'"pv0", 0', b'"pv0", "x"', "not the number of an extent"),
        (b'"pv0", 0', b'"pv0", -1', "not the number of an extent"),
        (b'"pv0", 0', b'"pv0"', "1 words"),
        (b"seqno = ", b"seqno = x", "seqno"),
        (b"root {", b"../../etc {", "cannot be a name"),
        (b"root {", b"swap_1 {", "occurs twice"),
        (b"physical_volumes {", b"other {", "no physical volume"),
        (b"vg {", b"other {\n}\nvg {", "2 volume groups"),
        (b"vg {", b"vg {{", "belongs"),
        (b'"Text Format Volume Group"', b'"Text', "belongs"),
    ],
)
def test_what_contradicts_itself(image: bytes, old: bytes, new: bytes, words: str) -> None:
    text = text_of(image)
    assert old in text
    data = with_text(image, text.replace(old, new, 1))
    found = assembled(data)
    error = found.problems["/dev/sda5"]
    assert isinstance(error, FormatError)
    assert words in error.message
    assert error.field
    assert error.structure == "LVM2 physical volume"
    assert found.volumes == ()


def test_a_part_on_something_that_is_no_physical_volume(image: bytes) -> None:
    found = assembled(with_text(image, text_of(image).replace(b'"pv0", 0', b'"pvmove0", 0', 1)))
    problems = {volume.name: volume.problem for volume in found.volumes}
    assert isinstance(problems["/dev/vg/root"], UnsupportedError)
    assert problems["/dev/vg/swap_1"] is None


@pytest.mark.parametrize("length", [0, 511, 512, 1024, 4096, 4608, 6000, MIB, 8 * MIB])
def test_truncated(image: bytes, length: int) -> None:
    found = assembled(image[:length])
    assert isinstance(found.problems["/dev/sda5"], FormatError)
    assert found.volumes == ()


def test_flipped_bytes_in_label_header_and_text(image: bytes) -> None:
    noise = random.Random(11)
    for _ in range(150):
        data = bytearray(image)
        offset = noise.choice([noise.randrange(512, 1024), noise.randrange(4096, 4096 + 3500)])
        data[offset] ^= 1 << noise.randrange(8)
        found = assembled(data)
        assert all(isinstance(error, FormatError | UnsupportedError) for error in found.problems.values())


def test_flipped_bytes_behind_right_checksums(image: bytes) -> None:
    noise = random.Random(12)
    for _ in range(150):
        text = bytearray(text_of(image))
        for _ in range(noise.randrange(1, 4)):
            text[noise.randrange(len(text))] = noise.choice(b'{}[]="0129,#\\ \n\0x')
        found = assembled(with_text(image, bytes(text)))
        assert all(isinstance(error, FormatError | UnsupportedError) for error in found.problems.values())
        for volume in found.volumes:
            if volume.device is not None:
                assert volume.device.read_at(0, volume.device.size) == b"".join(
                    image[extent.where.start : extent.where.stop] for extent in volume.extents
                )


def test_headers_behind_right_checksums(image: bytes) -> None:
    noise = random.Random(13)
    for _ in range(200):
        data = bytearray(image)
        if noise.random() < 0.5:
            data[512 + noise.randrange(20, 160)] = noise.choice((0, 1, 0x7F, 0xFF))
            data[512 + 16 : 512 + 20] = checksum(bytes(data[512 + 20 : 1024]))
        else:
            data[4096 + noise.randrange(4, 160)] = noise.choice((0, 1, 0x7F, 0xFF))
            data[4096:4100] = checksum(bytes(data[4100 : 4096 + 512]))
        found = assembled(data)
        assert all(isinstance(error, FormatError | UnsupportedError) for error in found.problems.values())


@pytest.mark.parametrize(
    "text",
    [
        b"a{" * 200_000,
        b"a=[" * 100_000,
        b"#" * 1_000_000,
        b'"' + b"\\" * 1_000_000,
        b"x = " + b"9" * 1_000_000,
        b" " * 1_000_000 + b"!",
        b"# #" * 300_000 + b"\n!",
        b"a = 1 " * 100_000,
    ],
)
def test_bombs_in_the_text(text: bytes) -> None:
    with suppress(FormatError):
        parse_group(parse(text, 0))


def test_more_volumes_than_any_group_has(image: bytes) -> None:
    head, _, tail = text_of(image).partition(b"logical_volumes {")
    volumes = b"".join(b"v%d { status = [] segment_count = 0 }\n" % number for number in range(5000))
    found = assembled(with_text(image, head + b"logical_volumes {" + volumes + tail))
    assert isinstance(found.problems["/dev/sda5"], UnsupportedError)
    assert "5,002 volumes" in found.problems["/dev/sda5"].message


words = st.from_regex(r"[A-Za-z0-9_.+-]{1,12}", fullmatch=True)
strings = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
items = st.one_of(st.integers(-(10**15), 10**15), strings)
values = st.one_of(items, st.lists(items, max_size=4))
sections = st.recursive(
    st.dictionaries(words, values, max_size=4),
    lambda inner: st.dictionaries(words, st.one_of(values, inner), max_size=4),
    max_leaves=12,
)
spaces = st.sampled_from([" ", "\n", "\t", ' # a comment, with { and " in it\n', "\n\n"])


def quoted(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(quoted, value)) + "]"
    if isinstance(value, int):
        return str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(section: dict[str, object], space: str) -> str:
    parts = [
        f"{name}{space}{{{space}{written(value, space)}{space}}}{space}"
        if isinstance(value, dict)
        else f"{name}{space}={space}{quoted(value)}{space}"
        for name, value in section.items()
    ]
    return space + "".join(parts)


@settings(max_examples=150, deadline=None)
@given(sections, spaces)
def test_what_is_written_is_read(section: dict[str, object], space: str) -> None:
    def check(found: object, expected: dict[str, object]) -> None:
        for name, value in expected.items():
            if isinstance(value, dict):
                check(found.sections[name], value)
            else:
                assert found.values[name] == value
        assert len(found.sections) + len(found.values) == len(expected)

    check(parse(written(section, space).encode(), 0), section)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_text_or_damage(raw: bytes) -> None:
    with suppress(FormatError):
        parse_group(parse(raw, 0))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(1, 4), st.integers(1, 8), st.randoms())
def test_mapped_devices_are_their_bytes_in_order(sizes, columns, chunk, noise) -> None:
    parts = [MemoryDevice(noise.randbytes(size)) for size in sizes]
    linear = Linear(parts)
    expected = bytearray(b"".join(part.read_at(0, part.size) for part in parts))
    rows = noise.randrange(6)
    data = [noise.randbytes(rows * chunk) for _ in range(columns)]
    striped = Striped([MemoryDevice(each) for each in data], chunk)
    chunks = [each[row * chunk : (row + 1) * chunk] for row in range(rows) for each in data]
    for device, content in ((linear, expected), (striped, bytearray(b"".join(chunks)))):
        assert device.size == len(content)
        for _ in range(4):
            start = noise.randint(0, device.size)
            stop = noise.randint(start, device.size)
            assert device.read_at(start, stop - start) == content[start:stop]
            content[start:stop] = fresh = noise.randbytes(stop - start)
            device.write_at(start, fresh)
        assert device.read_at(0, device.size) == content
        for offset, length in ((-1, 1), (device.size, 1), (0, device.size + 1), (0, -1)):
            with pytest.raises(FormatError):
                device.read_at(offset, length)
