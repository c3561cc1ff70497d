import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgkit.errors import FormatError
from imgkit.storage import patchfile
from imgkit.storage.overlay import Patch, PatchPlan
from imgkit.storage.patchfile import PatchFile

tokens, numbers = st.binary(min_size=16, max_size=16), st.integers(0, 2**63)


@st.composite
def plans(draw):
    """A plan as an overlay makes it: patches of the old file, then some behind its end, zeros in between."""
    patches, at = [], 0
    for _ in range(draw(st.integers(1, 4))):
        at += draw(st.integers(0, 2**40))
        before = draw(st.binary(min_size=1, max_size=50))
        patches.append(Patch(at, before, bytes(byte ^ 1 for byte in before)))
        at += len(before)
    size = size_after = at + draw(st.integers(0, 100))
    if draw(st.booleans()):
        at = size + draw(st.integers(0, 1000))
        patches.append(Patch(at, b"", draw(st.binary(min_size=1, max_size=50))))
        size_after = at + len(patches[-1].after) + draw(st.integers(0, 1000))
    plan = PatchPlan(tuple(patches), size, size_after)
    return plan.inverse if draw(st.booleans()) else plan


@given(st.builds(PatchFile, plans(), st.text(max_size=20), st.integers(0, 2**63 - 1), numbers, numbers, tokens))
def test_it_reads_back(file):
    try:
        file.name.encode()
    except UnicodeEncodeError:
        return  # lone surrogates that no file name decodes to
    assert patchfile.parse(patchfile.serialise(file), "x") == file


PATCH = Patch(5, b"abc", b"xyz")


def test_names_that_are_not_utf_8_survive():
    file = PatchFile(PatchPlan((PATCH,), 10, 10), b"\xff\xfe.img".decode(errors="surrogateescape"), 0)
    assert patchfile.parse(patchfile.serialise(file), "x") == file


@pytest.mark.parametrize(
    ("plan", "field"),
    [
        (PatchPlan((), 10, 0), "patches"),
        (PatchPlan((), 10, 10), "patches"),
        (PatchPlan((PATCH,), 10, 1 << 62), "size_after"),
        (PatchPlan((PATCH,), 10, 2**64 - 1), "size_after"),
        (PatchPlan((PATCH,), 10, 0), "offset"),
        (PatchPlan((PATCH,), 7, 10), "offset"),
        (PatchPlan((Patch(2**64 - 1, b"", b"x"),), 10, 10), "offset"),
        (PatchPlan((Patch(2**63 - 1, b"", b"x"),), 10, 2**63), "size_after"),
        (PatchPlan((PATCH, Patch(7, b"z", b"q")), 10, 10), "offset"),
        (PatchPlan((Patch(7, b"z", b"q"), PATCH), 10, 10), "offset"),
        (PatchPlan((Patch(5, b"abc", b""),), 10, 10), "before"),
        (PatchPlan((Patch(5, b"", b"abc"),), 10, 10), "before"),
        (PatchPlan((Patch(5, b"ab", b"abc"),), 10, 10), "before"),
        (PatchPlan((Patch(5, b"", b""),), 10, 10), "offset"),
    ],
)
def test_a_plan_that_no_edit_makes_is_refused(plan, field):
    with pytest.raises(FormatError, match="not a valid edit") as caught:
        patchfile.parse(patchfile.serialise(PatchFile(plan, "disk", 0)), "x")
    assert caught.value.field == field


@pytest.mark.parametrize("time", [-(2**63), -1])
def test_a_time_that_no_edit_sets_is_refused(time):
    with pytest.raises(FormatError, match="not a valid edit"):
        patchfile.parse(patchfile.serialise(PatchFile(PatchPlan((PATCH,), 10, 10), "disk", time)), "x")


@pytest.mark.parametrize("seed", range(200))
def test_a_damaged_one_is_refused(seed):
    noise = random.Random(seed)
    data = bytearray(patchfile.serialise(PatchFile(PatchPlan((Patch(5, b"abc", b"xyz"),), 10, 20), "disk", 7)))
    if seed % 2:
        data[noise.randrange(len(data))] ^= 1 << noise.randrange(8)
    else:
        del data[noise.randrange(len(data)) :]
    with pytest.raises(FormatError, match="undo-file"):
        patchfile.parse(bytes(data), "undo-file")
