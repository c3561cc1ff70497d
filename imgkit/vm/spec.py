"""What a virtual machine is made of, in the words of its user. No libvirt here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from imgkit.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[^\s/.][^\s/]*")  # libvirt makes it a part of paths


class Firmware(StrEnum):
    """What the machine starts with."""

    BIOS = "bios"
    UEFI = "uefi"
    SECURE_BOOT = "secure boot"  # UEFI that starts only what the enrolled keys signed


class Bus(StrEnum):
    """What a disk hangs on."""

    VIRTIO = "virtio"
    SATA = "sata"
    USB = "usb"


class NetworkKind(StrEnum):
    """How the machine's one network card is connected."""

    USER = "user"  # user-mode networking: out, not in; needs no privilege
    BRIDGE = "bridge"
    NETWORK = "network"
    NONE = "none"


class OnReboot(StrEnum):
    """What becomes of the machine when its guest reboots: it starts again, or it is off."""

    RESTART = "restart"
    DESTROY = "destroy"


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk image; `image_format` is what QEMU reads it as, never guessed by it."""

    path: Path
    image_format: str = "qcow2"
    bus: Bus = Bus.VIRTIO
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class DirectKernel:
    """A kernel that is started without a boot loader, its initial RAM disk and its command line."""

    kernel: Path
    initrd: Path | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Network:
    """A network card; `source` is the name of the host's bridge or of libvirt's network."""

    kind: NetworkKind = NetworkKind.USER
    source: str = ""


@dataclass(frozen=True, slots=True)
class VmSpec:
    """A machine: memory in MiB; a cdrom starts before the disks (`disks_first`: behind them), a kernel before both.

    `media` are more CDs, which are read and never started. `log` is a file of the hypervisor's host that takes all that
    comes over the serial line. One that `stays` has PCI Express ports to spare, so that devices can be added while it
    runs, and a BIOS that speaks on the serial line too, so that a disk that cannot be started says so there.
    Raises UsageError for a name that libvirt has no room for and for sizes that no machine has.
    """

    name: str
    memory: int = 1024
    vcpus: int = 1
    firmware: Firmware = Firmware.BIOS
    disks: tuple[Disk, ...] = ()
    cdrom: Path | None = None
    disks_first: bool = False
    media: tuple[Path, ...] = ()
    kernel: DirectKernel | None = None
    network: Network = field(default_factory=Network)
    log: Path | None = None
    on_reboot: OnReboot = OnReboot.RESTART
    stays: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} is not a valid machine name",
                hint="Use a name without spaces, slashes, or a leading dot.",
            )
        if self.memory < 1 or self.vcpus < 1:
            raise UsageError("a machine needs at least 1 MiB of memory and one virtual CPU")


def parse_network(words: str) -> Network:
    """`user`, `none`, `bridge=NAME` or `network=NAME` as a Network. UsageError for anything else."""
    kind, equals, source = words.partition("=")
    named = kind in {NetworkKind.BRIDGE, NetworkKind.NETWORK}
    if kind not in set(NetworkKind) or named != bool(source) or bool(equals) != named:
        raise UsageError(f"unknown network: {words!r}", hint="Choose one of user, bridge=NAME, network=NAME, none.")
    return Network(NetworkKind(kind), source)
