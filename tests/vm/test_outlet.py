"""What came over a line waits for whoever is slower, in order and within bounds."""

import select

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgkit.errors import OutputError
from imgkit.vm.serial.outlet import Outlet, opened_log, opened_outlet


def is_news(outlet):
    return bool(select.select([outlet.fd], [], [], 0)[0])


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=6000), st.integers(1, 5000)), max_size=30))
def test_what_is_put_in_is_taken_in_order(steps):
    given_in, taken = b"", b""
    with opened_outlet() as outlet:
        for step in steps:
            if isinstance(step, int):
                data = outlet.take(step)
                assert len(data) <= step
                half = len(data) // 2
                outlet.give_back(data[half:])
                taken += data[:half]
            else:
                outlet.put(step)
                given_in += step
        while data := outlet.take(4096):
            taken += data
        assert outlet.is_empty
        assert outlet.news() == 0
    assert taken == given_in


def test_the_oldest_are_dropped_beyond_the_bound_and_counted():
    with opened_outlet() as outlet:
        small = Outlet(outlet.fd, bound=10_000)
        for _ in range(1000):
            small.put(b"0123456789")
        assert small.news() == 0
        small.put(b"the last")
        dropped = small.news()
        assert dropped
        assert small.news() == 0
        rest = b""
        while data := small.take(1 << 20):
            rest += data
        assert dropped + len(rest) == 10_008
        assert rest.endswith(b"9the last")


def test_news_wake_whoever_waits_until_they_are_heard():
    with opened_outlet() as outlet:
        assert not is_news(outlet)
        outlet.put(b"x")
        outlet.wake()
        assert is_news(outlet)
        outlet.news()
        assert not is_news(outlet)


def test_a_log_is_appended_to_and_may_be_none(tmp_path):
    path = tmp_path / "log"
    for data in (b"one\n", b"\xff\x00"):
        with opened_log(path) as log, opened_log(None) as none:
            log.put(data)
            none.put(data)
            log.check()
            none.check()
    assert path.read_bytes() == b"one\n\xff\x00"


def test_a_log_that_cannot_be_written_is_told_of(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"), opened_log(tmp_path):
        pass
    with opened_log("/dev/full") as log:
        log.put(b"x")
        log.put(b"y")
        with pytest.raises(OutputError, match="No space left"):
            log.check()
