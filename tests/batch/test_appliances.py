"""Images that need an appliance: after the others, one each or, if they are trusted, several in one."""

import hashlib

import pytest

from imgkit.batch.jobs import find_jobs
from imgkit.batch.ledger import State, ledger_folder, open_ledger
from imgkit.batch.plan import read_plan
from imgkit.batch.work import Deferred, Task, carry_out
from imgkit.formats.image import open_image
from imgkit.guest.engines.guestfs.appliance import may_share
from tests.cli.command import imgkit
from tests.support import oracle
from tests.support.guests import Part, make_disk
from tests.support.images import fixture, private_copy

pytestmark = pytest.mark.batch

IN_PLACE = 'inputs = ["*.qcow2", "*.img"]\nin-place = true\nsha256 = true\n[operation]\nkind = "console enable"\n'
GUESTFS = '[[select]]\nmatch = "*.img"\nengine = "guestfs"\n'
SHARING = GUESTFS + '[[select]]\nmatch = "*/[ab].qcow2"\nengine = "guestfs"\n'


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def disks_of(folder, names):
    original = private_copy("d", folder)
    for name in names:
        oracle.run("cp", "--reflink=auto", "--sparse=always", original, folder / name)
    original.unlink()


def files_of(images, folder):
    """What Linux finds in each image: digests of /etc and /boot/grub; modes, owners, times of edited files."""
    import guestfs  # noqa: PLC0415  the system's

    handle = guestfs.GuestFS(python_return_dict=True)
    handle.set_backend_setting("force_tcg", "1")
    for image in images:
        handle.add_drive_opts(str(image), format="qcow2", readonly=1)
    handle.launch()
    for device in handle.list_devices():
        handle.lvm_set_filter([device])
        handle.mount_ro(handle.lvs()[0], "/")
        handle.mount_ro(f"{device}1", "/boot")
        sums = []
        for place in ("/etc", "/boot/grub"):
            handle.checksums_out("sha256", place, str(folder / "sums"))
            sums += sorted((folder / "sums").read_text().splitlines())
        listed = [handle.lstatns(path) for path in ("/boot/grub/grub.cfg", "/etc/default/grub.d/zz-imgkit-serial.cfg")]
        fields = ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_sec")
        yield sums, [[stat[name] for name in fields] for stat in listed]
        handle.umount_all()
    handle.close()


@pytest.mark.appliance
def test_trusted_images_share_an_appliance_and_become_what_they_do_alone(tmp_path):
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    for folder, names in ((shared, ["a.qcow2", "b.qcow2"]), (alone, ["c.qcow2"])):
        folder.mkdir()
        disks_of(folder, names)
        (folder / "plan.toml").write_text(IN_PLACE.replace(', "*.img"', ""))
    # Two more: one that fails for itself, one that needs no appliance.
    make_disk(shared / "empty.img", [Part("ext4", {"/x": b""})])
    private_copy("small-qcow2", shared)
    (shared / "plan.toml").write_text(IN_PLACE + SHARING)
    before = sha256(shared / "a.qcow2")
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    done = imgkit("batch", "run", shared / "plan.toml", "--trust-images", env=epoch)
    assert done.status == 1, done.stderr
    assert imgkit("batch", "run", alone / "plan.toml", env=epoch).status == 0  # by another engine: uml

    with open_ledger(ledger_folder(shared / "plan.toml"), alone=False) as ledger:
        outcomes = {record.input.name: record.outcome for record in ledger.records()}
    assert outcomes.pop("empty.img").error == "NoRootError"
    assert outcomes.pop(fixture("small-qcow2").name).engine == "native"
    for name, outcome in outcomes.items():
        assert (outcome.state, outcome.engine) == (State.DONE, "guestfs"), outcome
        assert outcome.sha256 == sha256(shared / name)
        oracle.run("qemu-img", "check", shared / name)
    assert len(outcomes) == 2
    first, *others = files_of([shared / "a.qcow2", shared / "b.qcow2", alone / "c.qcow2"], tmp_path)
    assert len(first[0]) > 300
    assert others == [first, first]

    assert imgkit("batch", "undo", shared / "plan.toml").status == 0
    assert sha256(shared / "a.qcow2") == sha256(shared / "b.qcow2") == before


def test_an_image_that_needs_an_appliance_is_put_off(tmp_path):
    disks_of(tmp_path, ["a.qcow2"])
    (tmp_path / "plan.toml").write_text(IN_PLACE.replace(', "*.img"', "") + GUESTFS.replace("*.img", "*"))
    (job,) = find_jobs(read_plan(tmp_path / "plan.toml"))
    before = job.input.stat()
    assert carry_out(Task(job, tmp_path / "undo", appliance=False)) == Deferred()
    assert (job.input.stat().st_mtime_ns, job.input.stat().st_size) == (before.st_mtime_ns, before.st_size)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.qcow2", "plan.toml"]


@pytest.mark.parametrize("kind", ["a", "b", "c", "d", "small-qcow2", "btrfs"])
def test_what_linux_would_mix_up_shares_no_appliance(tmp_path, kind):
    if kind == "btrfs":
        image = tmp_path / "btrfs.img"
        with image.open("wb") as file:
            file.truncate(256 << 20)
        oracle.run("mkfs.btrfs", image)
    else:
        image = fixture(kind)
    with open_image(image) as opened:
        assert may_share(opened) == (kind != "btrfs")
