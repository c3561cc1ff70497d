"""A commit that is killed at any instant ends, after recovery, as the old image or the new one.

Here strace kills a real process on its way into a chosen system call. Every call of every command, faults, signals and
power cuts are the business of `tests.hardening`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imgkit.errors import OutputError, StaleImageError
from imgkit.formats.image import open_image
from imgkit.storage import commit, journal
from imgkit.storage.host import HostFile
from tests.support import disks, oracle
from tests.support.committer import edit


@pytest.fixture(params=["raw", "qcow2", "qcow2-snapshot"])
def image(request, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    if request.param == "raw":
        path = folder / "disk"
        path.write_bytes(disks.contents())
        return path
    path = disks.make_qcow2(folder, disks.contents(), name="disk")
    if request.param == "qcow2-snapshot":
        oracle.run("qemu-img", "snapshot", "-c", "s", path)
    return path


def recovered(image: Path) -> bytes:
    """The image after recovery; a reader has seen it like that before, and written nothing."""
    before = image.read_bytes()
    with open_image(image) as opened:
        shown = opened.host.read_at(0, opened.host.size)
    assert image.read_bytes() == before
    commit.recover(image)
    assert not journal.journal_path(image).exists()
    assert image.read_bytes() == shown
    return shown


def half_written(image: Path) -> Path:
    """Leave an image as a kill in the middle of a commit does; the journal."""
    number = 1
    while not journal.journal_path(image).exists() or _state(image) is not journal.State.BETWEEN:
        assert run_killed("pwrite64", number, image), "no kill leaves the image half-written"
        number += 1
    return journal.journal_path(image)


def _state(image: Path) -> journal.State:
    with HostFile(image) as host:
        pending = journal.find_pending(host)
        return pending.state if pending else journal.State.OLD


def test_an_image_that_is_neither_old_nor_new_is_left_alone(image):
    path = half_written(image)
    with image.open("r+b") as file:
        file.seek(_first_patch(image))
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([(byte + 77) % 256]))
    before = image.read_bytes()
    with pytest.raises(StaleImageError, match="changed since") as caught:
        commit.recover(image)
    assert str(path) in caught.value.hint
    with pytest.raises(StaleImageError, match="changed since"), open_image(image):
        pass
    assert image.read_bytes() == before
    assert path.exists()


def _first_patch(image: Path) -> int:
    with HostFile(image) as host:
        pending = journal.find_pending(host)
        assert pending is not None
        return pending.record.plan.patches[0].offset


def test_a_read_only_image_with_a_journal_is_read_and_says_who_can_finish_it(image, monkeypatch):
    expected = image.with_name("expected")
    expected.write_bytes(image.read_bytes())
    edit(expected)
    half_written(image)
    if os.geteuid() == 0:
        # root may write to any file; the same answer comes from a file that is not to be opened for writing
        monkeypatch.setattr("imgkit.storage.commit.HostFile", _refuse_writing)
    image.chmod(0o400)
    with open_image(image) as opened:
        assert opened.host.read_at(0, opened.host.size) == expected.read_bytes()
        assert "imgkit recover" in opened.pending
    with pytest.raises(StaleImageError, match="cannot be written") as caught:
        commit.recover(image)
    assert "imgkit recover" in caught.value.hint


def _refuse_writing(path, *, writable=False):
    if writable:
        raise OutputError("cannot be written")
    return HostFile(path)


def run_killed(syscall: str, number: int, *arguments: Path) -> bool:
    """Run the committer; strace kills it on its way into the given call. Whether it came that far."""
    inject = f"inject={syscall}:signal=SIGKILL:when={number}"
    strace = [oracle.find("strace"), "-f", "-qq", "-e", f"trace={syscall}", "-e", inject, "-o", "/dev/null"]
    python = [sys.executable, "-m", "tests.support.committer"]
    done = subprocess.run([*strace, *python, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, -9, 137), done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("syscall", ["pwrite64", "fsync", "ftruncate", "fallocate", "unlink", "utimensat"])
def test_real_death_on_the_way_into_every_call(image, syscall, tmp_path):
    old = image.read_bytes()
    edit(image)
    new = image.read_bytes()
    image.write_bytes(old)
    number = 1
    while run_killed(syscall, number, image):
        assert recovered(image) in (old, new)
        commit.clear_strays(image)
        assert list(image.parent.iterdir()) == [image], "a stray file is left"
        image.write_bytes(old)
        number += 1
    assert number > 1, f"{syscall} is never called"
    assert image.read_bytes() == new


@pytest.mark.parametrize("syscall", ["pwrite64", "copy_file_range", "fsync", "renameat2"])
def test_a_new_file_is_whole_or_not_there(image, syscall, tmp_path):
    old = image.read_bytes()
    edit(image, tmp_path / "expected")
    expected, target = (tmp_path / "expected").read_bytes(), tmp_path / "new"
    number = 1
    while run_killed(syscall, number, image, target):
        if target.exists():
            assert target.read_bytes() == expected
            target.unlink()
        number += 1
    assert number > 1, f"{syscall} is never called"
    assert target.read_bytes() == expected
    assert image.read_bytes() == old
    assert not list(tmp_path.glob(".*")), "the run that came to its end clears up after those that were killed"
