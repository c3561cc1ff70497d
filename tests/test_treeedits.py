"""Edits of a tree: what is announced, and what is found out once."""

from imgkit.treeedits import TreeEdits
from tests.support.memoryguest import MemoryGuest


def test_what_is_found_out_is_remembered_until_something_is_edited():
    edits = TreeEdits(MemoryGuest({"/a": b"one\n", "/b": b"x\n"}))
    found = []

    def find():
        found.append(edits.text("/a"))
        return found[-1]

    assert [edits.remember("a", find), edits.remember("a", find)] == ["one\n", "one\n"]
    edits.edit("/b", lambda text: text)
    assert edits.remember("a", find) == "one\n"
    assert len(found) == 1, "an edit that changes nothing forgets nothing"
    for edit in (
        lambda: edits.edit("/a", lambda _: "two\n"),
        lambda: edits.put("/new", "x"),
        lambda: edits.link("/link", "a"),
        lambda: edits.remove("/b"),
    ):
        edit()
        before = len(found)
        assert edits.remember("a", find) == "two\n"
        assert len(found) == before + 1


def test_edits_of_edits_are_the_same():
    edits = TreeEdits(MemoryGuest({"/a": b""}))
    assert TreeEdits.of(edits) is edits
    assert TreeEdits.of(edits.tree).tree is edits.tree


def test_an_announcement_is_made_once():
    edits = TreeEdits(MemoryGuest({"/a": b""}))
    for _ in range(2):
        edits.announce("now boots after 10 s")
    assert edits.announcements == ["now boots after 10 s"]
