"""The life of a machine that stays, in libvirt's own test driver."""

from pathlib import Path

import pytest

from imgkit.errors import MachineError
from imgkit.vm.connection import connect, host_of
from imgkit.vm.disks import disks_of
from imgkit.vm.domain import domain_xml
from imgkit.vm.launcher import Listed, check_name, machines, remove, start, stop
from imgkit.vm.spec import Disk, Network, NetworkKind, VmSpec

pytestmark = pytest.mark.boot  # needs libvirt's binding, which is not everywhere

SPEC = VmSpec("mine", memory=64, vcpus=2, network=Network(NetworkKind.NONE))


@pytest.fixture
def connection():
    with connect("test:///default") as opened:
        yield opened
        for domain in opened.listAllDomains():
            if domain.name() == SPEC.name:
                if domain.isActive():
                    domain.destroy()
                domain.undefine()


def define(connection, spec):
    check_name(connection, spec.name)
    connection.defineXML(domain_xml(spec, host_of(connection)))


def listed(connection):
    return next((machine for machine in machines(connection) if machine.name == SPEC.name), None)


def test_a_machine_is_made_started_stopped_and_removed(connection):
    others = machines(connection)
    define(connection, SPEC)
    assert listed(connection) == Listed("mine", running=False, persistent=True, memory=64, vcpus=2)
    assert start(connection, "mine")
    assert not start(connection, "mine")
    assert listed(connection).running
    assert stop(connection, "mine")
    assert not stop(connection, "mine")
    assert start(connection, "mine")
    assert stop(connection, "mine", force=True)
    remove(connection, "mine")
    assert machines(connection) == others


def test_a_taken_name_is_refused_and_its_machine_stays_as_it_is(connection):
    define(connection, SPEC)
    before = listed(connection)
    with pytest.raises(MachineError, match="already"):
        define(connection, VmSpec("mine", memory=128))
    assert listed(connection) == before


def test_a_running_machine_is_not_removed(connection):
    define(connection, SPEC)
    start(connection, "mine")
    with pytest.raises(MachineError, match="is running") as raised:
        remove(connection, "mine")
    assert raised.value.hint
    assert listed(connection).running


@pytest.mark.parametrize("verb", [start, stop, remove])
def test_a_machine_that_is_not_there_is_named(connection, verb):
    with pytest.raises(MachineError, match="no machine called absent"):
        verb(connection, "absent")


def test_the_disks_of_a_machine_are_told_without_cds(connection):
    define(connection, VmSpec("mine", memory=64, disks=(Disk(Path("/a.qcow2")),), cdrom=Path("/x.iso")))
    assert disks_of(connection, "mine") == [Path("/a.qcow2")]
