"""Which journals are believed, what readers see, and what is found under another name."""

import os

import pytest

from imgkit.errors import FormatError, InUseError, StaleImageError
from imgkit.formats.image import open_image
from imgkit.storage import commit, durable, journal
from imgkit.storage.host import HostFile
from imgkit.storage.journal import State, journal_path
from imgkit.storage.output import InPlace, NewFile, Stream, deliver
from imgkit.storage.overlay import Patch, PatchPlan
from imgkit.storage.patchfile import PatchFile, serialise
from tests.support import oracle
from tests.support.journals import HALF, NEW, OLD, PLAN, interrupted, shown


@pytest.mark.parametrize(
    ("content", "told", "seen", "result"),
    [
        (OLD, "before it changed anything", OLD, commit.Recovery.DISCARDED),
        (HALF, "as it will be", NEW, commit.Recovery.FINISHED),
        (NEW, "as it will be", NEW, commit.Recovery.FINISHED),
    ],
)
@pytest.mark.parametrize("marked", [True, False])
def test_readers_see_what_recovery_will_leave(image, content, told, seen, result, marked):
    path = interrupted(image, content, marked=marked)
    data, pending = shown(image)
    assert data == seen
    assert told in pending
    assert "imgkit recover" in pending
    assert commit.recover(image) is result
    assert image.read_bytes() == seen
    assert not path.exists()
    assert not _marked(image)
    assert commit.recover(image) is commit.Recovery.NOTHING


def test_an_edit_to_a_new_file_starts_from_what_recovery_will_leave(image, tmp_path):
    interrupted(image)
    with open_image(image) as opened:
        opened.disk.write_at(0, b"zz")
        deliver(opened.host, opened.plan(), NewFile(tmp_path / "new"), mtime_ns=0)
        with (tmp_path / "stream").open("wb") as file:
            deliver(opened.host, opened.plan(), Stream(file.fileno()), mtime_ns=0)
    assert (tmp_path / "new").read_bytes() == (tmp_path / "stream").read_bytes() == b"zz" + NEW[2:]
    assert image.read_bytes() == HALF


def test_a_writer_recovers_first(image):
    interrupted(image)
    with open_image(image, writable=True) as opened:
        assert not opened.pending
        opened.disk.write_at(0, b"zz")
        deliver(opened.host, opened.plan(), InPlace(), mtime_ns=0)
    assert image.read_bytes() == b"zz" + NEW[2:]


def test_a_backing_file_is_shown_as_recovery_will_leave_it(tmp_path):
    content = OLD + bytes(-len(OLD) % 512)
    backing = tmp_path / "base.raw"
    backing.write_bytes(content)
    top = tmp_path / "top.qcow2"
    oracle.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.raw", top)
    plan = PatchPlan(PLAN.patches, len(content), len(content))
    interrupted(backing, content[:10] + b"x" * 10 + content[20:], plan)
    with open_image(top) as opened:
        assert opened.disk.read_at(0, len(OLD)) == NEW


@pytest.mark.parametrize("how", ["link", "move", "copy"])
def test_an_interrupted_edit_is_found_under_another_name(image, tmp_path, how):
    path = interrupted(image)
    folder = tmp_path / "other"
    folder.mkdir()
    other = folder / "name.raw"
    match how:
        case "link":
            other.hardlink_to(image)
        case "move":
            image.rename(other)
        case "copy":
            oracle.run("cp", "--preserve=xattr", image, other)
    data, pending = shown(other)
    assert data == NEW
    assert pending
    assert commit.recover(other) is commit.Recovery.FINISHED
    assert other.read_bytes() == NEW
    assert not path.exists()


def test_a_half_written_image_without_its_journal_is_said_to_be_one(image, tmp_path):
    path = interrupted(image)
    path.rename(tmp_path / "elsewhere")
    for look in (shown, commit.recover):
        with pytest.raises(StaleImageError, match="is missing") as caught:
            look(image)
        assert str(path) in caught.value.message
    (tmp_path / "elsewhere").rename(path)
    assert commit.recover(image) is commit.Recovery.FINISHED


def test_a_journal_beside_a_restored_backup_is_named_and_not_applied(image, tmp_path):
    path = interrupted(image)
    backup = tmp_path / "backup"
    backup.write_bytes(OLD)
    backup.replace(image)  # another file of the same name
    data, pending = shown(image)
    assert data == OLD
    assert str(path) in pending
    with pytest.raises(StaleImageError, match="journal of another file") as caught:
        commit.recover(image)
    assert f"remove {path}" in caught.value.hint
    assert image.read_bytes() == OLD
    assert path.exists()
    image.write_bytes(b"something else" * 1000)
    with pytest.raises(StaleImageError):
        shown(image)


def test_a_backup_copied_over_the_half_written_image_stays_as_it_is(image):
    path = interrupted(image)
    image.write_bytes(OLD)  # the same file
    assert commit.recover(image) is commit.Recovery.DISCARDED
    assert image.read_bytes() == OLD
    assert not path.exists()
    assert not _marked(image)


def test_a_folder_that_was_copied_with_its_journal_is_recovered(image, tmp_path):
    interrupted(image)
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in (image, journal_path(image)):
        (folder / path.name).write_bytes(path.read_bytes())
        (folder / path.name).chmod(0o600)
    assert commit.recover(folder / image.name) is commit.Recovery.FINISHED
    assert (folder / image.name).read_bytes() == NEW
    assert image.read_bytes() == HALF


def put(path, data, mode=0o600):
    path.write_bytes(data)
    path.chmod(mode)


def put_link(path, data):
    path.with_name("journal").write_bytes(data)
    path.symlink_to(path.with_name("journal"))


IN_ITS_PLACE = {
    "fifo": lambda path, _: os.mkfifo(path),
    "folder": lambda path, _: path.mkdir(),
    "link": put_link,
    "device": lambda path, _: path.symlink_to("/dev/zero"),
    "empty": lambda path, _: put(path, b""),
    "text": lambda path, _: put(path, b"hello"),
    "cut": lambda path, data: put(path, data[:-1]),
    "group": lambda path, data: put(path, data, 0o620),
    "world": lambda path, data: put(path, data, 0o602),
    "name": lambda path, _: put(path, serialise(PatchFile(PLAN, "other", 5))),
}


@pytest.mark.parametrize("kind", IN_ITS_PLACE)
def test_what_is_no_journal_of_ours_is_refused_and_stays(image, kind):
    path = journal_path(image)
    with HostFile(image) as host:
        IN_ITS_PLACE[kind](path, serialise(PatchFile.of(host, PLAN, 5)))
    for look in (_opened, commit.recover, _edited):
        with pytest.raises(StaleImageError, match=r"disk\.raw\.imgkit-journal") as caught:
            look(image)
        assert caught.value.hint
    assert image.read_bytes() == OLD
    assert os.path.lexists(path)


@pytest.mark.parametrize(
    "plan",
    [
        PatchPlan((), len(OLD), 0),
        PatchPlan((), len(OLD), (1 << 63) - 1),
        PatchPlan((), len(OLD), 1 << 40),
        PatchPlan((Patch(0, OLD[:4], b"EVIL"),), len(OLD), len(OLD) - 50_000),
        PatchPlan((Patch((1 << 64) - 1, b"", b"x"),), len(OLD), len(OLD)),
        PatchPlan((Patch(0, b"AAAA", b"EVIL"),), len(OLD), len(OLD)),
    ],
)
def test_a_journal_of_ours_that_no_edit_of_this_image_makes_changes_nothing(image, plan):
    path = journal_path(image)
    with HostFile(image) as host:
        path.write_bytes(serialise(PatchFile.of(host, plan, 5)))
    path.chmod(0o600)
    for look in (shown, commit.recover, _edited):
        with pytest.raises((FormatError, StaleImageError)):
            look(image)
    undo = image.with_name("undo")
    path.rename(undo)
    with pytest.raises((FormatError, StaleImageError)):
        commit.undo(image, undo, mtime_ns=0)
    assert image.read_bytes() == OLD
    assert sorted(entry.name for entry in image.parent.iterdir()) == ["disk.raw", "undo"]


def test_an_undo_file_of_somebody_elses_making_is_refused(image, tmp_path):
    undo = tmp_path / "undo"
    undo.write_bytes(serialise(PatchFile(PLAN.inverse, image.name, 5)))
    undo.chmod(0o666)
    with pytest.raises(StaleImageError, match="may be written by others"):
        commit.undo(image, undo, mtime_ns=0)
    for kind in ("folder", "fifo"):
        undo.unlink() if undo.is_file() else None
        undo = tmp_path / kind
        undo.mkdir() if kind == "folder" else os.mkfifo(undo)
        with pytest.raises(StaleImageError, match=f"is a {kind}" if kind == "folder" else "is a FIFO"):
            commit.undo(image, undo, mtime_ns=0)
    assert image.read_bytes() == OLD


def test_a_commit_that_still_runs_is_left_alone_where_there_are_no_record_locks(image, monkeypatch):
    monkeypatch.setattr("imgkit.storage.locks.acquire", lambda *_: None)
    tried = []

    def others_come(fd, plan):
        for look in (_opened, commit.recover, _edited):
            with pytest.raises(InUseError):
                look(image)
        tried.append(image)
        real(fd, plan)

    real = durable.write_plan
    monkeypatch.setattr(durable, "write_plan", others_come)
    with HostFile(image, writable=True) as host:
        commit.commit(host, PLAN, mtime_ns=5)
    assert tried
    assert image.read_bytes() == NEW
    assert [path.name for path in image.parent.iterdir()] == [image.name]


def test_a_second_commit_meets_a_running_one_where_there_are_no_record_locks(image, monkeypatch):
    monkeypatch.setattr("imgkit.storage.locks.acquire", lambda *_: None)
    late = HostFile(image, writable=True)

    def other_comes(fd, plan):
        monkeypatch.setattr(durable, "write_plan", real)
        with pytest.raises((InUseError, StaleImageError)):
            commit.commit(late, PatchPlan((Patch(0, OLD[:2], b"zz"),), len(OLD), len(OLD)), mtime_ns=5)
        real(fd, plan)

    real = durable.write_plan
    monkeypatch.setattr(durable, "write_plan", other_comes)
    with late, HostFile(image, writable=True) as host:
        commit.commit(host, PLAN, mtime_ns=5)
        with pytest.raises(StaleImageError):
            commit.commit(late, PatchPlan((Patch(10, OLD[10:12], b"zz"),), len(OLD), len(OLD)), mtime_ns=5)
    assert image.read_bytes() == NEW
    assert [path.name for path in image.parent.iterdir()] == [image.name]


@pytest.mark.parametrize("how", ["replaced", "moved", "removed", "link"])
def test_an_image_that_is_another_file_by_then_is_refused(image, tmp_path, how):
    named = image
    if how == "link":
        named = tmp_path / "link"
        named.symlink_to(image)
    other = tmp_path / "other"
    other.write_bytes(OLD)
    with open_image(named, writable=True) as opened:
        opened.disk.write_at(10, b"x")
        match how:
            case "replaced":
                other.replace(image)
            case "moved":
                image.rename(tmp_path / "moved")
            case "removed":
                image.unlink()
            case "link":
                named.unlink()
                named.symlink_to(other)
        with pytest.raises(StaleImageError, match="replaced, moved or removed"):
            deliver(opened.host, opened.plan(), InPlace(), mtime_ns=0)
    assert {path.read_bytes() for path in tmp_path.iterdir()} <= {OLD}


def _opened(image):
    with open_image(image):
        pass


def _edited(image):
    with open_image(image, writable=True):
        pass


def _marked(image):
    return "user.imgkit.edit" in os.listxattr(image)


def test_state_sees_bytes_that_a_shorter_file_would_lose(image):
    plan = PatchPlan((Patch(10, OLD[10:20], b"x" * 10),), len(OLD), len(OLD) - 50_000)
    with HostFile(image) as host:
        assert journal.state_of(host, plan) == len(OLD) - 50_000 + _first_byte(OLD[-50_000:])
    grown = PatchPlan((Patch(10, OLD[10:20], b"x" * 10),), len(OLD), len(OLD) + 50_000)
    with HostFile(image) as host:
        assert journal.state_of(host, grown) is State.OLD


def _first_byte(data):
    return 0 if any(data) else len(data)
