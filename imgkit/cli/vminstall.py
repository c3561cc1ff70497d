"""`imgkit vm install` and `imgkit vm import`: machines that are made, and started for the first time."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgkit.cli.compose import composed
from imgkit.cli.options import AsJson
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from imgkit.vm.install.enabling import EnabledDisk
    from imgkit.vm.install.installation import StartedMachine
    from imgkit.vm.install.request import Prepared, Request
    from imgkit.vm.serial.dialogue import Conversation, Expect
    from imgkit.vm.spec import VmSpec

SESSION = "qemu:///session"
Name = Annotated[str, typer.Argument(metavar="NAME", help="The machine's name.", show_default=False)]


@dataclass(frozen=True, slots=True)
class ConsoleMode:
    """What becomes of the terminal when the machine runs: attached, or text is waited for, or neither."""

    connect: str
    no_console: bool
    expect: Expect | None
    timeout: float
    dry_run: bool


def make_spec(
    name: Name,
    *,
    memory: Annotated[int, typer.Option(min=64, metavar="MIB", help="Memory of the VM.")] = 2048,
    vcpus: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="Virtual CPUs.")] = 1,
    uefi: Annotated[bool, typer.Option("--uefi", help="Boot with UEFI firmware instead of a BIOS.")] = False,
    network: Annotated[
        str, typer.Option(metavar="KIND", help="Its network card: user, bridge=NAME, network=NAME, none.")
    ] = "user",
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", readable=False, help="Log everything that the serial line prints.")
    ] = None,
) -> VmSpec:
    """The machine that the options describe. UsageError for words that make no sense."""
    from imgkit.storage.host import exists
    from imgkit.vm.spec import Firmware, VmSpec, parse_network

    if log is not None and not (exists(log.absolute().parent) and log.absolute().parent.is_dir()):
        raise UsageError(f"{log}: no such directory", hint="Create it first, or name another file.")
    return VmSpec(
        name,
        memory=memory,
        vcpus=vcpus,
        firmware=Firmware.UEFI if uefi else Firmware.BIOS,
        network=parse_network(network),
        log=log.absolute() if log else None,
        stays=True,
    )


def make_talk(
    *,
    connect: Annotated[
        str, typer.Option("--connect", metavar="URI", help="libvirt connection; your own session needs no privileges.")
    ] = SESSION,
    no_console: Annotated[
        bool, typer.Option("--no-console", help="Do not attach to the serial console. [default: attach on a terminal]")
    ] = False,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX", help="Do not attach: show the serial line until this text comes (else status 1)."
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How long to wait for the text of --expect, or for --wait.")
    ] = 3600,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the libvirt XML of the machine; create and download nothing.")
    ] = False,
) -> ConsoleMode:
    """How to go on when the machine runs. UsageError for what is not a regular expression."""
    from imgkit.vm.serial.dialogue import Expect

    return ConsoleMode(connect, no_console, None if expect is None else Expect(expect), timeout, dry_run)


@composed(spec=make_spec, talk=make_talk)
def install(
    spec: VmSpec,
    *,
    talk: ConsoleMode,
    location: Annotated[
        str | None,
        typer.Option(
            metavar="LOCATION[,kernel=PATH,initrd=PATH]",
            help="Install tree: a URL (http, https, ftp, nfs), a directory or an ISO.",
        ),
    ] = None,
    cdrom: Annotated[
        Path | None, typer.Option(metavar="ISO", readable=False, help="Boot the installer from this ISO, as a CD.")
    ] = None,
    import_disk: Annotated[
        Path | None,
        typer.Option("--import", metavar="DISK", readable=False, help="No installer: a disk with an installed system."),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Kernel of the installer: a file, a URL, or a path below --location."),
    ] = None,
    initrd: Annotated[
        str | None, typer.Option(metavar="FILE", help="Initial RAM disk for --kernel, named in the same way.")
    ] = None,
    arch: Annotated[
        str | None, typer.Option("--arch", metavar="NAME", help="The machine's architecture: amd64, aarch64.")
    ] = None,
    disk: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORDS",
            help="size=8G makes one, path=FILE takes one (both: makes it there), format=raw; or none. Repeatable.",
        ),
    ] = None,
    answers: Annotated[
        str | None,
        typer.Option(
            "--answers", "--preseed", metavar="FILE|URL", help="Preseed, kickstart, AutoYaST or autoinstall file."
        ),
    ] = None,
    inject: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", readable=False, help="Add a file to / of the initial RAM disk. Repeatable."),
    ] = None,
    extra_args: Annotated[
        str, typer.Option(metavar="TEXT", help="Additional arguments for the installer's kernel.")
    ] = "",
    insecure: Annotated[bool, typer.Option("--insecure", help="Accept checksum mismatches.")] = False,
    no_enable: Annotated[
        bool, typer.Option("--no-enable", help="Start images as they are, without enabling their serial console.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the installation is complete.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a machine and start its installer, on the serial console; afterwards it starts from its disk.

    An ISO without a serial console is copied to ~/.cache/imgkit/iso with one. New disks without a path are put into
    ~/.local/share/libvirt/images.

    Examples:
      imgkit vm install a --location http://MIRROR/dists/stable --disk size=8G
      imgkit vm install b --cdrom debian-12-netinst.iso --disk size=8G --uefi
      imgkit vm install c --location nfs://server/fedora --disk size=20G --wait
      imgkit vm install d --location /mnt --disk size=8G --answers preseed.cfg
      imgkit vm install e --import debian.qcow2
    """
    from imgkit.vm.install.request import Request, split_location
    from imgkit.vm.install.storage import DiskWish, parse_disk

    if location is not None:
        location, kernel, initrd = split_location(location, kernel, initrd)
    ways = [option for option in (location or kernel, cdrom, import_disk) if option]
    if len(ways) != 1:
        raise UsageError(
            "a machine starts from one of --location (or --kernel), --cdrom and --import", hint="Give one of them."
        )
    if import_disk is None and not disk:
        raise UsageError("no disk to install to was given", hint="Give --disk size=8G, or --disk none.")
    options = [parse_disk(words) for words in disk or () if words != "none"]
    if import_disk is not None:
        options.insert(0, DiskWish(import_disk))
    request = Request(
        spec,
        disks=tuple(options),
        location=location,
        kernel=kernel,
        initrd=initrd,
        cdrom=cdrom,
        architecture=arch,
        answers=answers,
        injected={f"/{path.name}": path for path in inject or ()},
        extra=extra_args,
        insecure=insecure,
        enable=not no_enable,
        dry_run=talk.dry_run,
    )
    _carry_out("vm-install", request, talk, wait=wait, as_json=as_json)


@composed(spec=make_spec, talk=make_talk)
def import_(
    spec: VmSpec,
    image: Annotated[
        Path,
        typer.Argument(metavar="DISK", readable=False, help="A disk with an installed system.", show_default=False),
    ],
    *,
    talk: ConsoleMode,
    no_enable: Annotated[
        bool, typer.Option("--no-enable", help="Start the disk as it is, without enabling its serial console.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create a VM from a disk with an installed system, and start it on the serial console.

    A disk without a serial console gets one, in place; a file beside it, DISK.undo, takes that back.

    Examples:
      imgkit vm import test0 debian.qcow2
      imgkit vm import test0 debian.qcow2 --expect 'login: ' --timeout 300
    """
    from imgkit.vm.install.request import Request
    from imgkit.vm.install.storage import DiskWish

    request = Request(spec, disks=(DiskWish(image),), enable=not no_enable, dry_run=talk.dry_run)
    _carry_out("vm-import", request, talk, wait=False, as_json=as_json)


def _carry_out(kind: str, request: Request, talk: ConsoleMode, *, wait: bool, as_json: bool) -> None:
    from imgkit.cli.render import note, out_text, print_json, progress_bar
    from imgkit.vm.connection import connect
    from imgkit.vm.domain import domain_xml
    from imgkit.vm.install.installation import begin, end_of_installation
    from imgkit.vm.install.request import prepare

    with connect(talk.connect) as connection:
        with progress_bar("fetching") as progress:
            prepared = prepare(connection, request, progress)
        _tell_prepared(request, prepared, as_json=as_json)
        plan = prepared.blueprint
        xml = domain_xml(plan.installing(connection.getURI()), plan.host)
        document = _document(request, prepared, talk) | {"xml": xml}
        if talk.dry_run:
            if as_json:
                print_json(kind, 1, document | {"enabled": None, "passed": None, "transcript": ""})
            else:
                out_text(xml)
            return
        with begin(connection, plan) as begun:
            if begun.enabled and not as_json:
                _tell_enabled(begun.enabled)
            came = _talk(connection, begun, talk, as_json=as_json)
            if wait:
                begun.wait(talk.timeout)
        if begun.over.is_set():
            end_of_installation(connection, request.spec.name)
    if as_json:
        heard = {"passed": came and came.passed, "transcript": came.transcript if came else ""}
        print_json(kind, 1, document | {"enabled": _enabled_fields(begun.enabled)} | heard)
    elif came is not None and not came.passed:
        sys.stderr.write("\n")
        note(f"{request.spec.name}: {came.explanation}; the boot got as far as: {came.reached}; it runs on")
    else:
        more = "" if talk.connect == SESSION else f" --connect {talk.connect}"
        note(f"{request.spec.name}: started; its console: imgkit vm console {request.spec.name}{more}")
    if came is not None and not came.passed:
        raise typer.Exit(1)


def _talk(connection: Any, begun: StartedMachine, talk: ConsoleMode, *, as_json: bool) -> Conversation | None:
    """Let the machine run, with whoever listens there from the first byte; what was heard, if this was for a script."""
    from imgkit.cli.vmconsole import Shown, attach_here
    from imgkit.vm.serial.attach import Attachment
    from imgkit.vm.serial.dialogue import Dialogue, converse

    name = begun.domain.name()
    if talk.expect is not None:
        dialogue = Dialogue([talk.expect], timeout=talk.timeout, force=True)
        shown = None if as_json else Shown()
        return converse(connection, name, dialogue, on_output=shown, on_open=begun.resume)
    if talk.no_console or as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        begun.resume()
    else:
        attach_here(connection, name, Attachment(force=True), on_open=begun.resume)
    return None


def _tell_prepared(request: Request, prepared: Prepared, *, as_json: bool) -> None:
    from imgkit.cli.delivery import print_judgement
    from imgkit.cli.render import note

    if as_json:
        return
    if request.dry_run:
        _tell_what_would_be(request, prepared)
        return
    if prepared.tree is not None and prepared.files is not None and not prepared.files.verified:
        note("kernel and initial RAM disk were not verified: checksums are missing or do not match")
    iso = prepared.blueprint.installer.cdrom
    if iso is not None and request.cdrom is not None and iso != request.cdrom.resolve():
        note(f"{request.cdrom}: has no serial console; booted from a copy that has one, {iso}")
    if prepared.judgement is not None:
        print_judgement(prepared.judgement)


def _tell_enabled(enabled: EnabledDisk) -> None:
    from imgkit.cli.delivery import print_judgement
    from imgkit.cli.render import note

    how = "in part, in place" if enabled.judgement.failing else "in place"
    note(f"{enabled.path}: serial console enabled {how}; undo with: imgkit undo {enabled.path} {enabled.undo}")
    print_judgement(enabled.judgement)


def _enabled_fields(enabled: EnabledDisk | None) -> dict[str, Any] | None:
    from imgkit.cli.delivery import judgement_fields

    if enabled is None:
        return None
    return {"path": enabled.path, "undo": enabled.undo, **judgement_fields(enabled.judgement)}


def _tell_what_would_be(request: Request, prepared: Prepared) -> None:
    """What a dry run leaves out: the machine, and every file that its XML names and that is not there yet."""
    from imgkit.cli.render import note

    plan = prepared.blueprint
    made = [f"the disk {disk.path} ({disk.image_format})" for disk in plan.disks if disk.size is not None]
    if prepared.files is not None:
        fetched = (prepared.files.kernel, prepared.files.initrd)
        made += [f"{path} (fetched)" for path in fetched if not path.exists()]
    iso = plan.installer.cdrom
    if iso is not None and request.cdrom is not None and iso != request.cdrom.resolve() and not iso.exists():
        made.append(f"{iso}, a copy of {request.cdrom} with a serial console")
    if plan.enable:
        made.append(f"a serial console in {plan.disks[0].path}, in place")
    note(
        f"dry run: nothing was created; would create the machine "
        f"{request.spec.name}{''.join(f', {each}' for each in made)}"
    )


def _document(request: Request, prepared: Prepared, talk: ConsoleMode) -> dict[str, Any]:
    """What was asked for and found, for a program."""
    from imgkit.cli.delivery import judgement_fields

    plan, files = prepared.blueprint, prepared.files
    kernel = plan.installer.kernel
    return {
        "name": request.spec.name,
        "connect": talk.connect,
        "dry_run": talk.dry_run,
        "disks": [
            {"path": disk.path, "format": disk.image_format, "created": disk.size is not None} for disk in plan.disks
        ],
        "cdrom": plan.installer.cdrom,
        "cdrom_console": prepared.judgement and judgement_fields(prepared.judgement),
        "kernel": kernel
        and {
            "kernel": kernel.kernel,
            "initrd": kernel.initrd,
            "arguments": kernel.arguments,
            "verified": files is not None and files.verified,
        },
    }
