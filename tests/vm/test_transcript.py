"""What came over a line is found in whatever pieces it came, and kept within bounds."""

import re

from hypothesis import given
from hypothesis import strategies as st

from imgkit.vm.serial.transcript import Transcript


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=30), st.integers(1, 50))
def test_the_end_is_kept(pieces, keep):
    transcript = Transcript(keep)
    for piece in pieces:
        transcript.append(piece)
    everything = b"".join(pieces)
    kept = bytes(transcript)
    assert everything.endswith(kept)
    assert min(keep, len(everything)) <= len(kept) <= 2 * keep
    assert transcript.received == len(everything)
    assert transcript.tail(3) == kept[-3:]


@given(st.text("ab \n", min_size=1, max_size=300), st.integers(1, 20), st.sampled_from([0, 1, 650, 700, 1500]))
def test_words_are_found_as_if_all_were_searched_anew_at_each_crumb(text, size, lines_before):
    everything = (b"x" * 99 + b"\n") * lines_before + text.encode()
    crumbs = [everything[: 100 * lines_before]]
    crumbs += [everything[at : at + size] for at in range(100 * lines_before, len(everything), size)]
    transcript, naive, consumed = Transcript(), bytearray(), 0
    wanted = re.compile(rb"a+b\b")
    for crumb in crumbs:
        transcript.append(crumb)
        naive += crumb
        expected = wanted.search(naive, consumed)
        found = transcript.find(wanted)
        assert (found and found.span()) == (expected and expected.span())
        consumed = expected.end() if expected else consumed


def test_each_text_is_found_once_and_in_order():
    transcript = Transcript()
    transcript.append(b"login: root\r\nPassword: \r\nlogin: ")
    wanted = [re.compile(words) for words in (b"login: ", b"Password: ", b"login: ")]
    assert [transcript.find(pattern).start() for pattern in wanted] == [0, 13, 25]
    assert transcript.find(re.compile(b"login: ")) is None


def test_a_text_across_very_many_crumbs_is_found_where_it_begins():
    transcript = Transcript()
    wanted = re.compile(rb"(?s)begin(.*)end")
    transcript.append(b"-" * 100_000 + b"\nbegin\n")
    assert transcript.find(wanted) is None
    for _ in range(3000):
        transcript.append(b"word ")
        assert transcript.find(wanted) is None
    transcript.append(b"end")
    found = transcript.find(wanted, last=True)
    assert found.start() == 100_001
    assert len(found[1]) == 1 + 3000 * 5


def test_what_is_found_stays_when_more_comes_and_the_begin_is_dropped():
    transcript = Transcript(10)
    transcript.append(b"0123456789")
    found = transcript.find(re.compile(rb"3(.)5"))
    for _ in range(10):
        transcript.append(b"abcdefgh")
    assert (found[0], found[1]) == (b"345", b"4")
    assert transcript.find(re.compile(rb"\d")) is None
    assert transcript.find(re.compile(rb"habc"))


class Counting:
    """A regular expression that counts the bytes that it looks through."""

    def __init__(self, pattern):
        self._pattern = re.compile(pattern)
        self.seen = 0

    def search(self, data, start):
        self.seen += len(data) - start
        return self._pattern.search(data, start)


def test_the_work_of_a_search_grows_with_what_comes_and_not_with_its_square():
    looked_at = []
    for crumbs in (20_000, 40_000):
        transcript, wanted = Transcript(), Counting(rb"login: ")
        for _ in range(crumbs):
            transcript.append(b"0123456789012345678901234567890\n")
            assert transcript.find(wanted) is None
        transcript.append(b"login: ")
        assert transcript.find(wanted)
        looked_at.append(wanted.seen)
    assert looked_at[1] < 3 * looked_at[0]
