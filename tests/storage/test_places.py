"""New images elsewhere: what a plan makes, read without being written, and written to what fsspec knows."""

import sys
from contextlib import contextmanager

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgkit.errors import OutputError, UnsupportedError
from imgkit.remote import Url
from imgkit.remote.begun import UploadNote
from imgkit.remote.place import open_place
from imgkit.storage.copy import no_progress
from imgkit.storage.host import HostFile
from imgkit.storage.output import NewFile, NewObject, check_destination, deliver
from imgkit.storage.overlay import Overlay
from imgkit.storage.result import Result

SIZE = 100_000
TARGET = Url("memory://out/new.img")


@contextmanager
def edited(folder, edits, grown=0):
    """A host file of random bytes, and the plan that these edits come to."""
    path = folder / "image"
    path.write_bytes(bytes(range(256)) * (SIZE // 256 + 1))
    with HostFile(path) as host:
        overlay = Overlay(host)
        overlay.grow(host.size + grown)
        for offset, data in edits:
            overlay.write_at(offset, data)
        yield host, overlay.plan()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, SIZE), st.binary(min_size=1, max_size=300)), max_size=8),
    st.integers(0, 20_000),
    st.tuples(st.integers(0, SIZE), st.integers(0, 30_000)),
)
def test_a_result_reads_as_the_file_that_is_written(tmp_path_factory, edits, grown, part):
    folder = tmp_path_factory.mktemp("result")
    with edited(folder, [(offset, data) for offset, data in edits if offset + len(data) <= SIZE], grown) as (
        host,
        plan,
    ):
        deliver(host, plan, NewFile(folder / "new"), mtime_ns=0)
        written = (folder / "new").read_bytes()
        result = Result(host, plan)
        assert b"".join(result.pieces(7_000)) == written
        offset, length = part[0], min(part[1], result.size - part[0])
        assert result.read_at(offset, length) == written[offset : offset + length]
        before = (folder / "image").read_bytes()
        unchanged = [True] * len(written)
        for start, stop in result.changed():
            assert start < stop
            unchanged[start:stop] = [False] * (stop - start)
        assert all(written[n] == before[n] for n, same in enumerate(unchanged) if same)


@pytest.fixture
def memory():
    """A file system with nothing in it."""
    files = fsspec.filesystem("memory")
    _empty(files)
    yield files
    _empty(files)


def _empty(files):
    for name in files.find("/"):
        files.rm_file(name)


def put(folder, **options):
    with edited(folder, [(5, b"hello")]) as (host, plan):
        check_destination(host.path, NewObject(TARGET, **options))
        deliver(host, plan, NewObject(TARGET, **options), mtime_ns=0, undo=folder / "undo")
        return b"".join(Result(host, plan).pieces(SIZE))


def test_a_file_system_gets_a_whole_file_or_none(tmp_path, memory, monkeypatch):
    expected = put(tmp_path)
    assert memory.cat("/out/new.img") == expected
    assert memory.find("/") == ["/out/new.img"]
    place = open_place(TARGET)
    assert place.identity() != open_place(Url("memory://out/none")).identity() is None
    place.remove()

    def fails(*_):
        raise OSError("no space: secret")

    monkeypatch.setattr(memory, "mv", fails)
    (tmp_path / "undo").unlink()
    with pytest.raises(OutputError, match="cannot be written") as caught:
        put(tmp_path)
    assert "secret" not in str(caught.value)
    assert memory.find("/") == []
    assert not (tmp_path / "undo").exists()


def test_a_file_system_replaces_only_by_force(tmp_path, memory):
    memory.pipe_file("/out/new.img", b"precious")
    with pytest.raises(OutputError, match="exists"):
        put(tmp_path)
    with edited(tmp_path, []) as (host, plan), pytest.raises(OutputError, match="exists"):
        open_place(TARGET).put(
            Result(host, plan), ready=lambda: None, force=False, progress=no_progress, begun=UploadNote(None)
        )
    assert memory.cat("/out/new.img") == b"precious"
    assert memory.find("/") == ["/out/new.img"]
    assert put(tmp_path, force=True) == memory.cat("/out/new.img")


@pytest.mark.parametrize(
    ("url", "says"),
    [("http://host/x", "writing is not supported over http"), ("nonsense://host/x", "cannot be written")],
)
def test_what_cannot_be_written_to_is_refused_by_name(tmp_path, url, says):
    with pytest.raises(OutputError, match=says):
        check_destination(tmp_path / "image", NewObject(Url(url)))


@pytest.mark.parametrize(("url", "module", "extra"), [("s3://b/x", "boto3", "s3"), ("memory://x", "fsspec", "remote")])
def test_without_the_library_the_extra_is_named(monkeypatch, url, module, extra):
    for name in [name for name in sys.modules if name.startswith(("imgkit.remote.s3", "imgkit.remote.file"))]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnsupportedError) as caught:
        open_place(Url(url))
    assert f"imgkit-vm[{extra}]" in str(caught.value.hint)
