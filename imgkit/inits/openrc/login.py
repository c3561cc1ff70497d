"""OpenRC as init: the service agetty.PORT, a link to agetty, in the runlevel that is started.

OpenRC under sysvinit or busybox mostly has its gettys in /etc/inittab, but may use the same services.

The way: https://github.com/OpenRC/openrc/blob/master/agetty-guide.md
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs, shellvars
from imgkit.configtext.checks import Check, CheckKind
from imgkit.inits import getty
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_SCRIPTS, _SETTINGS, _RUNLEVELS = "/etc/init.d", "/etc/conf.d", "/etc/runlevels"
_AGETTY = "agetty"
_ALWAYS = ("sysinit", "boot")
_SPEED, _OPTIONS = "baud", "agetty_options"


def unwanted(_console: SerialConsole) -> tuple[str, ...]:
    """No kernel argument keeps the login prompt away."""
    return ()


def serves(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> bool:
    """Whether a service that is started asks for a login on the port."""
    return service(edits, console, kernels) is not None


def enable(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> None:
    """Have agetty's service for the port in the runlevel, at the console's speed."""
    name = service(edits, console, kernels)
    if name is None:
        if not edits.is_there(f"{_SCRIPTS}/{_AGETTY}"):
            return  # the status names it
        name = f"{_AGETTY}.{console.port}"
        edits.link(f"{_SCRIPTS}/{name}", _AGETTY)
        edits.link(f"{_RUNLEVELS}/{_runlevel(kernels)}/{name}", f"{_SCRIPTS}/{name}")
    if name.startswith(f"{_AGETTY}.") and console.has_speed and not _keeps_speed(edits, name, console):
        values = {_SPEED: str(console.baud), "term_type": console.terminal}
        path = f"{_SETTINGS}/{name}"
        for variable, value in values.items():
            edits.edit_or_create(path, partial(shellvars.set_variable, name=variable, value=value))


def checks(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> Iterator[Check]:
    """Whether the service is started."""
    name, port = service(edits, console, kernels), console.port
    if name is not None:
        keeps = not name.startswith(f"{_AGETTY}.") or _keeps_speed(edits, name, console)
        told = f"{name} asks for a login on {port}" if keeps else f"{name} is not at {console.baud} baud"
        yield Check(CheckKind.GETTY, keeps, f"{_SCRIPTS}/{name}", 0, told)
        return
    folder = f"{_RUNLEVELS}/{_runlevel(kernels)}"
    hint = ""
    if not edits.is_there(f"{_SCRIPTS}/{_AGETTY}"):
        hint = (
            f"The guest has no {_SCRIPTS}/{_AGETTY}, which OpenRC brings: install it, or start a getty in another way."
        )
    yield Check(CheckKind.GETTY, False, folder, 0, f"no service {_AGETTY}.{port} in it", hint)


def autologin(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine], user: str) -> bool:
    """Set the options of agetty's service for the port."""
    name = service(edits, console, kernels)
    if name is None or not name.startswith(f"{_AGETTY}."):
        return False
    options = getty.without_autologin(_options(edits, name))
    value = f"--autologin {user} {options}".strip()
    edits.edit_or_create(f"{_SETTINGS}/{name}", partial(shellvars.set_variable, name=_OPTIONS, value=value))
    return True


def autologin_user(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> str:
    """The user that the service's options name."""
    name = service(edits, console, kernels)
    return getty.autologin_user(_options(edits, name)) if name is not None else ""


def _options(edits: TreeEdits, name: str) -> str:
    path = f"{_SETTINGS}/{name}"
    with named(path):
        found = shellvars.evaluate([edits.text(path) or ""]).get(_OPTIONS)
    return found.text if found is not None else ""


def service(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> str | None:
    """The started service that asks for a login on the port; None where there is none."""
    ports = {
        console.port,
        *(["console"] if kernelargs.is_last_console(console.port, (k.arguments for k in kernels)) else []),
    }
    for level in (_runlevel(kernels), *_ALWAYS):
        for name in edits.names(f"{_RUNLEVELS}/{level}"):
            if "getty" not in name or not edits.is_there(f"{_SCRIPTS}/{name}"):
                continue
            program, _, port = name.partition(".")
            if port in ports and "getty" in program:
                return name
            command = getty.find((edits.text(f"{_SCRIPTS}/{name}") or "").replace('"', " "))
            if command is not None and command.port in ports:
                return name
    return None


def _keeps_speed(edits: TreeEdits, name: str, console: SerialConsole) -> bool:
    """Whether the settings of an agetty service leave the line at the console's speed; without one, agetty does."""
    for path in (f"{_SETTINGS}/{name}", f"{_SETTINGS}/{_AGETTY}"):
        text = edits.text(path)
        if text is not None:
            with named(path):
                speed = shellvars.evaluate([text]).get(_SPEED)
            return speed is None or not speed.text or str(console.baud) in speed.text.split(",")
    return True


def _runlevel(kernels: Sequence[KernelLine]) -> str:
    """The runlevel that the system ends in: `softlevel=` on the kernel command line, else the default one."""
    levels = [a.value for kernel in kernels[:1] for a in kernel.arguments if a.name == "softlevel" and a.value]
    return levels[-1] if levels else "default"
