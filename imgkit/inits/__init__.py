"""Init systems: who asks for a login on a terminal. One package for each; only the guest's own is imported.

A new init system is a package with a module `login` that keeps the contract `InitSystem`, one line in `INITS`, and,
where its program has a name of its own, one in `detection`. `tests/inits/test_conformance.py` runs over all of them.
"""

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
    """What runs as process 1. OPENRC is OpenRC run by sysvinit or busybox, from /etc/inittab."""

    SYSTEMD = "systemd"
    SYSVINIT = "sysvinit"
    BUSYBOX = "busybox"
    PROCD = "procd"
    OPENRC = "openrc"
    OPENRC_INIT = "openrc-init"
    UPSTART = "upstart"
    RUNIT = "runit"
    DINIT = "dinit"
    FINIT = "finit"
    S6 = "s6"
    UNKNOWN = "unknown"


INITS = {
    Init.SYSTEMD: "systemd.login",
    Init.SYSVINIT: "inittab.login",
    Init.BUSYBOX: "inittab.login",
    Init.PROCD: "inittab.login",
    Init.OPENRC: "inittab.login",
    Init.OPENRC_INIT: "openrc.login",
    Init.UPSTART: "upstart.login",
    Init.RUNIT: "runit.login",
    Init.DINIT: "dinit.login",
    Init.FINIT: "unserved",
    Init.S6: "unserved",
    Init.UNKNOWN: "unserved",
}
"""The module that serves each init system, imported when a guest has it."""


class InitSystem(Protocol):
    """The contract of a module that serves an init system.

    `edits` is the guest's tree with what has been edited so far, `console` the serial console, and `kernels` are the
    guest's kernel command lines, recovery left out, with what has been edited in them. None of the functions runs
    anything of the guest. ConfigError, with file and line, is raised for a file that cannot be understood.

    After `enable`, unless `checks` says why not, exactly one program asks for a login on the port, at the console's
    speed, in what the system starts by itself: a second one is never added, and what serves the port already stays.
    `enable` twice is `enable` once.
    """

    def unwanted(self, console: SerialConsole, /) -> tuple[str, ...]:
        """Kernel arguments, as patterns, that would keep the login prompt away and that no file of it can undo."""
        ...

    def serves(self, edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine], /) -> bool:
        """Whether somebody asks for a login on the console's port already, at whatever speed."""
        ...

    def enable(self, edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine], /) -> None:
        """Have the system ask for a login on the console."""
        ...

    def checks(self, edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine], /) -> Iterator[Check]:
        """Who asks for a login on the console, and what is wrong with it; at least one check."""
        ...

    def autologin(self, edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine], user: str, /) -> bool:
        """Have the user logged in on the console without a question; False where it is not known how.

        Called after `enable`. Nothing is edited where it is not known how.
        """
        ...

    def autologin_user(self, edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine], /) -> str:
        """The user that is logged in on the console without a question; "" where a name is asked for."""
        ...


_AGETTY = ("/sbin", "/usr/sbin", "/usr/bin", "/bin")


def agetty_folder(edits: TreeEdits) -> str | None:
    """Where the guest has agetty, the getty that can log a user in by itself; None where it has none."""
    return next((folder for folder in _AGETTY if edits.is_there(f"{folder}/agetty")), None)


def module_for(init: Init) -> InitSystem:
    """The module for an init system."""
    return cast("InitSystem", import_module(f"{__name__}.{INITS[init]}"))
