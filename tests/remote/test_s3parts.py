"""The parts of a changed object: whatever is changed, they keep S3's rules and hold what they should."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imgkit.remote.s3parts import LEAST, MOST, Copy, Stitch, Upload, plan_parts
from imgkit.units import GIB, MIB

SIZES = st.integers(0, 60 * MIB)


@st.composite
def changes(draw):
    size = draw(SIZES)
    ranges, position = [], 0
    for start, length in sorted(draw(st.lists(st.tuples(SIZES, st.integers(1, 9 * MIB)), max_size=12))):
        begin, end = max(start, position), min(start + length, size)
        if begin < end:
            ranges.append((begin, end))
            position = end
    return ranges, size


@settings(deadline=None)
@given(changes())
def test_parts_follow_each_other_and_copies_hold_nothing_that_changed(made):
    ranges, size = made
    parts = plan_parts(ranges, size)
    assert [part.stop for part in parts] == [*(part.start for part in parts[1:]), size]
    assert parts[0].start == 0
    assert all(part.stop - part.start >= LEAST for part in parts[:-1])
    for part in parts:
        stop = {Copy: part.stop, Upload: part.start, Stitch: getattr(part, "middle", 0)}[type(part)]
        assert all(end <= part.start or begin >= stop for begin, end in ranges)
        if isinstance(part, Stitch):
            assert part.middle - part.start >= LEAST


def test_small_changes_far_apart_cost_little():
    ranges = [(47_542, 98_400), (300 * MIB, 300 * MIB + 10), (3 * GIB, 3 * GIB + 1000), (4 * GIB, 4 * GIB + 2048)]
    parts = plan_parts(ranges, 4 * GIB + 2048)
    sent = sum(part.stop - getattr(part, "middle", part.start) for part in parts if not isinstance(part, Copy))
    assert sent == LEAST + 10 + 1000 + 2048


def test_the_largest_objects_have_few_enough_parts():
    size = 5 << 40
    assert len(plan_parts([(0, size)], size)) <= MOST
    assert len(plan_parts([(n << 30, (n << 30) + 5) for n in range(5000)], size)) <= MOST
