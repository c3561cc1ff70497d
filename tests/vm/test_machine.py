"""Machines under a libvirt in this process: real kernels, their first lines and last ones."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from imgkit.errors import EngineError, MachineError, UsageError
from imgkit.vm.connection import connect, embedded
from imgkit.vm.machine import powered_on
from imgkit.vm.serial.line import ExpectTimeout, LineClosed, LineSilent
from imgkit.vm.spec import DirectKernel, Network, NetworkKind, OnReboot, VmSpec
from tests.cli.command import environment

pytestmark = pytest.mark.boot  # all need libvirt's binding

KERNEL = max(Path("/boot").glob("vmlinuz-*"))
PANIC = "console=ttyS0,115200 panic=-1"  # without a root file system it ends by itself, and at once
SPEC = VmSpec(
    "imgkit-test",
    memory=256,
    kernel=DirectKernel(KERNEL, None, PANIC),
    network=Network(NetworkKind.NONE),
    on_reboot=OnReboot.DESTROY,
)


RUNS = """
from tests.vm.test_machine import SPEC, connect, embedded, powered_on
with embedded() as uri, connect(uri) as connection, powered_on(connection, SPEC) as machine:
    print(machine.is_running)
"""


@pytest.fixture
def connection():
    with embedded() as uri, connect(uri) as opened:
        yield opened


def test_nothing_of_the_line_is_lost_from_the_first_byte_to_the_end(connection, tmp_path):
    log, heard = tmp_path / "log", bytearray()
    with powered_on(connection, SPEC, log=log, on_output=heard.extend) as machine:
        first = machine.line.expect(r"Linux version (\S+)\s", 120)
        assert first[1].decode() == KERNEL.name.removeprefix("vmlinuz-")
        machine.line.expect("Kernel panic - not syncing", 120)
        with pytest.raises(LineClosed, match="ended before"):
            machine.line.expect("login:", 60)
        with pytest.raises(LineClosed):
            machine.line.send("root\n")
        assert machine.line.transcript == bytes(heard) == log.read_bytes()
    assert not machine.is_running


def test_a_machine_goes_when_its_block_is_left_by_an_error(connection):
    with pytest.raises(ZeroDivisionError), powered_on(connection, SPEC) as machine:
        assert machine.is_running
        raise ZeroDivisionError
    assert not machine.is_running
    assert connection.listAllDomains() == []


def test_waiting_ends_in_time_and_tells_silence_from_other_words(connection):
    quiet = replace(SPEC, kernel=replace(SPEC.kernel, arguments="panic=0"))
    with powered_on(connection, quiet) as machine, pytest.raises(LineSilent):
        machine.line.expect("login:", 1)
    endless = replace(SPEC, kernel=replace(SPEC.kernel, arguments="console=ttyS0,115200 panic=0"))
    with powered_on(connection, endless) as machine:
        machine.line.expect("Linux version", 120)
        with pytest.raises(ExpectTimeout, match="did not appear") as raised:
            machine.line.expect("login:", 0.5)
        assert not isinstance(raised.value, LineSilent)
        machine.domain.suspend()
        with pytest.raises(MachineError, match="accepts no input"):
            machine.line.send(b"x" * 100_000, timeout=1)


def test_what_cannot_start_leaves_nothing(connection, tmp_path):
    absent = replace(SPEC, kernel=DirectKernel(tmp_path / "absent"))
    with pytest.raises(MachineError, match="cannot be started"), powered_on(connection, absent):
        pass
    assert connection.listAllDomains() == []


def test_the_folder_of_an_embedded_libvirt_goes_with_its_process():
    program = "from imgkit.vm.connection import connect, embedded\nwith embedded() as uri, connect(uri): print(uri)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    root = Path(done.stdout.strip().partition("root=")[2])
    assert root.name.startswith("imgkit-vm-")
    assert len(str(root)) < 40
    assert not root.exists()
    assert done.stderr == ""


def test_a_process_that_is_killed_leaves_no_machine_and_no_folder():
    program = """
import time
from imgkit.vm.connection import connect, embedded
from imgkit.vm.machine import powered_on
from imgkit.vm.spec import Network, NetworkKind, VmSpec
spec = VmSpec("imgkit-killed", memory=64, network=Network(NetworkKind.NONE))
with embedded() as uri, connect(uri) as connection, powered_on(connection, spec):
    print(uri.partition("root=")[2], flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        root = Path(process.stdout.readline().strip())
        machine = Path("/proc", (root / "run/qemu/imgkit-killed.pid").read_text())
        assert machine.exists()
        process.kill()
    deadline = time.monotonic() + 60
    while machine.exists() or root.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("uri", ["nonsense:///", "qemu:///nonsense"])
def test_addresses_that_libvirt_does_not_take_are_refused_in_a_sentence(uri, capfd):
    with pytest.raises((UsageError, EngineError, MachineError)) as raised, connect(uri):
        pass
    assert raised.value.hint
    assert uri in raised.value.message
    assert capfd.readouterr() == ("", "")


def test_what_qemu_can_do_is_found_out_once(tmp_path):
    """And where nothing can be kept, each time."""
    unusable = tmp_path / "file"
    unusable.write_text("")
    kept = tmp_path / "imgkit" / "libvirt"
    seen = []
    for cache in (tmp_path, tmp_path, unusable):
        env = environment(XDG_CACHE_HOME=str(cache), HOME=str(cache), PYTHONPATH=".")
        env.pop("XDG_RUNTIME_DIR", None)  # as in a container, where the home is none either
        done = subprocess.run([sys.executable, "-c", RUNS], capture_output=True, text=True, check=False, env=env)
        assert (done.stdout, done.stderr) == ("True\n", "")
        seen.append([(path.name, path.stat().st_mtime_ns) for path in kept.rglob("*.xml")])
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == 1
