"""`imgkit vm`: virtual machines under libvirt, from installation to removal."""

from __future__ import annotations

from typing import Annotated

import typer

from imgkit.cli import vminstall
from imgkit.cli.compose import add_command
from imgkit.cli.options import AsJson
from imgkit.cli.vmconsole import console
from imgkit.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Install, start, stop, list and remove virtual machines under libvirt.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The machine's name.", show_default=False)]
Connection = Annotated[
    str, typer.Option("--connect", metavar="URI", help="libvirt connection; your own session needs no privileges.")
]
SESSION = "qemu:///session"


def list_machines(*, connect: Connection = SESSION, as_json: AsJson = False) -> None:
    """List the machines, those that are off too.

    Examples:
      imgkit vm list
      imgkit vm list --connect qemu:///system --json
    """
    from imgkit.cli.render import out, print_json
    from imgkit.vm.connection import connect as connected
    from imgkit.vm.launcher import machines

    with connected(connect) as connection:
        found = machines(connection)
    if as_json:
        print_json("vm-list", 1, {"machines": found})
        return
    for machine in found:
        state = "running" if machine.running else "off"
        out(f"{machine.name:<20} {state:<8} {machine.memory:6} MiB {machine.vcpus:3} vCPU")


def start(
    name: Name,
    *,
    console: Annotated[
        bool, typer.Option("--console", help="Attach to its serial console, from the first byte.")
    ] = False,
    connect: Connection = SESSION,
    as_json: AsJson = False,
) -> None:
    """Start a machine; one that runs is left alone.

    Examples:
      imgkit vm start test0
      imgkit vm start test0 --console
    """
    from imgkit.cli.render import note, print_json
    from imgkit.cli.vmconsole import attach_here
    from imgkit.vm.connection import connect as connected
    from imgkit.vm.install.installation import end_of_installation
    from imgkit.vm.launcher import resume
    from imgkit.vm.launcher import start as switch_on
    from imgkit.vm.serial.attach import Attachment

    if console and as_json:
        raise UsageError("--console and --json both write to standard output", hint="Omit one of them.")
    with connected(connect) as connection:
        changed = switch_on(connection, name, paused=console)
        if changed:
            end_of_installation(connection, name)
        if console:
            on_open = (lambda: resume(connection, name)) if changed else None
            try:
                attach_here(connection, name, Attachment(), on_open=on_open)
            finally:
                if changed:
                    resume(connection, name)  # also where nobody could listen
            return
    if as_json:
        print_json("vm-start", 1, {"name": name, "changed": changed})
        return
    note(f"{name}: {'started' if changed else 'is already running'}")


def stop(
    name: Name,
    *,
    force: Annotated[bool, typer.Option("--force", help="Turn it off immediately, like pulling the plug.")] = False,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How long to wait for the guest to shut down.")
    ] = 60,
    connect: Connection = SESSION,
    as_json: AsJson = False,
) -> None:
    """Ask a machine's guest to shut down, and wait until it is off.

    Examples:
      imgkit vm stop test0
      imgkit vm stop test0 --force
    """
    from imgkit.cli.render import note, print_json
    from imgkit.vm.connection import connect as connected
    from imgkit.vm.launcher import stop as switch_off

    with connected(connect) as connection:
        changed = switch_off(connection, name, timeout=timeout, force=force)
    if as_json:
        print_json("vm-stop", 1, {"name": name, "changed": changed})
        return
    note(f"{name}: {'stopped' if changed else 'was off'}")


def remove(
    name: Name,
    *,
    disks: Annotated[
        bool, typer.Option("--disks", help="Also delete its disks, if they are in the directory for new disks.")
    ] = False,
    connect: Connection = SESSION,
    as_json: AsJson = False,
) -> None:
    """Remove a machine that is off. Its disks stay, unless --disks is given.

    Examples:
      imgkit vm remove test0
      imgkit vm remove test0 --disks
    """
    from imgkit.cli.render import note, print_json
    from imgkit.vm.connection import connect as connected
    from imgkit.vm.disks import disks_of, users_of_images, why_kept
    from imgkit.vm.install.installation import end_of_installation
    from imgkit.vm.install.storage import default_folder
    from imgkit.vm.launcher import remove as forget

    with connected(connect) as connection:
        images = [path for path in disks_of(connection, name) if path.exists()]
        users = users_of_images(connection, besides=name) if disks else {}
        forget(connection, name)
        end_of_installation(connection, name)
    deleted, kept = [], []
    for path in images:
        why = "" if path.parent == default_folder() else f"it is not in {default_folder()}"
        why = (why or why_kept(path, users)) if disks else "--disks was not given"
        if why:
            kept.append({"path": path, "why": why})
        else:
            path.unlink(missing_ok=True)
            deleted.append(path)
    if as_json:
        print_json("vm-remove", 1, {"name": name, "deleted": deleted, "kept": kept})
        return
    told = [f"deleted {path}" for path in deleted]
    told += [f"kept {each['path']}" + (f" ({each['why']})" if disks else "") for each in kept]
    note("; ".join([f"{name}: removed", *told]))


add_command(app, vminstall.install, "install")
add_command(app, vminstall.import_, "import")
add_command(app, start, "start")
add_command(app, stop, "stop")
add_command(app, list_machines, "list")
add_command(app, remove, "remove")
add_command(app, console, "console")
