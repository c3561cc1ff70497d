"""A commit that is killed at any instant ends, after recovery, as the old image or the new one.

Two ways to die. In the model, every call that a commit makes to the kernel is recorded, and each prefix of that record
is laid out on disk again: with the last write torn, and with any of the writes that no fsync had made durable lost, as
in a power failure. For a sample, a real process is killed by strace on its way into a chosen system call.
"""

import os
import random
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from imgkit.errors import OutputError, StaleImageError
from imgkit.formats.image import open_image
from imgkit.storage import commit
from imgkit.storage.host import HostFile
from tests.support import disks, oracle
from tests.support.committer import edit


@dataclass(frozen=True)
class Call:
    """One call to the kernel that changes something, by file name."""

    kind: str
    name: str
    offset: int = 0
    data: bytes = b""


@dataclass
class Recorder:
    calls: list[Call] = field(default_factory=list)


@contextmanager
def recorded(monkeypatch):
    """Record what reaches the kernel; the calls are made as well."""
    recorder = Recorder()
    real = {name: getattr(os, name) for name in ("open", "pwrite", "fsync", "ftruncate", "unlink")}

    def name_of(fd):
        return Path(f"/proc/self/fd/{fd}").readlink().name

    def spy_open(path, flags, mode=0o777, **options):
        fd = real["open"](path, flags, mode, **options)
        if flags & os.O_CREAT:
            recorder.calls.append(Call("create", Path(path).name))
        return fd

    def spy_pwrite(fd, data, offset):
        recorder.calls.append(Call("write", name_of(fd), offset, bytes(data)))
        return real["pwrite"](fd, data, offset)

    def spy_fsync(fd):
        recorder.calls.append(Call("fsync", name_of(fd)))
        return real["fsync"](fd)

    def spy_ftruncate(fd, length):
        recorder.calls.append(Call("truncate", name_of(fd), length))
        return real["ftruncate"](fd, length)

    def spy_unlink(path, **options):
        recorder.calls.append(Call("unlink", Path(path).name))
        return real["unlink"](path, **options)

    with monkeypatch.context() as patch:
        for name, spy in (
            ("open", spy_open),
            ("pwrite", spy_pwrite),
            ("fsync", spy_fsync),
            ("ftruncate", spy_ftruncate),
            ("unlink", spy_unlink),
        ):
            patch.setattr(os, name, spy)
        yield recorder


def lay_out(files: dict[str, bytes], calls: list[Call], folder: Path, lost: set[int]) -> None:
    """The files after `calls`, without those whose index is in `lost`."""
    state = {name: bytearray(data) for name, data in files.items()}
    for index, call in enumerate(calls):
        if index in lost or call.kind == "fsync":
            continue
        match call.kind:
            case "create":
                state[call.name] = bytearray()
            case "unlink":
                state.pop(call.name, None)
            case "truncate":
                content = state[call.name]
                content.extend(bytes(max(0, call.offset - len(content))))
                del content[call.offset :]
            case "write" if call.name in state:
                content = state[call.name]
                content.extend(bytes(max(0, call.offset + len(call.data) - len(content))))
                content[call.offset : call.offset + len(call.data)] = call.data
    for path in folder.iterdir():
        path.unlink()
    for name, data in state.items():
        (folder / name).write_bytes(data)


def not_durable(calls: list[Call], folder: str) -> list[int]:
    """Indices of the calls whose effect a power failure may lose: no later fsync of their file, or of the directory."""
    pending: list[int] = []
    for index, call in enumerate(calls):
        if call.kind == "fsync":
            entries = call.name == folder
            pending = [
                i
                for i in pending
                if calls[i].name != call.name and not (entries and calls[i].kind in ("create", "unlink"))
            ]
        else:
            pending.append(index)
    return pending


def crash_points(calls: list[Call], folder: str, noise: random.Random):
    """Every prefix of the calls; the last write torn; writes that were not durable lost."""
    for count in range(len(calls) + 1):
        prefix = calls[:count]
        yield prefix, set()
        if prefix and prefix[-1].kind == "write":
            whole = prefix[-1]
            for cut in {1, len(whole.data) // 2, noise.randrange(len(whole.data) + 1)}:
                yield [*prefix[:-1], Call("write", whole.name, whole.offset, whole.data[:cut])], set()
        pending = not_durable(prefix, folder)
        yield prefix, set(pending)
        for _ in range(2):
            yield prefix, {index for index in pending if noise.random() < 0.5}


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
    """The image after the next open by imgkit; no journal is left."""
    with open_image(image):
        pass
    assert not commit.journal_path(image).exists()
    return image.read_bytes()


@pytest.mark.parametrize("backwards", [False, True], ids=["commit", "undo"])
def test_every_crash_point_of_the_model(image, tmp_path, monkeypatch, backwards):
    folder, noise = image.parent, random.Random(1)
    undo = tmp_path / "undo"
    old = image.read_bytes()
    with recorded(monkeypatch) as record:
        edit(image, undo=undo)
    new = image.read_bytes()
    if backwards:
        with recorded(monkeypatch) as record:
            commit.undo(image, undo, mtime_ns=6)
        old, new = new, old
    assert image.read_bytes() == new
    calls = [call for call in record.calls if call.name != "undo"]
    assert {call.kind for call in calls} == {"write", "fsync", "truncate", "create", "unlink"}
    seen = set()
    for prefix, lost in crash_points(calls, folder.name, noise):
        lay_out({"disk": old}, prefix, folder, lost)
        result = recovered(image)
        assert result in (old, new), f"a third image after {len(prefix)} calls without {lost}"
        seen.add(result == new)
    assert seen == {True, False}
    assert result == new  # the last point is the whole commit


def test_a_recovery_that_is_killed_too(image, tmp_path, monkeypatch):
    folder, noise = image.parent, random.Random(2)
    old = image.read_bytes()
    with recorded(monkeypatch) as record:
        edit(image)
    new, calls = image.read_bytes(), record.calls
    writes = [i for i, call in enumerate(calls) if call.kind == "write" and call.name == "disk"]
    half = calls[: writes[len(writes) // 2]]
    lay_out({"disk": old}, half, folder, set())
    half_way = {path.name: path.read_bytes() for path in folder.iterdir()}
    with recorded(monkeypatch) as record:
        assert recovered(image) == new
    for prefix, lost in crash_points(record.calls, folder.name, noise):
        lay_out(half_way, prefix, folder, lost)
        assert recovered(image) == new


def test_an_image_that_is_neither_old_nor_new_is_left_alone(image, monkeypatch):
    folder = image.parent
    old = image.read_bytes()
    with recorded(monkeypatch) as record:
        edit(image)
    writes = [i for i, call in enumerate(record.calls) if call.kind == "write" and call.name == "disk"]
    lay_out({"disk": old}, record.calls[: writes[-1]], folder, set())
    journal = commit.journal_path(image)
    with image.open("r+b") as file:
        offset = record.calls[writes[0]].offset
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([(byte + 77) % 256]))
    before = image.read_bytes()
    with pytest.raises(StaleImageError, match="changed since") as caught:
        commit.recover(image)
    assert str(journal) in caught.value.hint
    assert image.read_bytes() == before
    assert journal.exists()


def test_a_read_only_image_with_a_journal_says_who_can_finish_it(image, monkeypatch):
    if os.geteuid() == 0:
        # root may write to any file; the same answer comes from a file that is not to be opened for writing
        monkeypatch.setattr("imgkit.storage.commit.HostFile", _refuse_writing)
    commit.journal_path(image).write_bytes(b"")
    image.chmod(0o400)
    with pytest.raises(StaleImageError, match="interrupted") as caught, open_image(image):
        pass
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
