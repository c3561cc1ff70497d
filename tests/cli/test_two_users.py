"""Two users on one machine: a sticky folder, a pool of a group, each other's journals, closed folders."""

import pytest

from tests.support.disks import sha256
from tests.support.guests import OS_RELEASE, Part, make_file_system
from tests.support.users import ALICE, BOB, POOL, ROOT, run_as, shared_folder

# What a kill in the middle of a commit does: it comes before the last patch.
KILLED = """
import os, sys
from imgkit.cli.main import main
from imgkit.storage import durable
def die(fd, plan):
    for patch in plan.patches[:-1]:
        durable.write_all(fd, patch.after, patch.offset)
    os._exit(99)
durable.write_plan = die
main()
"""
PLANTED = """
import sys
from pathlib import Path
from imgkit.storage.host import HostFile
from imgkit.storage.journal import journal_path
from imgkit.storage.overlay import Patch, PatchPlan
from imgkit.storage.patchfile import PatchFile, serialise
with HostFile(Path(sys.argv[1])) as host:
    plan = PatchPlan((Patch(0, host.read_at(0, 4), b"EVIL"),), host.size, host.size)
    journal_path(host.path).write_bytes(serialise(PatchFile.of(host, plan, 0)))
journal_path(host.path).chmod(0o644)
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    files = {"/etc/os-release": OS_RELEASE.encode(), "/etc/fstab": b"", "/etc/motd": b"hello\n"}
    return make_file_system(tmp_path_factory.mktemp("original") / "disk.raw", Part("ext4", files, size=2))


@pytest.fixture
def put(original):
    """Put a copy of the image into a folder, with an owner, a group and permissions."""

    def copy(folder, owner, mode, group=0):
        image = folder / "disk.raw"
        run_as(ROOT, "cp", original, image, check=True)
        run_as(ROOT, "chown", f"{owner}:{group}", image, check=True)
        run_as(ROOT, "chmod", f"{mode:o}", image, check=True)
        return image

    return copy


def names(folder):
    return run_as(ROOT, "ls", "-A", folder, check=True).stdout.split()


def content(path):
    return run_as(ROOT, "sha256sum", path, check=True).stdout.split()[0]


def write(user, image, *more):
    return run_as(user, "imgkit", "write", image, "/etc/motd", "/etc/passwd", "--in-place", *more)


def test_a_journal_that_another_user_planted_in_a_sticky_folder_does_nothing(original, put):
    before = sha256(original)
    with shared_folder(0o1777) as folder:
        image = put(folder, ALICE, 0o644)
        run_as(BOB, "python", "-c", PLANTED, image, check=True)
        for user in (ALICE, ROOT):
            looked = run_as(user, "imgkit", "cat", image, "/etc/motd")
            assert looked.returncode == 7
            assert ".disk.raw.imgkit-journal: belongs to" in looked.stderr
            assert "remove" in looked.stderr
            for done in (write(user, image), run_as(user, "imgkit", "recover", image)):
                assert done.returncode == 7, done.stderr
        assert content(image) == before
        run_as(BOB, "python", "-c", PLANTED, image)
        run_as(ROOT, "rm", folder / ".disk.raw.imgkit-journal", check=True)
        assert write(ALICE, image).returncode == 0
        assert names(folder) == ["disk.raw"]


def test_an_undo_file_that_another_user_made_is_refused(original, put):
    with shared_folder(0o1777) as folder:
        image = put(folder, ALICE, 0o644)
        run_as(BOB, "python", "-c", PLANTED, image, check=True)
        run_as(BOB, "mv", folder / ".disk.raw.imgkit-journal", folder / "undo", check=True)
        done = run_as(ALICE, "imgkit", "undo", image, folder / "undo")
        assert done.returncode == 7, done.stderr
        assert content(image) == sha256(original)


def test_who_may_write_an_image_of_somebody_elses_may_edit_it(original, put):
    before = sha256(original)
    with shared_folder(0o2775, POOL) as folder:
        image = put(folder, ROOT, 0o664, POOL)
        undo = folder / "undo"
        done = write(ALICE, image, "--undo", undo)
        assert done.returncode == 0, done.stderr
        assert sorted(names(folder)) == ["disk.raw", "undo"]
        assert run_as(BOB, "imgkit", "cat", image, "/etc/motd").returncode == 0
        assert run_as(BOB, "imgkit", "undo", image, undo).returncode == 7, "it is readable to its owner alone"
        assert run_as(ALICE, "imgkit", "undo", image, undo).returncode == 0
        assert content(image) == before


def test_an_edit_of_the_owner_that_was_killed_is_finished_by_another_of_the_group(original, put):
    with shared_folder(0o2775, POOL) as folder:
        image = put(folder, ALICE, 0o664, POOL)
        killed = run_as(ALICE, "python", "-c", KILLED, "write", image, "/etc/motd", "/etc/passwd", "--in-place")
        assert killed.returncode == 99, killed.stderr
        half = content(image)
        looked = run_as(BOB, "imgkit", "cat", image, "/etc/motd")
        assert looked.returncode == 0, looked.stderr
        assert "an edit was interrupted" in looked.stderr
        assert looked.stdout.startswith("root:")
        assert content(image) == half
        done = run_as(BOB, "imgkit", "recover", image)
        assert done.returncode == 0, done.stderr
        assert "was finished" in done.stderr
        assert names(folder) == ["disk.raw"]
        assert content(image) not in (half, sha256(original))


def test_an_edit_of_a_guest_that_was_killed_is_the_guests_to_finish(put):
    with shared_folder(0o2775, POOL) as folder:
        image = put(folder, BOB, 0o664, POOL)
        killed = run_as(ALICE, "python", "-c", KILLED, "write", image, "/etc/motd", "/etc/passwd", "--in-place")
        assert killed.returncode == 99, killed.stderr
        half = content(image)
        for done in (write(BOB, image), run_as(BOB, "imgkit", "recover", image)):
            assert done.returncode == 7
            assert "belongs to" in done.stderr
        assert content(image) == half
        assert run_as(ALICE, "imgkit", "recover", image).returncode == 0
        assert write(BOB, image).returncode == 0
        assert names(folder) == ["disk.raw"]


COMMANDS = [
    ("inspect", "X"),
    ("console", "status", "X"),
    ("console", "enable", "X", "-o", "/tmp/none"),
    ("console", "enable", "X", "--in-place"),
    ("ls", "X", "/"),
    ("recover", "X"),
    ("verify", "X"),
    ("location", "inspect", "X"),
    ("batch", "status", "X", "--once"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_folder_that_another_user_has_closed(put, words):
    with shared_folder(0o700) as folder:
        image = put(folder, ROOT, 0o644)
        done = run_as(BOB, "imgkit", *(str(image) if word == "X" else word for word in words))
        assert "Traceback" not in done.stderr
        assert "bug" not in done.stderr
        assert done.returncode in range(2, 16), done
        assert "Permission denied" in done.stderr
        assert str(folder) in done.stderr
