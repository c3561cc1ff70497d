"""Upstart: a job in /etc/init. RHEL 6 has one of its own, which follows the kernel's console."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.configtext.checks import Check, CheckKind
from imgkit.inits.upstart import config as upstart
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_RHEL_JOB = "/etc/init/serial.conf"


def enable(edits: TreeEdits, console: SerialConsole, _kernels: Sequence[KernelLine]) -> None:
    """Have a job for the console."""
    if not edits.is_there(_RHEL_JOB):
        edits.edit_or_create(upstart.path(console), partial(upstart.enable, console=console))


def checks(edits: TreeEdits, console: SerialConsole, _kernels: Sequence[KernelLine]) -> Iterator[Check]:
    """The job that asks for a login."""
    if edits.is_there(_RHEL_JOB):
        yield Check(CheckKind.GETTY, True, _RHEL_JOB, 0, "starts a getty on the kernel's console")
        return
    path = upstart.path(console)
    with named(path):
        job = upstart.facts(edits.text(path) or "")
    ok = job.has_getty(console)
    told = f"asks for a login on {console.port}" if ok else f"no job asks for a login on {console.port}"
    yield Check(CheckKind.GETTY, ok, path, job.line, told)
