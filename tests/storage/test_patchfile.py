import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgkit.errors import FormatError
from imgkit.storage import patchfile
from imgkit.storage.overlay import Patch, PatchPlan
from imgkit.storage.patchfile import PatchFile

offsets = st.integers(0, 2**63)
patches = st.lists(st.builds(Patch, offsets, st.binary(max_size=50), st.binary(max_size=50)), max_size=5).map(tuple)
files = st.builds(
    PatchFile, st.builds(PatchPlan, patches, offsets, offsets), st.text(max_size=20), st.integers(-(2**63), 2**63 - 1)
)


@given(files)
def test_it_reads_back(file):
    try:
        file.name.encode()
    except UnicodeEncodeError:
        return  # lone surrogates that no file name decodes to
    assert patchfile.parse(patchfile.serialise(file), "x") == file


def test_names_that_are_not_utf_8_survive():
    file = PatchFile(PatchPlan((), 1, 1), b"\xff\xfe.img".decode(errors="surrogateescape"), 0)
    assert patchfile.parse(patchfile.serialise(file), "x") == file


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
