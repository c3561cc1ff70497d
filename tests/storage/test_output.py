"""Every way out gives the same bytes, and none leaves anything behind when it fails."""

import errno
import os
import subprocess
import sys
import threading

import pytest

from imgkit.errors import OutputError, StaleImageError, UnclassifiedImageError, UsageError
from imgkit.formats.image import open_image
from imgkit.storage import commit, copy, output
from imgkit.storage.output import InPlace, NewFile, Stream, check_destination, deliver
from tests.support import disks, oracle

EDITS = [(5, b"five"), (300_000, b"x" * 9000), (2_000_000, bytes(100))]


@pytest.fixture(params=["raw", "qcow2"])
def image(request, tmp_path):
    if request.param == "qcow2":
        return disks.make_qcow2(tmp_path, disks.contents())
    path = tmp_path / "disk.raw"
    path.write_bytes(disks.contents())
    return path


def sparse(path, size):
    with path.open("wb") as file:
        file.truncate(size)
        for offset in (0, size // 2, size - 4096):
            file.seek(offset)
            file.write(os.urandom(4096))
    return path


def staged(image, destination, *, undo=None, progress=copy.no_progress, mtime_ns=1_600_000_000_123_456_789):
    with open_image(image, writable=isinstance(destination, InPlace)) as opened:
        for offset, data in EDITS:
            opened.disk.write_at(offset, data)
        check_destination(image, destination)
        deliver(opened.host, opened.plan(), destination, mtime_ns=mtime_ns, undo=undo, progress=progress)


def piped(image):
    reader, writer = os.pipe()
    received = []

    def receive():
        with os.fdopen(reader, "rb") as file:
            received.append(file.read())

    thread = threading.Thread(target=receive)
    thread.start()
    try:
        staged(image, Stream(writer))
    finally:
        os.close(writer)
        thread.join()
    return received[0]


def test_a_new_file_a_stream_and_an_in_place_commit_agree(image, tmp_path):
    before = disks.sha256(image)
    staged(image, NewFile(tmp_path / "new"))
    through_a_pipe = piped(image)
    with (tmp_path / "redirected").open("wb") as file:
        staged(image, Stream(file.fileno()))
    with (tmp_path / "appended").open("ab") as file:
        staged(image, Stream(file.fileno()))
    assert disks.sha256(image) == before
    staged(image, InPlace())
    result = image.read_bytes()
    assert (tmp_path / "new").read_bytes() == result
    assert through_a_pipe == result
    assert (tmp_path / "redirected").read_bytes() == result
    assert (tmp_path / "appended").read_bytes() == result
    assert image.stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("in_place", [True, False])
def test_undo_brings_the_bytes_back(image, tmp_path, in_place):
    before, undo = disks.sha256(image), tmp_path / "undo"
    target = image if in_place else tmp_path / "new"
    staged(image, InPlace() if in_place else NewFile(target), undo=undo)
    assert disks.sha256(target) != before
    commit.undo(target, undo, mtime_ns=1)
    assert disks.sha256(target) == before
    assert commit.undo(target, undo, mtime_ns=1).is_empty, "there is nothing to undo any more"
    assert disks.sha256(target) == before


def test_undo_goes_by_bytes_and_refuses_an_image_that_went_on(image, tmp_path):
    undo = tmp_path / "undo"
    before = disks.sha256(image)
    staged(image, InPlace(), undo=undo)
    after = image.read_bytes()
    os.utime(image)
    commit.undo(image, undo, mtime_ns=1)
    assert disks.sha256(image) == before
    image.write_bytes(after)
    with image.open("r+b") as file:
        file.seek(200_000)
        piece = file.read()
        file.seek(200_000)
        file.write(bytes(byte ^ 1 for byte in piece))
    changed = disks.sha256(image)
    with pytest.raises(StaleImageError, match="neither what it was before the edit nor what the edit left"):
        commit.undo(image, undo, mtime_ns=1, force=True)
    assert disks.sha256(image) == changed
    with pytest.raises(UsageError, match="no such file"):
        commit.undo(image, tmp_path / "none", mtime_ns=1)


def test_holes_stay_holes_and_progress_reaches_the_end(tmp_path):
    image, seen = sparse(tmp_path / "disk.raw", 256 << 20), []
    staged(image, NewFile(tmp_path / "new"), progress=lambda *pair: seen.append(pair))
    assert (tmp_path / "new").stat().st_blocks * 512 < 1 << 20
    assert seen[-1] == (256 << 20, 256 << 20)
    staged(image, InPlace())
    assert image.stat().st_blocks * 512 < 1 << 20
    assert oracle.run("cmp", image, tmp_path / "new").returncode == 0


def test_a_file_system_without_copy_file_range_gets_sendfile(image, tmp_path, monkeypatch):
    def refuse(*_args):
        raise OSError(errno.EXDEV, "no")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    staged(image, NewFile(tmp_path / "new"))
    staged(image, InPlace())
    assert (tmp_path / "new").read_bytes() == image.read_bytes()


def test_a_new_file_never_replaces_one_unless_forced(image, tmp_path):
    target = tmp_path / "new"
    target.write_text("mine")
    with pytest.raises(OutputError, match="exists") as caught:
        staged(image, NewFile(target))
    assert "--force" in caught.value.hint
    with open_image(image) as opened, pytest.raises(OutputError, match="exists"):
        deliver(opened.host, opened.plan(), NewFile(target), mtime_ns=0)  # it came to be after the check
    assert target.read_text() == "mine"
    staged(image, NewFile(target, force=True))
    staged(image, InPlace())
    assert target.read_bytes() == image.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_the_output_is_not_the_input(image, tmp_path):
    (tmp_path / "link").symlink_to(image)
    for path in (image, tmp_path / "link"):
        with pytest.raises(OutputError, match="output is the input"):
            staged(image, NewFile(path, force=True))


def test_an_in_place_commit_goes_through_a_link_to_the_file(image, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    link = folder / "link"
    link.symlink_to(image)
    staged(link, InPlace())
    assert link.is_symlink()
    with open_image(image) as opened:
        assert opened.disk.read_at(5, 4) == b"five"


def test_a_missing_directory_and_a_terminal(image, tmp_path):
    with pytest.raises(OutputError, match="no such directory"):
        staged(image, NewFile(tmp_path / "none" / "new"))
    leader, follower = os.openpty()
    with pytest.raises(OutputError, match="terminal"):
        staged(image, Stream(follower))
    os.close(leader)
    os.close(follower)


def test_a_reader_that_goes_away(image):
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(OutputError, match="closed it"):
        staged(image, Stream(writer))
    os.close(writer)


def limited_to(size, code):
    """Run code in a process that may not write files longer than `size`: the kernel's EFBIG for a full disk."""
    prelude = f"import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}));"
    prelude += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    return subprocess.run([sys.executable, "-c", prelude + code], capture_output=True, text=True, check=False)


def test_a_new_file_that_does_not_fit_leaves_nothing(image, tmp_path):
    done = limited_to(
        1 << 20,
        f"from pathlib import Path; from tests.storage.test_output import *; "
        f"staged(Path({str(image)!r}), NewFile(Path({str(tmp_path / 'new')!r})))",
    )
    assert "OutputError" in done.stderr
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_journal_that_does_not_fit_leaves_the_image_alone(image, tmp_path):
    before = disks.sha256(image)
    done = limited_to(
        1000,
        f"from pathlib import Path; from tests.storage.test_output import *; "
        f"staged(Path({str(image)!r}), InPlace(), undo=Path({str(tmp_path / 'undo')!r}))",
    )
    assert "OutputError" in done.stderr
    assert disks.sha256(image) == before
    assert not list(tmp_path.glob(".*"))
    assert not (tmp_path / "undo").exists()


@pytest.mark.parametrize("what", ["missing", "folder", "fifo"])
def test_what_is_no_regular_file(tmp_path, what):
    path = tmp_path / "thing"
    if what == "folder":
        path.mkdir()
    if what == "fifo":
        os.mkfifo(path)
    with pytest.raises(UnclassifiedImageError, match="thing"), open_image(path):
        pass


def test_an_image_that_changed_while_it_was_edited(image):
    with open_image(image, writable=True) as opened:
        opened.disk.write_at(0, b"x")
        plan = opened.plan()
        with image.open("r+b") as file:
            file.seek(700)
            file.write(b"somebody without locks")
        before = image.read_bytes()
        with pytest.raises(StaleImageError, match="changed by another program"):
            output.deliver(opened.host, plan, InPlace(), mtime_ns=0)
    assert image.read_bytes() == before


def test_a_plan_that_fails_stops_the_copy_and_leaves_nothing(tmp_path):
    image, target = sparse(tmp_path / "big.raw", 64 << 20), tmp_path / "new.raw"
    threads = threading.active_count()
    with (
        pytest.raises(UsageError, match="no plan"),
        open_image(image) as opened,
        output.delivery(opened.host, NewFile(target), mtime_ns=0),
    ):
        raise UsageError("no plan")
    assert [path.name for path in tmp_path.iterdir()] == ["big.raw"]
    assert threading.active_count() == threads


def test_an_unwanted_copy_ends_at_the_next_chunk(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(3 * copy._CHUNK))
    begun, go_on = threading.Event(), threading.Event()

    def held(_done, _total):
        begun.set()
        go_on.wait()

    with source.open("rb") as reading, target.open("wb") as writing:
        copying = copy.copying(reading.fileno(), writing.fileno(), source.stat().st_size, held)
        copying.__enter__()
        begun.wait()
        threading.Timer(1, go_on.set).start()
        copying.__exit__(None, None, None)
    reflinked = target.read_bytes() == source.read_bytes()
    assert reflinked or target.stat().st_blocks * 512 < source.stat().st_size


def test_what_stops_a_copy_is_raised_where_the_copy_is_needed(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"data" * 1000)
    target.touch()
    with (
        source.open("rb") as reading,
        target.open("rb") as read_only,
        copy.copying(reading.fileno(), read_only.fileno(), 4000) as copied,
        pytest.raises(OSError, match=r"Invalid argument|Bad file descriptor"),
    ):
        copied()
