import random

from hypothesis import given
from hypothesis import strategies as st

from imgkit.storage.overlay import Overlay
from tests.support.memorydevice import MemoryDevice

SIZE = 20_000

writes = st.lists(
    st.tuples(st.integers(0, SIZE + 9_999), st.binary(min_size=1, max_size=300).map(lambda b: b * 30), st.booleans()),
    max_size=12,
)


def apply(data: bytes, plan) -> bytes:
    """What the plan says, done by hand."""
    result = bytearray(data[: plan.size_after].ljust(plan.size_after, b"\0"))
    for patch in plan.patches:
        assert data[patch.offset : patch.offset + len(patch.before)] == patch.before
        result[patch.offset : patch.offset + len(patch.after)] = patch.after
    return bytes(result)


@given(seed=st.integers(0, 3), writes=writes)
def test_an_overlay_is_a_bytearray_and_its_plan_leads_there_and_back(seed, writes):
    base = random.Random(seed).randbytes(SIZE) if seed else bytes(SIZE)
    overlay, model = Overlay(MemoryDevice(base)), bytearray(base)
    for offset, data, restore in writes:
        end = offset + len(data)
        overlay.grow(end)
        model.extend(bytes(max(0, end - len(model))))
        piece = base[offset:end] if restore and end <= SIZE else data
        overlay.write_at(offset, piece)
        model[offset : offset + len(piece)] = piece
        assert overlay.read_at(max(0, offset - 100), len(piece)) == model[max(0, offset - 100) :][: len(piece)]
    plan = overlay.plan()
    assert overlay.read_at(0, overlay.size) == model
    assert apply(base, plan) == model
    shrunk = apply(model, plan.inverse)
    assert shrunk == base
    ends = [0, *(patch.offset + max(len(patch.before), len(patch.after)) for patch in plan.patches)]
    assert all(end <= patch.offset for end, patch in zip(ends, plan.patches, strict=False))
    assert not any(patch.before == patch.after for patch in plan.patches)


def test_a_byte_that_is_written_back_is_no_change():
    overlay = Overlay(MemoryDevice(bytes(9000)))
    overlay.write_at(4000, b"x" * 300)
    overlay.write_at(4000, bytes(300))
    assert overlay.plan().is_empty


def test_a_patch_spans_pages_but_holds_only_what_differs():
    overlay = Overlay(MemoryDevice(bytes(20_000)))
    overlay.write_at(4000, b"x" * 300)
    (patch,) = overlay.plan().patches
    assert (patch.offset, patch.before, patch.after) == (4000, bytes(300), b"x" * 300)
