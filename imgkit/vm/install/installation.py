"""Machines that stay, begun: disks made, the machine defined, and started from its installer.

    defined   the machine as it will be: it starts from its disk
    running   the same with the installer, until it is off

A reboot of the guest has to end the installation, with or without imgkit. Where the firmware can do that, it does: the
disk is first in the boot order and the installer's CD behind it, so that an empty disk leads to the installer and an
installed one to what is on it. Elsewhere (a disk that starts already, a kernel under UEFI) the reboot turns the machine
off, and a `follower` of its own process group starts it again.

Whatever fails before the guest runs leaves nothing: no machine, no disk, no CD, no follower.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from imgkit.errors import MachineError, OutputError, UnsupportedError, UsageError
from imgkit.location.initrd import inject
from imgkit.vm.connection import binding, is_local, translated
from imgkit.vm.domain import domain_xml
from imgkit.vm.install.enabling import enable_disk
from imgkit.vm.install.follower import follow
from imgkit.vm.install.kernelcd import write_kernel_cd
from imgkit.vm.install.storage import check_room, make_disk
from imgkit.vm.launcher import check_name, remove
from imgkit.vm.ptylocks import locked_ones_taken
from imgkit.vm.spec import Disk, Firmware, OnReboot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imgkit.vm.domain import Host
    from imgkit.vm.install.enabling import EnabledDisk
    from imgkit.vm.install.storage import PlannedDisk
    from imgkit.vm.spec import DirectKernel, VmSpec

_CD_OVERHEAD = 1 << 20  # bytes of a kernel's CD that are neither kernel nor initial RAM disk


@dataclass(frozen=True, slots=True)
class Installer:
    """What a machine starts first: a CD, or a kernel; neither where a disk has a system already.

    `injected` are host files by the absolute path that they get in the kernel's initial RAM disk, `medium` is the ISO
    that a kernel is from, and that it reads its packages from.
    """

    cdrom: Path | None = None
    kernel: DirectKernel | None = None
    injected: Mapping[str, Path] = field(default_factory=dict)
    medium: Path | None = None


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A machine to begin: `spec` as it stays, without disks, which are `disks`.

    `enable` has the serial console enabled in the first disk.
    """

    spec: VmSpec
    disks: tuple[PlannedDisk, ...]
    installer: Installer
    host: Host
    enable: bool = False

    @property
    def lasting(self) -> VmSpec:
        """The machine as it stays."""
        return replace(self.spec, disks=tuple(Disk(disk.path, disk.image_format) for disk in self.disks))

    @property
    def by_order(self) -> bool:
        """Whether the boot order alone makes the installer run once."""
        if self.installer.kernel is None and self.installer.cdrom is None:
            return True
        is_bios = self.spec.firmware is Firmware.BIOS and self.host.architecture == "x86_64"
        tried = self.disks[:1] if is_bios else self.disks  # SeaBIOS starts from the first disk only
        if not all(disk.is_blank for disk in tried):
            return False
        return is_bios or self.installer.kernel is None

    def installing(self, uri: str) -> VmSpec:
        """The machine while it is installed, at a libvirt."""
        kernel, cdrom = self.installer.kernel, self.installer.cdrom
        if kernel is None and cdrom is None:
            return self.lasting
        media = (self.installer.medium,) if self.installer.medium else ()
        if self.by_order:
            first = cdrom or kernel_cd_path(uri, self.spec.name)
            return replace(self.lasting, cdrom=first, disks_first=True, media=media)
        if kernel is not None and self.installer.injected:
            kernel = replace(kernel, initrd=_injected_path(uri, self.spec.name))
        return replace(self.lasting, kernel=kernel, cdrom=cdrom, media=media, on_reboot=OnReboot.DESTROY)


class StartedMachine:
    """A machine that is on and paused; `resume` lets it go, and from then on it stays.

    `enabled` tells of the disk whose serial console was enabled for it; `over` is set when the guest has rebooted or
    gone off.
    """

    def __init__(self, domain: Any, enabled: EnabledDisk | None) -> None:
        self.domain = domain
        self.enabled = enabled
        self.is_running = False
        self.over = threading.Event()

    def resume(self) -> None:
        """Let it run. Raises MachineError where libvirt refuses."""
        libvirt = binding()
        with translated(f"the machine {self.domain.name()} cannot be started"):
            if self.domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
                self.domain.resume()
        self.is_running = True

    def wait(self, timeout: float) -> None:
        """Wait until the guest has rebooted or gone off. Raises MachineError after `timeout` seconds."""
        if not self.over.wait(timeout):
            raise MachineError(
                f"the installation of {self.domain.name()} did not finish in {timeout:g} seconds, and continues",
                hint="Look at it: imgkit vm console, or give it more time with --timeout.",
            )


def kernel_cd_path(uri: str, name: str) -> Path:
    """Where the CD of a machine's kernel is, below the user's cache folder, as long as it is needed.

    Where that is: https://specifications.freedesktop.org/basedir-spec/latest/
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "imgkit" / "install" / f"{name}-{sha256(uri.encode()).hexdigest()[:8]}.iso"


@contextmanager
def begin(connection: Any, plan: Blueprint) -> Iterator[StartedMachine]:
    """The machine, defined, on, and paused, for a block that opens its line and resumes it.

    Left without `resume`, by an error or not, everything is taken back. Raises MachineError if the name is taken or
    libvirt refuses, InUseError where a disk is in use, OutputError where files cannot be written.
    """
    with ExitStack() as undo:
        check_name(connection, plan.spec.name)
        enabled = enable_disk(plan.disks[0].path, undo) if plan.enable else None
        begun = StartedMachine(_begun(connection, plan, undo), enabled)
        with _watched(connection, begun):
            try:
                yield begun
            finally:
                if begun.is_running:
                    undo.pop_all()


@contextmanager
def _watched(connection: Any, begun: StartedMachine) -> Iterator[None]:
    """Have `over` set when it is time, as long as the block."""
    libvirt = binding()

    def rebooted(*_: Any) -> None:
        begun.over.set()

    def happened(_connection: Any, _domain: Any, event: int, *_: Any) -> None:
        if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
            begun.over.set()

    with translated("libvirt does not report reboots"):
        register, domain = connection.domainEventRegisterAny, begun.domain
        numbers = [register(domain, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, happened, None)]
        with suppress(libvirt.libvirtError):  # its mock has no such event
            numbers.append(register(domain, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, rebooted, None))
    try:
        yield
    finally:
        for number in numbers:
            with suppress(libvirt.libvirtError):  # the connection may be gone
                connection.domainEventDeregisterAny(number)


def _begun(connection: Any, plan: Blueprint, undo: ExitStack) -> Any:
    libvirt = binding()
    name, uri = plan.spec.name, connection.getURI()
    for disk in plan.disks:
        if disk.size is not None:
            make_disk(disk)
            undo.callback(disk.path.unlink, missing_ok=True)
    _make_start_files(plan, uri, undo)
    with translated(f"the machine {name} cannot be made"):
        domain = connection.defineXMLFlags(domain_xml(plan.lasting, plan.host), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    undo.callback(_forget, connection, name)
    xml = _same_machine(domain_xml(plan.installing(uri), plan.host), domain)
    flags = libvirt.VIR_DOMAIN_START_VALIDATE
    if connection.getType() == "QEMU":  # not every driver can start a machine paused
        flags |= libvirt.VIR_DOMAIN_START_PAUSED
    with translated(f"the machine {name} cannot be started"), locked_ones_taken():
        domain = connection.createXML(xml, flags)
    if not plan.by_order:
        undo.callback(follow(uri, domain.UUIDString()))
    return domain


def end_of_installation(connection: Any, name: str) -> None:
    """Remove what a machine was installed from, which nothing needs any more: the CD of its kernel."""
    libvirt = binding()
    uri = connection.getURI()
    cd = kernel_cd_path(uri, name)
    if cd.exists():
        with suppress(libvirt.libvirtError):  # it is off, or gone, or has ejected it
            _eject(connection.lookupByName(name), cd)
    cd.unlink(missing_ok=True)
    _injected_path(uri, name).unlink(missing_ok=True)


def _eject(domain: Any, cd: Path) -> None:
    libvirt = binding()
    for drive in ET.fromstring(domain.XMLDesc()).iter("disk"):  # noqa: S314  libvirt's
        source = drive.find("source")
        if source is not None and source.get("file") == str(cd):
            drive.remove(source)
            domain.updateDeviceFlags(ET.tostring(drive, encoding="unicode"), libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _make_start_files(plan: Blueprint, uri: str, undo: ExitStack) -> None:
    """The kernel's CD, and the initial RAM disk with injected files, as far as they are needed."""
    kernel, injected = plan.installer.kernel, plan.installer.injected
    if kernel is None:
        return
    initrd, cd = _injected_path(uri, plan.spec.name), kernel_cd_path(uri, plan.spec.name)
    try:
        cd.parent.mkdir(parents=True, exist_ok=True)
        for path in (cd, initrd):  # of a machine of this name that is gone
            path.unlink(missing_ok=True)
        size = sum(path.stat().st_size for path in (kernel.kernel, kernel.initrd) if path)
    except OSError as error:
        raise OutputError(f"{cd}: cannot be made ({error.strerror})", hint="Set XDG_CACHE_HOME.") from error
    check_room(cd, 2 * size + _CD_OVERHEAD)
    if injected:
        if kernel.initrd is None:
            raise UsageError("there is no initial RAM disk to put files into", hint="Give one with --initrd.")
        undo.callback(initrd.unlink, missing_ok=True)
        inject(kernel.initrd, injected, initrd)
        kernel = replace(kernel, initrd=initrd)
    if plan.by_order:
        undo.callback(cd.unlink, missing_ok=True)
        write_kernel_cd(cd, kernel, plan.spec.memory)
        initrd.unlink(missing_ok=True)  # the CD has it


def _injected_path(uri: str, name: str) -> Path:
    return kernel_cd_path(uri, name).with_suffix(".initrd")


def _same_machine(xml: str, defined: Any) -> str:
    """The XML with identity and network addresses of a machine that libvirt has already."""
    root, known = (ET.fromstring(text) for text in (xml, defined.XMLDesc()))  # noqa: S314  libvirt's and ours
    root.insert(1, known.find("uuid"))  # type: ignore[arg-type]
    for card, other in zip(root.iter("interface"), known.iter("interface"), strict=True):
        card.insert(0, other.find("mac"))  # type: ignore[arg-type]
    return ET.tostring(root, encoding="unicode")


def _forget(connection: Any, name: str) -> None:
    libvirt = binding()
    with suppress(libvirt.libvirtError, MachineError):
        domain = connection.lookupByName(name)
        if domain.isActive():
            domain.destroy()
    with suppress(libvirt.libvirtError, MachineError):
        remove(connection, name)


def check_is_local(connection: Any) -> None:
    """Raise UnsupportedError where machines run on another host, which has none of our files."""
    if not is_local(connection):
        with translated("libvirt does not report the host's capabilities"):
            host = connection.getHostname()
        raise UnsupportedError(
            f"machines would run on {host}, which does not have the files of this host",
            hint=f"Run imgkit there: ssh {host} imgkit vm install …",
        )
