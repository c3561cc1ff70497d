"""Commits where rights, names or a file system withhold something, and what killed runs left."""

import os
import stat
import subprocess
import sys

import pytest

from imgkit.errors import ImgkitError, OutputError, StaleImageError
from imgkit.formats.image import open_image
from imgkit.storage import commit, durable, patchfile
from imgkit.storage.host import HostFile
from imgkit.storage.journal import find_pending, journal_path
from imgkit.storage.output import NewFile, deliver
from imgkit.storage.overlay import Patch, PatchPlan
from imgkit.storage.patchfile import PatchFile, serialise
from tests.support.journals import NEW, OLD, PLAN, interrupted, shown


@pytest.mark.parametrize("letter", ["a", "ä", "\udcff"])
@pytest.mark.parametrize("length", [215, 239, 240, 255])
def test_names_up_to_the_longest_work(tmp_path, letter, length):
    name = letter * (length // len(os.fsencode(letter)))
    image = tmp_path / name
    image.write_bytes(OLD)
    with HostFile(image, writable=True) as host:
        commit.commit(host, PLAN, mtime_ns=5, undo=tmp_path / "undo")
    assert image.read_bytes() == NEW
    image.write_bytes(OLD)
    interrupted(image)
    assert shown(image)[0] == NEW
    commit.recover(image)
    commit.undo(image, tmp_path / "undo", mtime_ns=0)
    assert image.read_bytes() == OLD
    with HostFile(image) as host:
        target = image.with_name(name[:-1] + "b")
        deliver(host, PLAN, NewFile(target), mtime_ns=0)
    assert target.read_bytes() == NEW
    assert len(list(tmp_path.iterdir())) == 3


def test_who_may_not_set_times_and_modes_may_edit(image, tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(1, "Operation not permitted")

    for name in ("utime", "fchmod", "fchown"):
        monkeypatch.setattr(os, name, refuse)
    with HostFile(image, writable=True) as host:
        commit.commit(host, PLAN, mtime_ns=5, undo=tmp_path / "undo")
    assert image.read_bytes() == NEW
    commit.undo(image, tmp_path / "undo", mtime_ns=0)
    with HostFile(image) as host:
        deliver(host, PLAN, NewFile(tmp_path / "new"), mtime_ns=0)
    assert (tmp_path / "new").read_bytes() == NEW


def test_a_file_system_without_extended_attributes_has_no_marks(image, monkeypatch):
    def refuse(*_args, **_options):
        raise OSError(95, "Operation not supported")

    for name in ("getxattr", "setxattr", "removexattr"):
        monkeypatch.setattr(os, name, refuse)
    interrupted(image)
    assert shown(image)[0] == NEW
    assert commit.recover(image) is commit.Recovery.FINISHED
    with HostFile(image, writable=True) as host:
        commit.commit(host, PLAN.inverse, mtime_ns=5)
    assert image.read_bytes() == OLD


def test_directories_that_cannot_be_synced_are_no_failure(image, tmp_path, monkeypatch):
    def fsync(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(22, "Invalid argument")
        real(fd)

    real = os.fsync
    monkeypatch.setattr(os, "fsync", fsync)
    with HostFile(image, writable=True) as host:
        commit.commit(host, PLAN, mtime_ns=5, undo=tmp_path / "undo")
    assert image.read_bytes() == NEW


def test_a_journal_that_cannot_be_removed_is_named_and_the_image_is_whole(image, monkeypatch):
    def refuse(path):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(durable, "remove", refuse)
    with HostFile(image, writable=True) as host, pytest.raises(OutputError, match="is whole") as caught:
        commit.commit(host, PLAN, mtime_ns=5)
    assert caught.value.hint == f"Remove {journal_path(image)}."
    assert image.read_bytes() == NEW
    assert shown(image)[0] == NEW


def test_an_undo_file_that_a_killed_run_left_is_taken_up(image, tmp_path):
    undo = tmp_path / "undo"
    with HostFile(image) as host:
        undo.write_bytes(serialise(PatchFile.of(host, PLAN, 3)))
        undo.chmod(0o600)
    with HostFile(image, writable=True) as host:
        commit.commit(host, PLAN, mtime_ns=5, undo=undo)
    assert image.read_bytes() == NEW
    with HostFile(image, writable=True) as host, pytest.raises(OutputError, match="undo: exists"):
        commit.commit(host, PatchPlan((Patch(0, OLD[:1], b"q"),), len(OLD), len(OLD)), mtime_ns=5, undo=undo)
    assert patchfile.read_own(undo, os.geteuid()).plan == PLAN, "one that can undo something stays"
    assert not commit.undo(image, undo, mtime_ns=0).is_empty
    assert commit.undo(image, undo, mtime_ns=0).is_empty
    assert image.read_bytes() == OLD


def test_strays_of_killed_runs_are_cleared_and_those_of_running_ones_stay(image):
    killed = "import os,sys; from pathlib import Path; from imgkit.storage.temporary import temporary_file as t\n"
    killed += "with t(Path(sys.argv[1])): os._exit(0)"
    for target in (image, journal_path(image)):
        subprocess.run([sys.executable, "-c", killed, target], check=True)
    assert len(list(image.parent.iterdir())) == 3
    with durable.temporary_file(image) as (_, first), durable.temporary_file(image) as (_, second):
        assert first != second
        assert commit.clear_strays(image) == 1
        assert first.exists()
        assert second.exists()
    assert [path.name for path in image.parent.iterdir()] == [image.name]


def test_the_next_run_takes_a_stray_away_without_a_look_at_the_folder(image, tmp_path, monkeypatch):
    killed = "import os,sys; from pathlib import Path; from imgkit.storage.temporary import temporary_file as t\n"
    killed += "with t(Path(sys.argv[1])): os._exit(0)"
    subprocess.run([sys.executable, "-c", killed, tmp_path / "new"], check=True)
    monkeypatch.delattr(os, "scandir")
    with HostFile(image) as host:
        deliver(host, PLAN, NewFile(tmp_path / "new"), mtime_ns=0)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.raw", "new"]


def test_no_error_of_a_journal_is_foreign(image, monkeypatch):
    path = interrupted(image)
    if os.geteuid() != 0:
        path.chmod(0)
        with pytest.raises(StaleImageError, match="cannot be read"), open_image(image):
            pass
        return

    def refuse(name, *_args, **_options):
        if os.fspath(name) == os.fspath(path):
            raise PermissionError(13, "Permission denied")
        return real(name, *_args, **_options)

    real = os.open
    monkeypatch.setattr(os, "open", refuse)
    with HostFile(image) as host, pytest.raises(ImgkitError, match="cannot be read"):
        find_pending(host)
