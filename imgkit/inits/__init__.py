"""One module for each way to start a login prompt, all with the same functions; only the guest's own is imported."""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.configtext.checks import Check, KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits


class Init(StrEnum):
    """What runs as process 1."""

    SYSTEMD = "systemd"
    SYSVINIT = "sysvinit"
    UPSTART = "upstart"
    OPENRC = "openrc"
    BUSYBOX = "busybox"
    UNKNOWN = "unknown"


_MODULES = {Init.SYSTEMD: "systemd", Init.UPSTART: "upstart"}


class LoginModule(Protocol):
    """What each module offers; `kernels` are the system's command lines, recovery left out."""

    def enable(self, edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> None:
        """Have the system ask for a login on the console."""
        ...

    def checks(self, edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> Iterator[Check]:
        """Who asks for a login on the console."""
        ...


def module_for(init: Init) -> LoginModule:
    """The module for an init system; sysvinit, OpenRC, busybox and what is not known use inittab."""
    return cast("LoginModule", import_module(f"{__name__}.{_MODULES.get(init, 'inittab')}.login"))
