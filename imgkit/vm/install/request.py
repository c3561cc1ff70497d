"""What is asked for when a machine is made, and the blueprint that comes of it.

Here the installer is found and fetched, disks are looked at, and an ISO gets its console; all of that goes to caches.
Machines and disks are made by `installation`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgkit.configtext import kernelargs
from imgkit.configtext.serial import default_console
from imgkit.errors import MachineError, UnsupportedError, UsageError
from imgkit.installers.commandline import answer_file, installer_arguments
from imgkit.installers.trees import NoTreeError, architecture_name
from imgkit.location.fetch import default_cache, fetch, fetch_files, fetch_inner, would_fetch
from imgkit.location.tree import find_tree
from imgkit.remote.url import shown
from imgkit.storage.host import is_file, no_such_file, real_path
from imgkit.vm.connection import host_of, translated
from imgkit.vm.disks import users_of_images
from imgkit.vm.domain import Hypervisor
from imgkit.vm.install.enabling import EnabledIso, enabled_iso, has_console
from imgkit.vm.install.installation import Blueprint, Installer, check_is_local
from imgkit.vm.install.storage import DiskWish, plan_disks
from imgkit.vm.launcher import check_name
from imgkit.vm.spec import DirectKernel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgkit.console.judge import Judgement
    from imgkit.installers.trees import InstallTree
    from imgkit.location.fetch import BootFiles
    from imgkit.storage.copy import Progress
    from imgkit.vm.domain import Host
    from imgkit.vm.spec import VmSpec

_LOCATION_PART = re.compile(r",(kernel|initrd)=([^,]+)$")

# Arguments by which casper finds its ISO: https://manpages.ubuntu.com/manpages/noble/man7/casper.7.html
_LIVE_SOURCES = ("url=", "iso-url=", "netboot=", "nfsroot=", "fetch=", "iso-scan/filename=")


@dataclass(frozen=True, slots=True)
class Request:
    """A machine as asked for. `spec` has neither disks nor installer; exactly one way to start it is given.

    `location` is an install tree, `kernel` (with `initrd`) a kernel at an address or path of its own or below
    `location`, `cdrom` an ISO; without any of them the first of `disks` has a system. `answers` is a file or a URL,
    `injected` are host files by their place in the initial RAM disk, `extra` kernel arguments. Without `enable` images
    are started as they are. `dry_run` fetches and copies nothing.
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
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A blueprint, and what it was made from: fetched files, and the tree where one was found.

    `judgement` is on the console of a copy of the ISO, None where there is none.
    """

    blueprint: Blueprint
    files: BootFiles | None = None
    tree: InstallTree | None = None
    judgement: Judgement | None = None


def split_location(
    words: str, kernel: str | None = None, initrd: str | None = None
) -> tuple[str, str | None, str | None]:
    """Location, kernel and initial RAM disk of `LOCATION,kernel=PATH,initrd=PATH`, as virt-install takes them.

    `kernel` and `initrd` are what options of their own say. Raises UsageError where both name one.
    """
    found = {"kernel": kernel, "initrd": initrd}
    while match := _LOCATION_PART.search(words):
        key, path = match[1], match[2]
        if found[key] not in (None, path):
            raise UsageError(f"--location and --{key} name different files: {path} and {found[key]}", hint="Name one.")
        found[key], words = path, words[: match.start()]
    return words, found["kernel"], found["initrd"]


def prepare(connection: Any, request: Request, progress: Progress) -> Prepared:
    """The blueprint of a request. What cannot work is refused before anything is fetched.

    Raises UsageError for options that contradict each other, MachineError for a taken name and for more memory than
    there is, LocationError and ChecksumError for a tree that cannot be used, and what the disks and the ISO raise.
    """
    _check(request)
    check_is_local(connection)
    check_name(connection, request.spec.name)
    _check_memory(connection, request.spec)
    _check_disks(connection, request.disks)
    disks = tuple(plan_disks(request.spec.name, list(request.disks)))
    host = _host(connection, request.architecture)
    if request.cdrom is not None:
        cdrom = real_path(request.cdrom)
        iso = EnabledIso(_existing(cdrom))
        if request.enable:
            iso = enabled_iso(cdrom, progress, dry_run=request.dry_run)
        return Prepared(Blueprint(request.spec, disks, Installer(cdrom=iso.path), host), judgement=iso.judgement)
    if request.location is None and request.kernel is None:
        lacks_console = request.enable and not has_console(disks[0].path)
        return Prepared(Blueprint(request.spec, disks, Installer(), host, enable=lacks_console))
    return _from_kernel(request, disks, host, progress)


def _from_kernel(request: Request, disks: tuple[Any, ...], host: Host, progress: Progress) -> Prepared:
    tree = _tree(request)
    if tree is not None and request.architecture is None and tree.architecture:
        host = _of_architecture(host, tree.architecture)
    files = _files(request, tree, progress)
    injected = dict(request.injected or {})
    kernel = DirectKernel(files.kernel, files.initrd, _arguments(request, tree, host, injected))
    medium = Path(request.location or "/")
    installer = Installer(kernel=kernel, injected=injected, medium=medium.resolve() if medium.is_file() else None)
    return Prepared(Blueprint(request.spec, disks, installer, host), files, tree)


def _files(request: Request, tree: InstallTree | None, progress: Progress) -> BootFiles:
    """Kernel and initial RAM disk on this host; in a dry run, where they would be."""
    cache = default_cache()
    if request.kernel is None or request.initrd is None:
        assert tree is not None
        if request.dry_run:
            return would_fetch(tree.kernel, tree.initrd, cache, tree.checksums)
        return fetch(tree, cache, insecure=request.insecure, progress=progress)
    if request.dry_run:
        return would_fetch(request.kernel, request.initrd, cache, {})
    bring = fetch_files
    if request.location is not None and not _is_elsewhere(request):
        bring = partial(fetch_inner, request.location)
    return bring(request.kernel, request.initrd, cache, insecure=request.insecure, progress=progress)


def _tree(request: Request) -> InstallTree | None:
    """The tree at the location. Beside --kernel it need not be one that is known: None then, as without a location."""
    if request.location is None:
        return None
    try:
        tree = find_tree(request.location, architecture=request.architecture)
    except NoTreeError:
        if request.kernel is None:
            raise
        return None
    _check_finds_its_iso(request, tree)
    return tree


def _is_elsewhere(request: Request) -> bool:
    """Whether --kernel and --initrd are files of this host or addresses, and not paths below --location."""
    assert request.kernel is not None
    assert request.initrd is not None
    return all("://" in path or Path(path).is_absolute() or _exists(path) for path in (request.kernel, request.initrd))


def _exists(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def _check_finds_its_iso(request: Request, tree: InstallTree) -> None:
    """Refuse Ubuntu's live installer without an ISO: its kernel looks for one, and a folder of files is none."""
    told = kernelargs.texts(kernelargs.split(request.extra)) + tree.arguments
    if not tree.needs_iso or _exists(tree.location) or any(word.startswith(_LIVE_SOURCES) for word in told):
        return
    raise UnsupportedError(
        f"{shown(tree.location)}: Ubuntu's live installer loads the rest of its system from an ISO, which this is not",
        hint="Start from the ISO with --cdrom ISO or --location ISO, or name its address: "
        "--extra-args 'url=http://HOST/ubuntu.iso ip=dhcp'. For another kernel, see --kernel.",
    )


def _arguments(request: Request, tree: InstallTree | None, host: Host, injected: dict[str, Path]) -> str:
    """The command line; answers in a file are added to `injected`."""
    console = default_console(host.architecture)
    if tree is None:
        if request.answers:
            raise UsageError(
                "imgkit does not know how this installer takes its answers",
                hint="Give --inject FILE, and name the file to the installer with --extra-args.",
            )
        return kernelargs.join(kernelargs.set_console(kernelargs.split(request.extra), console))
    answers = request.answers or ""
    if answers and "://" not in answers:
        place = answer_file(tree.family)
        injected[place] = Path(answers)
        answers = place
    return installer_arguments(tree, console, [request.extra] if request.extra else [], answers=answers)


def _check(request: Request) -> None:
    from_kernel = request.location is not None or request.kernel is not None
    if (request.kernel is None) != (request.initrd is None):
        raise UsageError("--kernel and --initrd go together", hint="Give both.")
    if request.cdrom is not None and from_kernel:
        raise UsageError("--cdrom and --location are mutually exclusive", hint="Give one of the two.")
    if not from_kernel and (request.answers or request.injected or request.extra):
        raise UsageError(
            "only an installer from --location takes answers, files and arguments",
            hint="Put them into the ISO: imgkit iso add, imgkit console enable.",
        )
    if not from_kernel and request.cdrom is None and not request.disks:
        raise UsageError("nothing to boot was given", hint="Give --location URL, --cdrom ISO or --import DISK.")
    _check_files(request)


def _check_files(request: Request) -> None:
    """Refuse files of this host that are not there."""
    for named in (request.kernel, request.initrd):
        if named is not None and request.location is None and "://" not in named and not is_file(Path(named)):
            raise no_such_file(Path(named))
    for path in (request.injected or {}).values():
        if not is_file(path):
            raise no_such_file(path)
    if request.answers and "://" not in request.answers and not is_file(Path(request.answers)):
        raise no_such_file(Path(request.answers), "Give a file, or a URL with ://.")


def _check_disks(connection: Any, disks: Sequence[DiskWish]) -> None:
    """Refuse a disk that another machine has: sooner or later both would write to it."""
    existing = [disk.path for disk in disks if disk.path is not None and disk.size is None]
    users = users_of_images(connection) if existing else {}
    for path in existing:
        machine = users.get(path.resolve())
        if machine is not None:
            raise MachineError(
                f"{path}: the machine {machine} uses this disk",
                hint=f"Give another disk, copy this one, or remove that machine: imgkit vm remove {machine}.",
            )


def _check_memory(connection: Any, spec: VmSpec) -> None:
    with translated("libvirt does not report the host's capabilities"):
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
    if not is_file(iso):
        raise no_such_file(iso)
    return iso
