"""A machine as libvirt's domain XML. Pure: the same specification and host give the same text.

A machine has a serial port with a console on it and no graphics, virtio devices, and QEMU's most able virtual hardware
for its architecture. What libvirt fills in well itself (addresses, PCI controllers, the balloon, the emulator) is left
to it. tests/vm/test_golden.py compares with virt-install, and says of each difference why it is one.

Format: https://libvirt.org/formatdomain.html
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum
from string import ascii_lowercase
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from imgkit.errors import UnsupportedError
from imgkit.vm.spec import Bus, Disk, Firmware, NetworkKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.vm.spec import Network, VmSpec

MACHINES = {"x86_64": "q35", "aarch64": "virt"}
_TARGETS = {"virtio": "vd", "sata": "sd", "scsi": "sd", "usb": "sd"}
_PORTS = 14  # PCI Express ports of a machine that stays, as virt-install has them: some ten are free
_CDROM_BUSES = {"x86_64": "sata", "aarch64": "scsi"}


class Hypervisor(StrEnum):
    """libvirt's word for what runs a machine: KVM, QEMU that interprets, libvirt's own mock."""

    KVM = "kvm"
    QEMU = "qemu"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Host:
    """What a machine runs on; `architecture` is the machine name of Linux (x86_64, aarch64)."""

    architecture: str
    hypervisor: Hypervisor


def domain_xml(spec: VmSpec, host: Host, *, identity: str = "") -> str:
    """The domain XML of a machine; `identity` is its UUID, which libvirt makes if it is "".

    Raises UnsupportedError for an architecture whose hardware is not known here, or that lacks what the machine wants.
    """
    if host.architecture not in MACHINES:
        raise UnsupportedError(
            f"machines of the architecture {host.architecture} are not supported",
            hint="virt-install can, with --graphics none.",
        )
    domain = ET.Element("domain", type=host.hypervisor)
    _add(domain, "name", spec.name)
    if identity:
        _add(domain, "uuid", identity)
    _add(domain, "memory", str(spec.memory), unit="MiB")
    _add(domain, "vcpu", str(spec.vcpus))
    _add_start(domain, spec, host)
    _add_processor(domain, spec, host)
    _add_clock(domain, host)
    _add(domain, "on_poweroff", "destroy")
    _add(domain, "on_reboot", spec.on_reboot)
    _add(domain, "on_crash", "destroy")
    _add_sleep(domain, host)
    devices = _add(domain, "devices")
    _add_drives(devices, spec, host)
    if spec.stays:
        _add(devices, "controller", type="pci", model="pcie-root")
        for _ in range(_PORTS):
            _add(devices, "controller", type="pci", model="pcie-root-port")
    _add_network(devices, spec.network)
    _add_serial(devices, spec)
    if host.hypervisor is not Hypervisor.TEST:
        rng = _add(devices, "rng", model="virtio")
        _add(rng, "backend", "/dev/urandom", model="random")
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode") + "\n"


def _add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element


def _add_start(domain: ET.Element, spec: VmSpec, host: Host) -> None:
    system = _add(domain, "os")
    if spec.firmware is not Firmware.BIOS or host.architecture != "x86_64":  # elsewhere there is no BIOS
        # libvirt picks the file by the host's firmware descriptors, and copies the variables for this machine.
        system.set("firmware", "efi")
        secure = "yes" if spec.firmware is Firmware.SECURE_BOOT else "no"
        firmware = _add(system, "firmware")
        _add(firmware, "feature", enabled=secure, name="enrolled-keys")
        _add(firmware, "feature", enabled=secure, name="secure-boot")
    _add(system, "type", "hvm", arch=host.architecture, machine=MACHINES[host.architecture])
    if spec.stays and spec.firmware is Firmware.BIOS and host.architecture == "x86_64":
        _add(system, "bios", useserial="yes")
    if spec.kernel is not None:
        _add(system, "kernel", str(spec.kernel.kernel))
        if spec.kernel.initrd is not None:
            _add(system, "initrd", str(spec.kernel.initrd))
        if spec.kernel.arguments:
            _add(system, "cmdline", spec.kernel.arguments)


def _add_processor(domain: ET.Element, spec: VmSpec, host: Host) -> None:
    features = _add(domain, "features")
    _add(features, "acpi")
    if host.architecture == "x86_64":
        _add(features, "apic")
        _add(features, "vmport", state="off")  # VMware's back door; with it, guests look for VMware's mouse
        if spec.firmware is Firmware.SECURE_BOOT:
            _add(features, "smm", state="on")
    if host.hypervisor is Hypervisor.KVM:
        _add(domain, "cpu", mode="host-passthrough")
    elif host.hypervisor is Hypervisor.QEMU:
        # QEMU's default, qemu64, lacks what today's distributions are compiled for (x86-64-v2).
        _add(domain, "cpu", mode="maximum")


def _add_clock(domain: ET.Element, host: Host) -> None:
    """The timers that a guest keeps time by, where a busy host runs it late: it catches up, and is not flooded."""
    clock = _add(domain, "clock", offset="utc")
    if host.architecture == "x86_64":
        _add(clock, "timer", name="rtc", tickpolicy="catchup")
        _add(clock, "timer", name="pit", tickpolicy="delay")
        _add(clock, "timer", name="hpet", present="no")


def _add_sleep(domain: ET.Element, host: Host) -> None:
    """No sleep: a guest cannot be woken up over a serial line."""
    if host.architecture == "x86_64":
        power = _add(domain, "pm")
        _add(power, "suspend-to-mem", enabled="no")
        _add(power, "suspend-to-disk", enabled="no")


def _add_drives(devices: ET.Element, spec: VmSpec, host: Host) -> None:
    order = itertools.count(1 if spec.cdrom is None or spec.disks_first else 2)
    names = {prefix: iter(ascii_lowercase) for prefix in _TARGETS.values()}
    bus = _CDROM_BUSES[host.architecture]
    if spec.cdrom is not None:
        place = iter([len(spec.disks) + 1 if spec.disks_first else 1])
        _add_drive(devices, Disk(spec.cdrom, "raw", read_only=True), "cdrom", bus, names, place)
    for path in spec.media:
        _add_drive(devices, Disk(path, "raw", read_only=True), "cdrom", bus, names, None)
    if bus == "scsi" and (spec.cdrom or spec.media):
        _add(devices, "controller", type="scsi", model="virtio-scsi")
    for disk in spec.disks:
        if disk.bus is Bus.SATA and host.architecture != "x86_64":
            raise UnsupportedError(
                f"machines of the architecture {host.architecture} have no SATA", hint="Use virtio or USB."
            )
        _add_drive(devices, disk, "disk", disk.bus, names, order)
    _add(devices, "controller", type="usb", model="qemu-xhci", ports="15")


def _add_drive(
    devices: ET.Element,
    disk: Disk,
    kind: str,
    bus: str,
    names: dict[str, Iterator[str]],
    order: Iterator[int] | None,
) -> None:
    prefix = _TARGETS[bus]
    drive = _add(devices, "disk", type="file", device=kind)
    driver = _add(drive, "driver", name="qemu", type=disk.image_format)
    if disk.image_format == "qcow2" and not disk.read_only:
        driver.set("discard", "unmap")  # what the guest deletes, the image gives back
    _add(drive, "source", file=str(disk.path))
    _add(drive, "target", dev=prefix + next(names[prefix]), bus=bus)
    if disk.read_only:
        _add(drive, "readonly")
    if order is not None:
        _add(drive, "boot", order=str(next(order)))


def _add_network(devices: ET.Element, network: Network) -> None:
    if network.kind is NetworkKind.NONE:
        return
    card = _add(devices, "interface", type=network.kind)
    if network.source:
        _add(card, "source", **{network.kind.value: network.source})
    _add(card, "model", type="virtio")


def _add_serial(devices: ET.Element, spec: VmSpec) -> None:
    serial = _add(devices, "serial", type="pty")
    if spec.log is not None:
        _add(serial, "log", file=str(spec.log), append="on")
    _add(serial, "target", port="0")
    console = _add(devices, "console", type="pty")
    _add(console, "target", type="serial", port="0")
