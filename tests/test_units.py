import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgkit.errors import FormatError, TreeError
from imgkit.storage.device import Window
from imgkit.units import ByteRange, format_size, parse_size, sectors_to_range
from tests.support.memorydevice import MemoryDevice


@pytest.mark.parametrize(
    ("text", "size"), [("512", 512), ("64K", 65536), ("1.5 GiB", 3 << 29), ("2MB", 2 << 20), ("1t", 1 << 40)]
)
def test_sizes_are_powers_of_1024(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "K", "-1", "1X", "1 2", "0x10"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


@given(st.integers(0, 1 << 50))
def test_a_printed_size_reads_back_within_its_precision(size):
    assert abs(parse_size(format_size(size)) - size) <= size * 0.05 + 1


def test_an_inclusive_last_sector_becomes_half_open():
    assert sectors_to_range(2048, 4095, 512) == ByteRange(1 << 20, 2 << 20)


def test_a_window_is_clamped_to_its_parent():
    parent = MemoryDevice(bytes(range(100)))
    window = Window(parent, ByteRange(90, 120))
    assert window.size == 10
    assert window.read_at(0, 10) == bytes(range(90, 100))
    with pytest.raises(FormatError):
        window.read_at(0, 11)
    with pytest.raises(FormatError):
        window.write_at(9, b"xx")
    assert Window(parent, ByteRange(200, 300)).size == 0


def test_errors_survive_a_trip_between_processes():
    error = FormatError("too big", structure="GPT header", offset=512, field="count", path="a.img", hint="Do x.")
    twin = pickle.loads(pickle.dumps(error))
    assert str(twin) == str(error) == "a.img: too big (GPT header at byte 512, field count)"
    assert (twin.hint, twin.offset) == ("Do x.", 512)
    assert pickle.loads(pickle.dumps(TreeError("no", path="/x"))).path == "/x"
