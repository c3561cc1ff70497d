"""What is asked for when a machine is made, and the blueprint that comes of it.

Here the installer is found and fetched, disks are looked at, and an ISO gets its console; all of that goes to caches.
Machines and disks are made by `installation`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgkit.configtext import kernelargs
from imgkit.configtext.serial import default_console
from imgkit.errors import LocationError, MachineError, UsageError
from imgkit.location.arguments import installer_arguments
from imgkit.location.fetch import default_cache, fetch, fetch_files
from imgkit.location.model import TreeFamily, architecture_name
from imgkit.location.tree import find_tree
from imgkit.vm.connection import host_of, translated
from imgkit.vm.domain import Hypervisor
from imgkit.vm.install.enabling import EnabledIso, enabled_iso, has_console
from imgkit.vm.install.installation import Blueprint, Installer, check_is_local
from imgkit.vm.install.storage import DiskWish, plan_disks
from imgkit.vm.launcher import check_name
from imgkit.vm.spec import DirectKernel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgkit.console.judge import Judgement
    from imgkit.location.model import BootFiles, InstallTree
    from imgkit.storage.copy import Progress
    from imgkit.vm.domain import Host
    from imgkit.vm.spec import VmSpec

# Where each family's installer looks for its answers when it is told so with a path.
_ANSWERS = {
    TreeFamily.DEBIAN: "/preseed.cfg",
    TreeFamily.UBUNTU: "/preseed.cfg",
    TreeFamily.FEDORA: "/ks.cfg",
    TreeFamily.RHEL: "/ks.cfg",
    TreeFamily.SUSE: "/autoinst.xml",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A machine as asked for. `spec` has neither disks nor installer; exactly one way to start it is given.

    `location` is an install tree, `kernel` (with `initrd`) a kernel at an address or path of its own, `cdrom` an ISO;
    without any of them the first of `disks` has a system. `answers` is a file or a URL, `injected` are host files by
    their place in the initial RAM disk, `extra` kernel arguments. Without `enable` images are started as they are.
    """

    spec: VmSpec
    disks: tuple[DiskWish, ...] = ()
    location: str | None = None
    kernel: str | None = None
    initrd: str | None = None
    cdrom: Path | None = None
    architecture: str | None = None
    answers: str | None = None
    injected: Mapping[str, Path] | None = None
    extra: str = ""
    insecure: bool = False
    enable: bool = True


@dataclass(frozen=True, slots=True)
class Prepared:
    """A blueprint, and what it was made from: fetched files, and the tree where one was found.

    `judgement` is on the console of a copy of the ISO, None where there is none.
    """

    blueprint: Blueprint
    files: BootFiles | None = None
    tree: InstallTree | None = None
    judgement: Judgement | None = None


def prepare(connection: Any, request: Request, progress: Progress) -> Prepared:
    """The blueprint of a request. What cannot work is refused before anything is fetched.

    Raises UsageError for options that contradict each other, MachineError for a taken name and for more memory than
    there is, LocationError and ChecksumError for a tree that cannot be used, and what the disks and the ISO raise.
    """
    _check(request)
    check_is_local(connection)
    check_name(connection, request.spec.name)
    _check_memory(connection, request.spec)
    disks = tuple(plan_disks(request.spec.name, list(request.disks)))
    host = _host(connection, request.architecture)
    if request.cdrom is not None:
        cdrom = request.cdrom.resolve()
        iso = enabled_iso(cdrom, progress) if request.enable else EnabledIso(_existing(cdrom))
        return Prepared(Blueprint(request.spec, disks, Installer(cdrom=iso.path), host), judgement=iso.judgement)
    if request.location is None and request.kernel is None:
        lacks_console = request.enable and not has_console(disks[0].path)
        return Prepared(Blueprint(request.spec, disks, Installer(), host, enable=lacks_console))
    return _from_kernel(request, disks, host, progress)


def _from_kernel(request: Request, disks: tuple[Any, ...], host: Host, progress: Progress) -> Prepared:
    tree = find_tree(request.location, architecture=request.architecture) if request.location else None
    if tree is not None and request.architecture is None and tree.architecture:
        host = _of_architecture(host, tree.architecture)
    if request.kernel is not None:
        if request.initrd is None:
            raise UsageError("--kernel needs --initrd", hint="Give both.")
        files = fetch_files(
            request.kernel, request.initrd, default_cache(), insecure=request.insecure, progress=progress
        )
    else:
        assert tree is not None
        files = fetch(tree, default_cache(), insecure=request.insecure, progress=progress)
    injected = dict(request.injected or {})
    kernel = DirectKernel(files.kernel, files.initrd, _arguments(request, tree, host, injected))
    medium = Path(request.location or "/")
    installer = Installer(kernel=kernel, injected=injected, medium=medium.resolve() if medium.is_file() else None)
    return Prepared(Blueprint(request.spec, disks, installer, host), files, tree)


def _arguments(request: Request, tree: InstallTree | None, host: Host, injected: dict[str, Path]) -> str:
    """The command line; answers in a file are added to `injected`."""
    console = default_console(host.architecture)
    if tree is None:
        if request.answers:
            raise UsageError(
                "without --location nobody knows how this installer takes its answers",
                hint="Give --inject FILE, and tell the installer with --extra-args.",
            )
        return kernelargs.join(kernelargs.set_console(kernelargs.split(request.extra), console))
    answers = request.answers or ""
    if answers and "://" not in answers:
        place = _ANSWERS[tree.family]
        injected[place] = Path(answers)
        answers = place
    return installer_arguments(tree, console, [request.extra] if request.extra else [], answers=answers)


def _check(request: Request) -> None:
    from_kernel = request.location is not None or request.kernel is not None
    if request.cdrom is not None and from_kernel:
        raise UsageError("--cdrom and --location exclude each other", hint="Give one of the two.")
    if not from_kernel and (request.answers or request.injected or request.extra):
        raise UsageError(
            "only an installer from --location takes answers, files and arguments",
            hint="Put them into the ISO: imgkit iso add, imgkit console enable.",
        )
    if not from_kernel and request.cdrom is None and not request.disks:
        raise UsageError(
            "nothing says what the machine starts", hint="Give --location URL, --cdrom ISO or --import DISK."
        )
    for path in (request.injected or {}).values():
        if not path.is_file():
            raise LocationError(f"{path}: there is no such file")
    if request.answers and "://" not in request.answers and not Path(request.answers).is_file():
        raise LocationError(f"{request.answers}: there is no such file", hint="Give a file, or a URL with ://.")


def _check_memory(connection: Any, spec: VmSpec) -> None:
    with translated("libvirt does not tell what it runs on"):
        there_is = connection.getInfo()[1]
    if spec.memory > there_is:
        raise MachineError(
            f"{spec.memory} MiB of memory are more than the {there_is} MiB that this host has",
            hint="Give the machine less with --memory.",
        )


def _host(connection: Any, architecture: str | None) -> Host:
    host = host_of(connection)
    return _of_architecture(host, architecture_name(architecture)) if architecture else host


def _of_architecture(host: Host, architecture: str) -> Host:
    """The host, emulating another architecture where its own cannot run it."""
    if architecture in (host.architecture, "noarch") or (architecture, host.architecture) == ("i686", "x86_64"):
        return host
    hypervisor = host.hypervisor if host.hypervisor is Hypervisor.TEST else Hypervisor.QEMU
    return replace(host, architecture=architecture, hypervisor=hypervisor)


def _existing(iso: Path) -> Path:
    if not iso.is_file():
        raise LocationError(f"{iso}: there is no such file")
    return iso
