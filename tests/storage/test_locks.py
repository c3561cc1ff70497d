"""Locks against QEMU's own: `qemu-io` opens images as a virtual machine does."""

import subprocess
from contextlib import contextmanager

import pytest

from imgkit.errors import InUseError
from imgkit.formats.image import open_image
from imgkit.storage.commit import commit
from imgkit.storage.host import HostFile
from imgkit.storage.overlay import Patch, PatchPlan
from tests.support import oracle


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(1 << 20))
    return path


@contextmanager
def opened_by_qemu(path):
    qemu = subprocess.Popen(
        [oracle.find("qemu-io"), "-f", "raw", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        qemu.stdin.write(b"length\n")
        qemu.stdin.flush()
        answer = b""
        while b"MiB" not in answer:
            answer = qemu.stdout.readline()
            assert answer, "qemu-io ended"
        yield
    finally:
        qemu.kill()
        qemu.communicate()


def write_one_byte(host):
    commit(host, PatchPlan((Patch(0, b"\0", b"x"),), 1 << 20, 1 << 20), mtime_ns=0)


def test_an_image_open_for_writing_is_refused(image):
    with opened_by_qemu(image):
        with pytest.raises(InUseError, match="has it open for writing") as caught, open_image(image):
            pass
        assert "Shut the virtual machine down" in caught.value.hint
    with open_image(image):
        pass


@contextmanager
def virtual_machine_on(path):
    """A paused virtual machine whose disk is a qcow2 image."""
    machine = ("-S", "-accel", "tcg", "-nodefaults", "-display", "none", "-device", "virtio-blk-pci,drive=d")
    drive = ("-drive", f"if=none,id=d,format=qcow2,file={path}", "-qmp", "stdio")
    with subprocess.Popen(
        [oracle.find("qemu-system-x86_64"), *machine, *drive], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as qemu:
        try:
            assert b"QMP" in qemu.stdout.readline()
            qemu.stdin.write(b'{"execute": "qmp_capabilities"}\n')
            qemu.stdin.flush()
            assert b"return" in qemu.stdout.readline()  # it answers when all devices are open
            yield
        finally:
            qemu.kill()


def test_a_virtual_machine_beside_us_reads_until_the_commit(image, tmp_path):
    """Its disk's backing file is our image, as when an appliance looks at it."""
    top = tmp_path / "top.qcow2"
    oracle.run("qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", image, top)
    with HostFile(image, writable=True) as host, virtual_machine_on(top):
        assert host.read_at(0, 1) == b"\0"
        with pytest.raises(InUseError, match="does not let others write"):
            write_one_byte(host)
    assert image.read_bytes()[:1] == b"\0"


def test_qemu_may_read_while_we_stage_but_not_write(image):
    with open_image(image, writable=True):
        assert oracle.run("qemu-io", "-r", "-f", "raw", "-c", "read 0 512", image).returncode == 0
        refused = oracle.run("qemu-io", "-f", "raw", "-c", "write 0 512", image, check=False)
        assert refused.returncode != 0
        assert "lock" in refused.stderr
    assert oracle.run("qemu-io", "-f", "raw", "-c", "write 0 512", image).returncode == 0


def test_two_of_us_may_stage_but_only_one_commits_while_the_other_looks(image):
    with HostFile(image, writable=True) as one, HostFile(image, writable=True), pytest.raises(InUseError):
        write_one_byte(one)
    with HostFile(image, writable=True) as one:
        write_one_byte(one)
    assert image.read_bytes()[:1] == b"x"
