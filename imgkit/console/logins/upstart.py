"""Upstart: a job in /etc/init. RHEL 6 has one of its own, which follows the kernel's console."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootconfig import upstart
from imgkit.console.draft import named
from imgkit.console.model import Link, LinkKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.console.draft import Draft
    from imgkit.console.model import KernelLine, SerialConsole

_RHEL_JOB = "/etc/init/serial.conf"


def enable(draft: Draft, console: SerialConsole, _kernels: Sequence[KernelLine]) -> None:
    """Have a job for the console."""
    if not draft.is_there(_RHEL_JOB):
        draft.edit_or_create(upstart.path(console), partial(upstart.enable, console=console))


def links(draft: Draft, console: SerialConsole, _kernels: Sequence[KernelLine]) -> Iterator[Link]:
    """The job that asks for a login."""
    if draft.is_there(_RHEL_JOB):
        yield Link(LinkKind.GETTY, True, _RHEL_JOB, 0, "starts a getty on the kernel's console")
        return
    path = upstart.path(console)
    with named(path):
        job = upstart.facts(draft.text(path) or "")
    ok = job.has_getty(console)
    told = f"asks for a login on {console.port}" if ok else f"no job asks for a login on {console.port}"
    yield Link(LinkKind.GETTY, ok, path, job.line, told)
