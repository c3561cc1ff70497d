"""`imgkit console enable` on the images a to e: run as a user runs it, checked by other tools, and booted.

Each image is edited once and then only read: guests write to a layer that is thrown away.
"""

import json
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import pytest

from fixtures.catalog import GROUPS
from tests.boot.trees import changed_partitions, check_ext, ext_tree, partitions, raw_copy, xfs_tree
from tests.boot.verifying import verify
from tests.support import oracle
from tests.support.boot import PASSWORD, USER, boot
from tests.support.disks import sha256
from tests.support.images import fixture, private_copy

ENGINE = {"a": "native", "b": "native", "c": "native", "d": "uml", "e": "native"}
LOADER = {"a": "GNU GRUB", "b": "GNU GRUB", "c": "GNU GRUB", "d": "GNU GRUB", "e": "SYSLINUX|EXTLINUX"}
# Where the partitions with changed files are mounted.
EXT = {"a": {1: "/boot", 2: "/"}, "b": {1: "/boot", 6: "/"}, "c": {1: "/"}, "d": {1: "/boot"}, "e": {1: "/"}}
LVM = {"d": {2: "/dev/debian/root"}}


def imgkit(*arguments, status=0):
    """Run the command as a process of its own, and hold it to an exit status."""
    done = oracle.run(str(Path(sys.executable).with_name("imgkit")), *arguments, check=False)
    assert done.returncode == status, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done


def enable(image, *options):
    return json.loads(imgkit("console", "enable", image, "--in-place", "--json", *options).stdout)


@dataclass(frozen=True, slots=True)
class Edited:
    name: str
    image: Path
    undo: Path
    answer: dict

    @property
    def changed(self):
        return {change["path"] for change in self.answer["changes"]}

    @property
    def parents_of_created(self):
        """Their times change."""
        return {str(PurePosixPath(change["path"]).parent) for change in self.answer["changes"] if change["created"]}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.appliance if name == "d" else ()) for name in GROUPS["debian"]],
)
def edited(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    image, undo = private_copy(request.param, folder), folder / "undo"
    yield Edited(request.param, image, undo, enable(image, "--undo", undo))
    shutil.rmtree(folder)


def test_auto_takes_the_engine_that_serves(edited):
    assert edited.answer["engine"] == ENGINE[edited.name]


@pytest.mark.boot
def test_login_on_the_serial_line(edited):
    found = verify(edited.image, "--memory", "512", "--login", f"{USER}:{PASSWORD}")
    assert found["passed"], found["explanation"]
    assert found["reached"] == "login prompt"
    assert re.search(f"({LOADER[edited.name]}).*login: .*imgkit-42-shell", found["transcript"], re.DOTALL)


KERNELS_AND_TERMINALS = r"grep -E '^\s*(linux|serial|terminal_\w+)\s' /boot/grub/grub.cfg"


@pytest.mark.boot
@pytest.mark.parametrize("edited", ["a", "c"], indirect=True)
def test_guest_itself_runs_update_grub(edited):
    with boot(edited.image) as guest:
        guest.login()
        assert guest.run("tty").stdout == "/dev/ttyS0\n"
        assert "login:" in guest.screen()  # the VGA console stays
        ours = guest.run(KERNELS_AND_TERMINALS).stdout
        assert guest.run("update-grub").returncode == 0
        assert guest.run(KERNELS_AND_TERMINALS).stdout == ours
        guest.reboot()
        guest.line.expect(LOADER[edited.name])
        guest.login()
        assert guest.run("tty").stdout == "/dev/ttyS0\n"


@pytest.mark.boot
@pytest.mark.parametrize("edited", ["c"], indirect=True)
def test_login_under_uefi(edited):
    found = verify(edited.image, "--memory", "512", "--uefi", "--login", f"{USER}:{PASSWORD}")
    assert found["passed"], found["explanation"]
    assert "BdsDxe: starting" in found["transcript"]


def test_status_before_and_after(edited):
    imgkit("console", "status", fixture(edited.name), status=1)
    imgkit("console", "status", edited.image)


def test_twice_is_once(edited):
    before = sha256(edited.image)
    assert not enable(edited.image)["changed"]
    assert sha256(edited.image) == before


def test_undo_brings_the_bytes_back(edited, tmp_path):
    image = tmp_path / edited.image.name
    oracle.run("cp", "--sparse=always", "--preserve=timestamps", edited.image, image)
    imgkit("undo", image, edited.undo)
    assert sha256(image) == sha256(fixture(edited.name))


@pytest.fixture(scope="module")
def raws(edited, tmp_path_factory):
    """The disk before and after, raw."""
    folder = tmp_path_factory.mktemp("raws")
    yield raw_copy(fixture(edited.name), folder), raw_copy(edited.image, folder)
    shutil.rmtree(folder)


def test_disk_is_clean(edited, raws):
    oracle.run("qemu-img", "check", edited.image)
    areas = partitions(raws[1])
    for number in EXT[edited.name]:
        check_ext(raws[1], areas[number].start)


def test_other_partitions_and_the_gaps_between_keep_their_bytes(edited, raws):
    assert changed_partitions(*raws) == {*EXT[edited.name], *LVM.get(edited.name, {})}


def whole_tree(name, image, raw):
    areas, found = partitions(raw), {}
    for number, mount in EXT[name].items():
        found |= {mount.rstrip("/") + path: entry for path, entry in ext_tree(raw, areas[number].start).items()}
    for device in LVM.get(name, {}).values():
        found |= xfs_tree(image, device)
    return found


def test_other_files_stay_as_they_were(edited, raws):
    with ThreadPoolExecutor() as readers:
        before, after = readers.map(partial(whole_tree, edited.name), (fixture(edited.name), edited.image), raws)
    differing = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert edited.changed <= differing <= edited.changed | edited.parents_of_created
    for path in differing & before.keys():
        assert (before[path].kind, before[path].mode, before[path].owner) == (
            after[path].kind,
            after[path].mode,
            after[path].owner,
        )


@pytest.mark.boot
def test_image_whose_guest_was_killed(tmp_path):
    """Its journal is replayed, with what the guest had written; until something is edited the image stays as it is."""
    image, undo = private_copy("e", tmp_path), tmp_path / "undo"
    with boot(image, keep_writes=True) as guest:
        guest.wait_until_up()
        guest.ask("echo kept > /root/token; sync")
    before = sha256(image)
    assert imgkit("cat", image, "/root/token", "--engine", "native").stdout == "kept\n"
    imgkit("console", "status", image, "--engine", "native", status=1)
    assert sha256(image) == before

    assert enable(image, "--undo", undo)["engine"] == "native"
    (area,) = partitions(raw := raw_copy(image, tmp_path)).values()
    check_ext(raw, area.start)
    with boot(image) as guest:
        guest.login()
        assert guest.run("cat /root/token").stdout == "kept\n"
    imgkit("undo", image, undo)
    assert sha256(image) == before


@pytest.mark.boot
def test_guided_partitioning_with_lvm(tmp_path):
    """ext4 on a logical volume, as Debian's installer lays it: no appliance is needed."""
    image, undo = private_copy("guided", tmp_path), tmp_path / "undo"
    imgkit("console", "status", image, "--engine", "native", status=1)
    assert enable(image, "--undo", undo)["engine"] == "native"
    imgkit("console", "status", image, "--engine", "native")
    oracle.run("qemu-img", "check", image)
    before, after = raw_copy(fixture("guided"), tmp_path), raw_copy(image, tmp_path)
    assert changed_partitions(before, after) == {1, 5}
    areas = partitions(after)
    check_ext(after, areas[1].start)
    check_ext(after, areas[5].start + (1 << 20))  # the extents begin there, and root is the first volume
    with boot(image) as guest:
        guest.login()
        assert guest.run("tty").stdout == "/dev/ttyS0\n"
        assert guest.run("findmnt -no SOURCE /").stdout == "/dev/mapper/debian--vg-root\n"
    imgkit("undo", image, undo)
    assert sha256(image) == sha256(fixture("guided"))
