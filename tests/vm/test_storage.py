"""Disks as asked for, and as made."""

import json
import subprocess
from pathlib import Path

import pytest

from imgkit.errors import InUseError, OutputError, UnclassifiedImageError, UsageError
from imgkit.vm.install.storage import DiskWish, check_room, default_folder, make_disk, parse_disk, plan_disks
from tests.support import oracle


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        ("size=8G", DiskWish(None, 8 << 30)),
        ("path=/x.qcow2", DiskWish(Path("/x.qcow2"))),
        ("path=x.img,size=512M,format=raw", DiskWish(Path("x.img"), 512 << 20, "raw")),
    ],
)
def test_words(words, wish):
    assert parse_disk(words) == wish


@pytest.mark.parametrize(
    "words",
    ["", "8G", "size=", "size=8X", "size=0", "size=1K", "size=100000T", "format=raw", "size=8G,format=vmdk",
     "size=8G,size=9G", "size=8G,bus=ide"],
)  # fmt: skip
def test_other_words_are_refused_with_an_example(words):
    with pytest.raises(UsageError) as raised:
        parse_disk(words)
    assert raised.value.hint


@pytest.mark.parametrize("image_format", ["qcow2", "raw"])
def test_a_new_disk_is_sparse_private_and_in_the_users_pool(image_format, home):
    (disk,) = plan_disks("mine", [DiskWish(size=8 << 30, image_format=image_format)])
    assert disk.path.parent == default_folder() == home / "data" / "libvirt" / "images"
    assert disk.is_blank
    assert not disk.path.exists()
    make_disk(disk)
    told = json.loads(oracle.run("qemu-img", "info", "--output=json", disk.path).stdout)
    assert (told["format"], told["virtual-size"]) == (image_format, 8 << 30)
    assert disk.path.stat().st_blocks * 512 < 1 << 20
    assert disk.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in disk.path.parent.iterdir()] == [disk.path.name]
    with pytest.raises(OutputError, match="exists"):
        make_disk(disk)
    with pytest.raises(OutputError, match="exists"):
        plan_disks("mine", [DiskWish(size=1 << 30, image_format=image_format)])


def test_several_disks_have_names_of_their_own():
    disks = plan_disks("mine", [DiskWish(size=1 << 20), DiskWish(size=1 << 20, image_format="raw")])
    assert [disk.path.name for disk in disks] == ["mine.qcow2", "mine-2.img"]
    with pytest.raises(UsageError, match="same file"):
        plan_disks("mine", [DiskWish(Path("/x/y"), 1 << 20)] * 2)


def test_a_disk_that_is_there_is_looked_at(home):
    disk = home / "there.qcow2"
    oracle.run("qemu-img", "create", "-q", "-f", "qcow2", disk, "1M")
    (planned,) = plan_disks("mine", [DiskWish(disk)])
    assert (planned.image_format, planned.size, planned.is_blank) == ("qcow2", None, True)
    oracle.run("qemu-io", "-c", "write 510 2", disk)
    assert not plan_disks("mine", [DiskWish(disk)])[0].is_blank
    with pytest.raises(UsageError, match="is qcow2"):
        plan_disks("mine", [DiskWish(disk, image_format="raw")])
    with pytest.raises(UnclassifiedImageError, match="no such file") as raised:
        plan_disks("mine", [DiskWish(home / "absent")])
    assert "size=8G" in raised.value.hint


def test_a_disk_in_use_is_refused(home):
    disk = home / "busy.qcow2"
    oracle.run("qemu-img", "create", "-q", "-f", "qcow2", disk, "1M")
    with subprocess.Popen(["qemu-io", disk], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b"read 0 512\n")
        process.stdin.flush()
        assert b"read" in process.stdout.readline()
        with pytest.raises(InUseError):
            plan_disks("mine", [DiskWish(disk)])
        process.stdin.close()


def test_room_is_looked_at_before_anything_is_written(home):
    with pytest.raises(OutputError, match="are needed"):
        check_room(home / "not" / "there" / "yet", 1 << 60)
    check_room(home / "not" / "there" / "yet", 1)
