"""Disks of machines: what another machine still needs, and what can be started."""

import subprocess
from pathlib import Path

import pytest

from tests.cli.command import imgkit, snapshot
from tests.cli.test_json import check
from tests.support import oracle
from tests.support.session import own_session, virsh

pytestmark = pytest.mark.boot  # needs libvirt and its QEMU driver

MACHINE = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{disk}'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>"""


@pytest.fixture
def images():
    """The folder for new disks, in a session of libvirt's own."""
    with own_session() as folders:
        folder = Path(folders["XDG_DATA_HOME"]) / "libvirt/images"
        folder.mkdir(parents=True)
        yield folder


def made(images, name, *, backing=None):
    path = images / f"{name}.qcow2"
    behind = ("-F", "qcow2", "-b", backing) if backing else ()
    oracle.run("qemu-img", "create", "-q", "-f", "qcow2", *behind, path, *(() if backing else ("16M",)))
    return path


def define(tmp_path, name, disk):
    (tmp_path / f"{name}.xml").write_text(MACHINE.format(name=name, disk=disk))
    virsh("define", tmp_path / f"{name}.xml")


def removed(name):
    done = imgkit("vm", "remove", name, "--disks", "--json")
    assert done.status == 0, done.stderr
    check(dict(done.json), "vm-remove/1", whole=False)
    return done.json


def test_no_disk_is_deleted_that_something_else_needs(images, tmp_path):
    shared, base, alone = made(images, "shared"), made(images, "base"), made(images, "alone")
    layer, link = made(images, "layer", backing=base), images / "link.qcow2"
    held, elsewhere = made(images, "held"), made(tmp_path, "elsewhere")
    link.symlink_to(alone)
    for name, disk in (
        ("runs", shared),
        ("shares", shared),
        ("is-layer", layer),
        ("is-base", base),
        ("is-link", link),
        ("is-held", held),
        ("is-elsewhere", elsewhere),
        ("is-alone", alone),
    ):
        define(tmp_path, name, disk)
    virsh("start", "runs")
    everything = snapshot(images)

    assert removed("shares")["kept"] == [{"path": str(shared), "why": "the machine runs uses it"}]
    assert removed("is-base")["kept"] == [{"path": str(base), "why": "the machine is-layer uses it"}]
    define(tmp_path, "is-free", base)
    virsh("undefine", "is-layer")  # the layer itself stays, and still needs what it is based on
    assert removed("is-free")["kept"] == [{"path": str(base), "why": f"{layer} is based on it"}]
    assert removed("is-link")["kept"] == [{"path": str(link), "why": "it is a symbolic link"}]
    assert removed("is-elsewhere")["kept"] == [{"path": str(elsewhere), "why": f"it is not in {images}"}]
    holder = subprocess.Popen([oracle.find("qemu-nbd"), "-f", "qcow2", "-k", tmp_path / "socket", held])
    try:
        while not (tmp_path / "socket").exists():
            assert holder.poll() is None
        assert removed("is-held")["kept"] == [{"path": str(held), "why": "another process has it open"}]
    finally:
        holder.kill()
        holder.wait()
    assert snapshot(images) == everything

    virsh("destroy", "runs")
    assert removed("runs")["deleted"] == [str(shared)]
    assert removed("is-alone")["deleted"] == [str(alone)]
    assert not shared.exists()
    assert not alone.exists()


def test_a_disk_of_another_machine_is_not_given_to_a_second_one(images, tmp_path):
    base = made(images, "base")
    layer = made(images, "layer", backing=base)
    define(tmp_path, "first", layer)
    for disk in (layer, base):
        for words in (("install", "second", "--import", disk), ("import", "second", disk)):
            done = imgkit("vm", *words, "--no-console")
            assert done.status == 14, done.stderr
            assert f"{disk}: the machine first uses this disk" in done.stderr
            assert "imgkit vm remove first" in done.stderr
    assert [machine["name"] for machine in imgkit("vm", "list", "--json").json["machines"]] == ["first"]


def test_an_empty_disk_says_on_the_line_that_it_cannot_be_started(images):
    made(images, "empty")
    done = imgkit("vm", "import", "mine", images / "empty.qcow2", "--no-enable", "--expect", "No bootable device")
    assert done.status == 0, done.stderr
    assert imgkit("vm", "stop", "mine", "--force").status == 0
