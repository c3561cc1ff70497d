"""Upstart: a job in /etc/init. RHEL 6 has one of its own, which follows the kernel's console."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind
from imgkit.configtext.text import lines
from imgkit.inits import agetty_folder, getty
from imgkit.inits.upstart import config as upstart
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_FOLDER = "/etc/init"
_RHEL_JOB = "/etc/init/serial.conf"


def unwanted(_console: SerialConsole) -> tuple[str, ...]:
    """No kernel argument keeps the login prompt away."""
    return ()


def serves(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> bool:
    """Whether a job that starts by itself asks for a login on the port."""
    return (edits.is_there(_RHEL_JOB) and _uses(console, kernels)) or _job(edits, console) is not None


def enable(edits: TreeEdits, console: SerialConsole, _kernels: Sequence[KernelLine]) -> None:
    """Have a job for the console."""
    if not edits.is_there(_RHEL_JOB):
        path = _job(edits, console) or upstart.path(console)
        edits.edit_or_create(path, partial(upstart.enable, console=console))


def checks(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> Iterator[Check]:
    """The job that asks for a login."""
    if edits.is_there(_RHEL_JOB):
        ok = _uses(console, kernels)
        told = "starts a getty on the kernel's console" + ("" if ok else f", which is not {console.port}")
        yield Check(CheckKind.GETTY, ok, _RHEL_JOB, 0, told)
        return
    path = _job(edits, console) or upstart.path(console)
    with named(path):
        job = upstart.facts(edits.text(path) or "")
    ok, hint = job.has_getty(console), ""
    told = f"asks for a login on {console.port}" if ok else f"no job asks for a login on {console.port}"
    if _is_manual(edits, path):
        ok, told = False, f"the job for {console.port} is only started by hand"
        hint = f"Remove {_override(path)}."
    yield Check(CheckKind.GETTY, ok, path, job.line, told, hint)


def autologin(edits: TreeEdits, console: SerialConsole, _kernels: Sequence[KernelLine], user: str) -> bool:
    """Have the getty of the port's own job log the user in."""
    path = None if edits.is_there(_RHEL_JOB) else _job(edits, console)
    new = getty.in_command(edits.text(path) or "", user, agetty_folder(edits)) if path is not None else None
    if path is None or new is None:
        return False
    edits.put(path, new)
    return True


def autologin_user(edits: TreeEdits, console: SerialConsole, _kernels: Sequence[KernelLine]) -> str:
    """The user that the job's command names."""
    path = _RHEL_JOB if edits.is_there(_RHEL_JOB) else _job(edits, console)
    commands = (line.body for line in lines((path and edits.text(path)) or "") if getty.has_program(line.body))
    return next(filter(None, map(getty.autologin_user, commands)), "")


def _uses(console: SerialConsole, kernels: Sequence[KernelLine]) -> bool:
    """Whether the kernel uses the port as a console."""
    return any(found.port == console.port for kernel in kernels for found in kernelargs.consoles(kernel.arguments))


def _job(edits: TreeEdits, console: SerialConsole) -> str | None:
    """The job that has a getty on the port, whatever it is called; else the one with the usual name, if it is there."""
    usual = upstart.path(console)
    for name in (usual.rpartition("/")[2], *edits.names(_FOLDER)):
        path = f"{_FOLDER}/{name}"
        found = upstart.facts(edits.text(path) or "").getty if name.endswith(".conf") else None
        if found is not None and found.port == console.port:
            return path
    return usual if edits.is_there(usual) else None


def _is_manual(edits: TreeEdits, path: str) -> bool:
    """Whether an override keeps a job from starting by itself."""
    return "manual" in (edits.text(_override(path)) or "").split()


def _override(path: str) -> str:
    return path.removesuffix(".conf") + ".override"
