"""Maps tile their image exactly, whatever claims say; drawings keep order and show every area."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgkit.layoutmap.model import (
    MOST_AREAS,
    Claim,
    RangeKind,
    coarsened,
    columns,
    decode,
    encode,
    joined,
    make_map,
    scale,
    tile,
)
from imgkit.units import ByteRange

NUMBERS = st.integers(0, 3000)
RANGES = st.tuples(NUMBERS, NUMBERS).map(lambda pair: ByteRange(min(pair), max(pair)))
CLAIMS = st.lists(
    st.builds(Claim, RANGES, st.sampled_from(RangeKind), st.sampled_from(["", "a", "b"]), st.none() | NUMBERS),
    max_size=20,
)
SIZES = st.integers(0, 2000)


def check_tiles(areas, size):
    """No gap, no overlap, nothing empty, nothing outside."""
    assert sum(area.length for area in areas) == size
    position = 0
    for area in areas:
        assert (area.start, area.length > 0) == (position, True)
        position = area.stop


@given(SIZES, CLAIMS)
def test_areas_tile_the_image_and_the_first_claim_counts(size, claims):
    areas = tile(size, claims)
    check_tiles(areas, size)
    for area in areas:
        for position in {area.start, area.stop - 1, area.start + area.length // 2}:
            owner = next((c for c in claims if c.where.start <= position < c.where.stop), None)
            expected = (owner.kind, owner.label) if owner else (RangeKind.FREE, "")
            assert (area.kind, area.label) == expected


@given(SIZES, CLAIMS, st.integers(1, 8))
def test_coarse_areas_tile_too(size, claims, most):
    areas = coarsened(tile(size, claims), most)
    check_tiles(areas, size)
    assert len(areas) <= most


def test_a_hostile_number_of_areas_is_bounded():
    claims = [Claim(ByteRange(n * 4096, n * 4096 + 2048), RangeKind.FILES, f"{n}") for n in range(20_000)]
    drawn = make_map(20_000 * 4096, claims)
    check_tiles(drawn.areas, drawn.size)
    assert len(drawn.areas) <= MOST_AREAS
    assert len(encode(drawn)) < 30_000


@given(SIZES, CLAIMS, st.lists(RANGES))
def test_a_map_survives_its_journey(size, claims, changed):
    drawn = make_map(size, claims, changed)
    assert decode(encode(drawn)) == drawn


@given(st.lists(RANGES), SIZES)
def test_changed_ranges_stay_inside_apart_and_lose_nothing(ranges, size):
    found = joined(ranges, size)
    for before, after in pairwise(found):
        assert before.stop < after.start
    assert all(0 <= r.start < r.stop <= size for r in found)
    for each in ranges:
        for position in (each.start, each.stop - 1):
            if each.size and position < size:
                assert any(r.start <= position < r.stop for r in found)


@pytest.mark.parametrize("number", [1, 300, 5000])
def test_many_changes_are_bounded(number):
    assert 1 <= len(joined([ByteRange(n << 20, (n << 20) + 512) for n in range(number)], number << 20)) <= 256


@given(SIZES, CLAIMS, st.floats(0, 50), st.lists(NUMBERS))
def test_a_scale_rises_and_shows_every_area(size, claims, least, positions):
    drawn = make_map(size, claims)
    scaled = scale(drawn, 1000, least)
    assert (scaled.edges[0], scaled.edges[-1]) == (0, 1000) or not drawn.areas
    floor = min(least, 1000 / max(1, len(drawn.areas))) - 1e-6
    assert all(right - left >= floor for left, right in pairwise(scaled.edges))
    places = [scaled.at(position) for position in sorted(positions)]
    assert places == sorted(places)
    assert all(0 <= place <= 1000 for place in places)


def test_a_scale_is_true_where_nothing_is_too_narrow():
    drawn = make_map(1000, [Claim(ByteRange(100, 400), RangeKind.FILES, "")])
    assert [round(edge, 6) for edge in scale(drawn, 500, 1).edges] == [0, 50, 200, 500]


@given(st.integers(1, 2000), CLAIMS, st.integers(41, 200))
def test_columns_add_up_and_none_is_left_out(size, claims, width):
    drawn = make_map(size, claims)
    counts = columns(drawn, width)
    assert len(counts) == len(drawn.areas)
    assert sum(counts) == width
    assert min(counts) >= 1
