"""Machines against virt-install's: the corpus's recorded commands, told to us, have to give the same machine.

Every property of the XML that differs has a row in DIFFERENCES that says why; a row that no command needs is refused,
and so is a property of ours that no command compares.
"""

import re
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from imgkit.vm.connection import binding, connect
from imgkit.vm.domain import Host, Hypervisor, domain_xml
from imgkit.vm.spec import DirectKernel, Disk, Firmware, Network, NetworkKind, OnReboot, VmSpec
from tests.support import corpus, oracle
from tests.vm.test_spec import FACTS, PLAIN

KVM = Host("x86_64", Hypervisor.KVM)
QEMU = Host("x86_64", Hypervisor.QEMU)
ARM = Host("aarch64", Hypervisor.KVM)
DISK = Disk(Path("/pool-dir/testvol1.img"))
ISO = Path("/TESTSUITE_SCRUBBED/tests/data/fakemedia/fake-fedora17-tree.iso")
BRIDGE = Network(NetworkKind.BRIDGE, "testsuitebr0")
NONE = Network(NetworkKind.NONE)


def created(name):
    return Disk(Path(f"/var/lib/libvirt/images/{name}.qcow2"))


def kernel(arguments="", kernel="vmlinuz", initrd="initrd.img"):
    folder = Path("/VIRTINST-TESTSUITE")
    return DirectKernel(folder / kernel, folder / initrd, arguments)


def case(file, host, spec, *, install=None):
    """A recorded command: the machine that stays, and what differs in the one that installs it (None: not ours)."""
    return file, host, spec, install


FEDORA_26 = "https://archives.fedoraproject.org/pub/archive/fedora/linux/releases/26/Server/x86_64/os/"
CASES = [
    case(
        "kvm-session-defaults",
        KVM,
        VmSpec("fedora21", 64, 2, disks=(Disk(Path("/fedora21.qcow2")),)),
        install={"cdrom": Path("/pool-dir/testvol1.img")},
    ),
    case("boot-uefi", KVM, VmSpec("vm1", 64, 1, Firmware.UEFI, disks=(created("vm1"),), network=BRIDGE)),
    case("boot-uefi-oldcaps", KVM, VmSpec("vm1", 64, 1, Firmware.SECURE_BOOT, disks=(created("vm1"),), network=BRIDGE)),
    case(
        "location-iso",
        KVM,
        VmSpec("fedora17", 64, 2, disks=(DISK,), network=NONE),
        install={"kernel": kernel(), "cdrom": ISO},
    ),
    case(
        "kvm-rhel6",
        KVM,
        VmSpec("rhel6.4", 64, 2, disks=(DISK,), network=BRIDGE),
        install={"kernel": kernel("foo bar", "fake-win7.iso", "fake-centos65-label.iso")},
    ),
    case(
        "kvm-rhel7",
        KVM,
        VmSpec("rhel7.0", 64, 2, disks=(DISK,), network=BRIDGE),
        install={"memory": 1536, "kernel": kernel("test overwrite")},
    ),
    case("kvm-rhel5", KVM, VmSpec("rhel5.4", 64, 1, disks=(DISK,), network=BRIDGE)),
    case("kvm-centos7", KVM, VmSpec("centos7.0", 64, 2, disks=(DISK,), network=BRIDGE)),
    case("linux2020", KVM, VmSpec("linux2020", 64, 2, disks=(created("linux2020"),), network=BRIDGE)),
    case(
        "osinfo-url-with-disk",
        KVM,
        VmSpec("fedora27", 64, 2, disks=(DISK, created("fedora27")), network=BRIDGE),
        install={"kernel": kernel(f"method={FEDORA_26}")},
    ),
    case("qemu-plain", QEMU, VmSpec("ubuntu13.10", 64, 2, Firmware.UEFI, network=BRIDGE)),
    case(
        "aarch64-cloud-init",
        ARM,
        VmSpec("fedora28", 64, 2, disks=(DISK,), network=BRIDGE),
        install={"cdrom": Path("/VIRTINST-TESTSUITE/cloudinit.iso")},
    ),
]

NOT_OURS = {
    "cloud-init-options3": "libvirt's mock machine, i686",
    "default-f27": "a container",
    "fake-ftp": "libvirt's mock machine, i686",
    "location-iso-and-cloud-init": "location-iso with a second CD",
    "loongarch64-headless": "another architecture",
    "os-detect-fail-fallback": "libvirt's mock machine, i686",
    "os-detect-success-fallback": "libvirt's mock machine, i686",
    "osvariant-noargs-fail": "an error message",
    "ppc64le-kvm-import": "another architecture",
    "quiet-url": "an empty file",
    "reinstall-cdrom": "libvirt's mock machine, i686",
    "reinstall-location": "libvirt's mock machine, i686",
    "riscv64-headless": "another architecture",
    "s390x-default": "another architecture",
    "s390x-headless": "another architecture",
    "singleton-config-1": "options of virt-install alone, on purpose all at once",
    "singleton-config-2": "options of virt-install alone, on purpose all at once",
    "singleton-config-3": "options of virt-install alone, on purpose all at once",
}

# property, ours, virt-install's (None: not there, "*": anything), and why. The first row that fits counts.
DIFFERENCES = [
    ("uuid", None, "*", "libvirt makes one"),
    ("metadata*", None, "*", "libosinfo's name of the system; nothing of ours reads it"),
    ("devices/interface/mac@address", None, "*", "libvirt makes one"),
    ("devices/emulator", None, "*", "libvirt knows where its QEMU is; the path is not the same on all hosts"),
    ("*controller:pci*", "*", "*", "the ports to spare are as many; libvirt numbers them, and adds what they hang on"),
    ("os/bios@useserial", "yes", None, "there is no screen on which a BIOS could say that no disk can be started"),
    ("*memballoon*", None, "*", "libvirt adds one by itself, the same"),
    # No screen, and nothing to see, hear and point with.
    ("devices/graphics*", None, "*", "no screen"),
    ("devices/video*", None, "*", "no screen"),
    ("devices/sound*", None, "*", "no sound"),
    ("devices/input:*", None, "*", "no pointer, and the keyboard is the serial line"),
    ("devices/redirdev*", None, "*", "USB redirection is a part of SPICE"),
    ("*channel:com.redhat.spice.0*", None, "*", "its agent is a part of SPICE"),
    ("devices/tpm*", None, "*", "needs swtpm on the host; no boot loader or installer of ours asks for one"),
    (
        "*channel:org.qemu.guest_agent.0*",
        None,
        "*",
        "nothing of ours talks to one, and its socket's path, below the user's home, has 108 bytes at most",
    ),
    # virt-install goes by the age of the system, which is not known here.
    ("os/type@machine", "q35", "pc-i440fx-6.1", "q35 for all: ISOs and disks of any age boot on it, UEFI wants it"),
    ("*controller:usb*", "*", "*", "one xHCI controller for all, where virt-install takes USB 2 for old systems"),
    ("devices/interface/model@type", "virtio", "e1000*", "virt-install was told nothing of the system"),
    ("devices/disk1/target@dev", "vda", "*da", "virt-install was told nothing of the system"),
    ("devices/disk1/target@bus", "virtio", "*", "virt-install was told nothing of the system"),
    ("devices/rng*", "*", None, "virt-install leaves it away for old systems, which do not mind it"),
    ("features/vmport@state", "off", None, "virt-install drops it where SPICE is not there; no guest of ours needs it"),
    ("cpu@mode", "maximum", "custom", "the command asks for a Penryn"),
    ("cpu@mode", "host-passthrough", "maximum", "the command asks for it"),
    ("cpu@match", None, "exact", "the command asks for a Penryn"),
    ("cpu/*", None, "*", "the command asks for a Penryn"),
    # Firmware.
    ("os/firmware*", "*", None, "firmware that starts only what is signed is for who asks for it"),
    ("os/loader*", None, "*", "libvirt picks the file by the host's firmware descriptors"),
    ("os@firmware", "efi", None, "virt-install met an old libvirt and picked the file itself"),
    ("os/boot@dev", None, "cdrom", "the command asks for a CD without one; ours has its order at the drive"),
    # Drives.
    ("devices/disk1/driver@discard", "unmap", None, "also for qcow2 files that were there: they are as sparse"),
    ("devices/disk*/boot@order", "1", None, "no kernel starts by itself: the order says what to start without one"),
    ("devices/disk*/boot@order", "2", None, "the same"),
    ("devices/cdrom1/boot@order", "1", None, "the same"),
    ("devices/cdrom1/target@dev", "sda", "hda", "q35 has SATA, where i440fx has IDE"),
    ("devices/cdrom1/target@bus", "sata", "ide", "q35 has SATA, where i440fx has IDE"),
    ("devices/cdrom1/driver@type", "raw", "qcow2", "a CD is raw; the test suite gave a disk for one"),
    ("devices/cdrom1/driver@type", "raw", None, "a format is never guessed"),
    ("devices/cdrom1*", None, "*", "after the installation the drive is gone, where virt-install leaves it, empty"),
    ("*controller:scsi*", None, "*", "the controller of that drive"),
    ("os/smbios@mode", None, "sysinfo", "cloud-init is told by --cloud-init of virt-install"),
    ("sysinfo*", None, "*", "cloud-init is told by --cloud-init of virt-install"),
]


def recorded(file):
    text = corpus.path(f"libvirt/compare/virt-install-{file}.xml").read_text()
    return [ET.fromstring(found) for found in re.findall(r"<domain .*?</domain>", text, re.DOTALL)]


def properties(domain):
    """Every property by its path, as "devices/disk1/target@bus"; devices by their kind and number, or by their name."""
    found, disks = {}, []

    def walk(element, path):
        found.update({f"{path}@{name}".removeprefix("@"): value for name, value in element.attrib.items()})
        text = (element.text or "").strip()
        if path and (text or not element.attrib):
            found[path] = text
        for child in element:
            if child.tag == "disk":
                disks.append(child.get("device"))
            walk(child, f"{path}/{label(child, disks)}".removeprefix("/"))

    walk(domain, "")
    return found


def label(element, disks):
    tag = re.sub(r"\{.*\}", "", element.tag)
    if tag == "disk":
        return f"{disks[-1]}{disks.count(disks[-1])}"
    name = {"channel": "target", "timer": ".", "feature": "."}.get(tag)
    if name and element.find(name).get("name"):
        return f"{tag}:{element.find(name).get('name')}"
    return f"{tag}:{element.get('type')}" if tag in ("controller", "input") else tag


def plain(found):
    """In one form what libvirt takes in several, its defaults written out."""
    for path in [path for path in found if path.endswith("/source@file")]:
        found[path] = "/" + found[path].removeprefix("/")  # the recorded ones were shortened
    memory = int(found.pop("memory")) * {"MiB": 1024, "KiB": 1}[found.pop("memory@unit", "KiB")]
    found |= {"memory": str(memory)}
    if int(found.pop("currentMemory", memory)) != memory:
        found["currentMemory"] = "another"
    for name, usual in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        found.setdefault(name, usual)
    # A console alone is a serial port and its console: https://libvirt.org/formatdomain.html
    if found.get("devices/console@type") == "pty":
        found |= {"devices/serial@type": "pty", "devices/serial/target@port": "0"}
        found |= {"devices/console/target@type": "serial", "devices/console/target@port": "0"}
    containers = ("os", "features", "devices", "clock", "pm", "os/firmware", "metadata", "sysinfo", "sysinfo/system")
    return {path: value for path, value in found.items() if path not in containers and not is_empty(path, found)}


def is_empty(path, found):
    """An element that only holds others, as a disk."""
    return found[path] == "" and any(other.startswith((f"{path}/", f"{path}@")) for other in found)


def machines():
    """Our machines by the name of a command, with the recorded file and the place of virt-install's in it."""
    for file, host, plain_spec, install in CASES:
        spec = replace(plain_spec, stays=True)
        yield file, (host, spec, file, -1)
        if install is not None:
            yield f"{file}, installing", (host, replace(spec, **install, on_reboot=OnReboot.DESTROY), file, 0)


MACHINES = dict(machines())


def fits(value, wanted):
    return value is None if wanted is None else value is not None and fnmatchcase(value, wanted)


def parsed(spec, host):
    return ET.fromstring(domain_xml(spec, host))


def rows_of(name):
    """The rows of DIFFERENCES that a command needs, and the properties that no row explains."""
    host, spec, file, place = MACHINES[name]
    ours, theirs = (plain(properties(domain)) for domain in (parsed(spec, host), recorded(file)[place]))
    used, unexplained = set(), []
    for path in sorted(ours.keys() | theirs.keys()):
        our, their = ours.get(path), theirs.get(path)
        if our == their:
            continue
        rows = [
            number
            for number, (pattern, our_value, their_value, _) in enumerate(DIFFERENCES)
            if fnmatchcase(path, pattern)
            and (fits(our, our_value) or our_value == "*")
            and (fits(their, their_value) or their_value == "*")
        ]
        used.update(rows[:1])
        if not rows:
            unexplained.append((path, our, their))
    return used, unexplained, set(ours)


@pytest.mark.corpus
@pytest.mark.parametrize("name", MACHINES)
def test_the_machine_is_virt_installs_but_for_what_is_explained(name):
    assert rows_of(name)[1] == []


@pytest.mark.corpus
def test_every_difference_is_one():
    used = set.union(*(rows_of(name)[0] for name in MACHINES))
    assert [row for number, row in enumerate(DIFFERENCES) if number not in used] == []


@pytest.mark.corpus
def test_every_recorded_command_is_compared_or_said_not_to_be_ours():
    files = {path.stem.removeprefix("virt-install-") for path in corpus.path("libvirt/compare").glob("virt-install-*")}
    assert files == {file for file, *_ in CASES} | set(NOT_OURS)


# Properties that no recorded command has, as virt-install writes none of them without being asked; from test_spec.py's
# machines, so that a property that domain_xml learns is looked at here.
OURS_ALONE = {
    "devices/serial/log@append": "--log",
    "devices/serial/log@file": "--log",
    "devices/disk2/readonly": "a disk that the guest may not write to",
}


OTHER_DISKS = re.compile("devices/disk[23](/(driver|source|target|boot))?@")  # as disk1


@pytest.mark.corpus
@pytest.mark.parametrize("host", [KVM, QEMU, ARM], ids=str)
def test_every_property_of_ours_is_compared_or_said_to_be_ours_alone(host):
    compared = set.union(*(rows_of(name)[2] for name in MACHINES))
    changes = [{field: value} for field, (value, *_) in FACTS.items()] + [{"firmware": Firmware.SECURE_BOOT}]
    if host.architecture != "x86_64":
        changes = [change for change in changes if "disks" not in change]  # one of them is on SATA
    ours = set().union(*(plain(properties(parsed(replace(PLAIN, **change), host))) for change in changes))
    unknown = {path for path in ours - compared if path not in OURS_ALONE and not OTHER_DISKS.match(path)}
    assert unknown == set()


@pytest.mark.boot
@pytest.mark.parametrize("name", MACHINES)
def test_libvirt_takes_it(name, tmp_path):
    """Its schema, and the driver that is its mock; `type` is all that has to be another."""
    host, spec, *_ = MACHINES[name]
    path = tmp_path / "domain.xml"
    path.write_text(domain_xml(spec, host))
    oracle.run("virt-xml-validate", path, "domain")
    path.write_text(domain_xml(spec, Host("x86_64", Hypervisor.TEST)))
    with connect("test:///default") as connection:
        domain = connection.defineXMLFlags(path.read_text(), binding().VIR_DOMAIN_DEFINE_VALIDATE)
        kept = plain(properties(ET.fromstring(domain.XMLDesc())))
        domain.undefine()
    ours = plain(properties(parsed(spec, Host("x86_64", Hypervisor.TEST))))
    assert {path: value for path, value in kept.items() if path in ours} == ours
