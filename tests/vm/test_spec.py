"""Specifications: every field of one is in the domain's XML, and libvirt's schema accepts it."""

import dataclasses
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from imgkit.errors import UnsupportedError, UsageError
from imgkit.vm.domain import Host, Hypervisor, domain_xml
from imgkit.vm.spec import Bus, DirectKernel, Disk, Firmware, Network, NetworkKind, OnReboot, VmSpec, parse_network
from tests.support import oracle

QEMU = Host("x86_64", Hypervisor.QEMU)
PLAIN = VmSpec("plain")
DISKS = (
    Disk(Path("/a.qcow2")),
    Disk(Path("/b.img"), "raw", Bus.SATA, read_only=True),
    Disk(Path("/c.img"), "raw", Bus.USB),
)

# field: (value, where the XML says so, what it says)
FACTS = {
    "name": ("other", "name", "other"),
    "memory": (768, "memory[@unit='MiB']", "768"),
    "vcpus": (3, "vcpu", "3"),
    "firmware": (Firmware.UEFI, "os[@firmware='efi']/firmware/feature[@name='secure-boot'][@enabled='no']", None),
    "disks": (DISKS, "devices/disk[@device='disk']/source[@file='/b.img']/../target[@bus='sata']", None),
    "cdrom": (Path("/x.iso"), "devices/disk[@device='cdrom']/source[@file='/x.iso']/../boot[@order='1']", None),
    "disks_first": (True, "devices/disk[@device='cdrom']/boot[@order='2']", None),
    "media": ((Path("/m.iso"),), "devices/disk[@device='cdrom']/source[@file='/m.iso']", None),
    "kernel": (DirectKernel(Path("/k"), Path("/i"), "console=ttyS0"), "os/cmdline", "console=ttyS0"),
    "network": (Network(NetworkKind.BRIDGE, "br0"), "devices/interface[@type='bridge']/source[@bridge='br0']", None),
    "log": (Path("/l"), "devices/serial/log[@file='/l'][@append='on']", None),
    "on_reboot": (OnReboot.DESTROY, "on_reboot", "destroy"),
    "stays": (True, "devices/controller[@type='pci'][@model='pcie-root-port']", None),
}

BASES = {"disks_first": VmSpec("plain", cdrom=Path("/x.iso"), disks=DISKS[:1])}


def parsed(spec, host=QEMU):
    return ET.fromstring(domain_xml(spec, host))


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(VmSpec)])
def test_every_field_is_in_the_xml_and_only_where_it_is_asked_for(field):
    value, where, text = FACTS[field]
    base = BASES.get(field, PLAIN)
    found = parsed(dataclasses.replace(base, **{field: value})).find(where)
    assert found is not None
    assert text is None or found.text == text
    other = parsed(base).find(where)
    assert other is None or other.text != text


@pytest.mark.parametrize("host", [QEMU, Host("x86_64", Hypervisor.KVM), Host("aarch64", Hypervisor.QEMU)], ids=str)
@pytest.mark.parametrize("field", [*FACTS, "firmware with keys"])
def test_libvirts_schema_accepts_it(field, host, tmp_path):
    change = {"firmware": Firmware.SECURE_BOOT} if field not in FACTS else {field: FACTS[field][0]}
    if field == "disks" and host.architecture != "x86_64":
        change = {"disks": tuple(disk for disk in DISKS if disk.bus is not Bus.SATA)}
    path = tmp_path / "domain.xml"
    path.write_text(domain_xml(dataclasses.replace(BASES.get(field, PLAIN), **change), host))
    oracle.run("virt-xml-validate", path, "domain")


def test_each_machine_has_a_serial_console_and_no_screen():
    devices = parsed(PLAIN).find("devices")
    assert devices.find("serial[@type='pty']/target[@port='0']") is not None
    assert devices.find("console/target[@type='serial']") is not None
    assert devices.find("graphics") is None
    assert devices.find("video") is None


@pytest.mark.parametrize("firmware", list(Firmware))
@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_the_bios_of_a_machine_that_stays_speaks_on_the_line(firmware, architecture):
    spec = dataclasses.replace(PLAIN, firmware=firmware, stays=True)
    bios = parsed(spec, Host(architecture, Hypervisor.QEMU)).find("os/bios")
    assert (bios is not None) == (firmware is Firmware.BIOS and architecture == "x86_64")
    assert bios is None or bios.get("useserial") == "yes"
    assert parsed(dataclasses.replace(spec, stays=False)).find("os/bios") is None


def test_drives_start_in_the_order_in_which_they_are_given():
    devices = parsed(dataclasses.replace(PLAIN, cdrom=Path("/x.iso"), disks=DISKS)).find("devices")
    assert [drive.find("boot").get("order") for drive in devices.iter("disk")] == ["1", "2", "3", "4"]
    names = [drive.find("target").get("dev") for drive in devices.iter("disk")]
    assert len(set(names)) == len(names)


def test_media_are_never_started():
    devices = parsed(dataclasses.replace(PLAIN, cdrom=Path("/x.iso"), media=(Path("/m.iso"),))).find("devices")
    assert [drive.find("boot") is not None for drive in devices.iter("disk")] == [True, False]


def test_the_processor_is_the_hosts_with_kvm_and_the_most_able_one_without():
    assert parsed(PLAIN, Host("x86_64", Hypervisor.KVM)).find("cpu").get("mode") == "host-passthrough"
    assert parsed(PLAIN, QEMU).find("cpu").get("mode") == "maximum"


def test_machines_without_bios_start_with_uefi_and_have_their_cd_on_scsi():
    domain = parsed(dataclasses.replace(PLAIN, cdrom=Path("/x.iso")), Host("aarch64", Hypervisor.QEMU))
    assert domain.find("os").get("firmware") == "efi"
    assert domain.find("devices/disk/target").get("bus") == "scsi"
    assert domain.find("devices/controller[@type='scsi'][@model='virtio-scsi']") is not None


def test_a_disk_on_sata_is_refused_where_there_is_none():
    with pytest.raises(UnsupportedError, match="SATA") as raised:
        parsed(dataclasses.replace(PLAIN, disks=DISKS), Host("aarch64", Hypervisor.QEMU))
    assert raised.value.hint


@pytest.mark.parametrize(
    ("disk", "wanted"),
    [
        (Disk(Path("/a.qcow2")), "unmap"),
        (Disk(Path("/a.img"), "raw"), None),
        (Disk(Path("/a.qcow2"), read_only=True), None),
    ],
)
def test_what_the_guest_deletes_a_qcow2_file_gives_back(disk, wanted):
    assert parsed(dataclasses.replace(PLAIN, disks=(disk,))).find("devices/disk/driver").get("discard") == wanted


def test_other_architectures_are_refused():
    with pytest.raises(UnsupportedError, match="s390x"):
        domain_xml(PLAIN, Host("s390x", Hypervisor.QEMU))


@pytest.mark.parametrize("name", ["", "a/b", "a b", ".hidden", "a\nb"])
def test_names_that_libvirt_has_no_room_for_are_refused(name):
    with pytest.raises(UsageError):
        VmSpec(name)


@pytest.mark.parametrize("sizes", [{"memory": 0}, {"vcpus": 0}])
def test_a_machine_of_nothing_is_refused(sizes):
    with pytest.raises(UsageError):
        VmSpec("x", **sizes)


def test_networks_by_their_words():
    assert parse_network("user") == Network()
    assert parse_network("bridge=br0") == Network(NetworkKind.BRIDGE, "br0")
    assert parse_network("network=default") == Network(NetworkKind.NETWORK, "default")
    for wrong in ("", "bridge", "bridge=", "user=x", "none=", "tap"):
        with pytest.raises(UsageError):
            parse_network(wrong)
