"""runit: a service directory for the port, and the link in the runsvdir that has it supervised.

Void has /etc/sv/agetty-ttyS0 and its like, all with the script of agetty-generic, which takes the port from the
directory's name; Artix has them in /etc/runit/sv; Debian's package getty-run has one, getty-ttyS0, which goes to the
kernel's console whatever its name.

Void: https://github.com/void-linux/void-runit  Debian: https://packages.debian.org/getty-run
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs, shellvars
from imgkit.configtext.checks import Check, CheckKind
from imgkit.configtext.text import Splice, lines, splice
from imgkit.inits import getty
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_SERVICES = ("/etc/sv", "/etc/runit/sv")
_LEVELS = "/etc/runit/runsvdir"
_GENERIC = "agetty-generic"
_SERVICE = re.compile(r"(agetty|getty)-(.+)")
_DEBIANS = "getty-ttyS0"  # takes its port from /proc/cmdline
_SPEED, _ARGUMENTS = "BAUD_RATE", "GETTY_ARGS"
_RATE = re.compile(r"(?<=\s)\d{4,7}(?:,\d{4,7})*(?=\s|$)")
_FROM_NAME = "PWD##*-"


def unwanted(_console: SerialConsole) -> tuple[str, ...]:
    """No kernel argument keeps the login prompt away."""
    return ()


def serves(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> bool:
    """Whether a supervised service asks for a login on the port."""
    return _running(edits, console, kernels) is not None


def enable(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> None:
    """Have a service for the port supervised, at the console's speed."""
    found = _running(edits, console, kernels)
    if found is None:
        found = _service(edits, console, kernels) or _new_service(edits, console)
        if found is None:
            return  # the status names it
        edits.link(f"{_level(edits, kernels)}/{found.rpartition('/')[2]}", found)
    if not _has_speed(edits, found, console):
        if _speed_in_script(edits.text(f"{found}/run") or "") is not None:
            edits.edit(f"{found}/run", partial(_set_speed, console=console))
        else:
            set_variable = partial(shellvars.set_variable, name=_SPEED, value=str(console.baud))
            edits.edit_or_create(f"{found}/conf", set_variable)


def checks(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> Iterator[Check]:
    """Whether the service is supervised."""
    found, port = _running(edits, console, kernels), console.port
    if found is not None:
        ok = _has_speed(edits, found, console)
        told = f"runit asks for a login on {port}" if ok else f"runit asks for a login on {port} at another baud rate"
        yield Check(CheckKind.GETTY, ok, found, 0, told)
        return
    folder, hint = _level(edits, kernels), ""
    if _service(edits, console, kernels) is None and _generic(edits) is None:
        hint = f"The guest has no service directory for a getty on {port}: install one, such as Void's {_GENERIC}."
    yield Check(CheckKind.GETTY, False, folder, 0, f"no service in it asks for a login on {port}", hint)


def autologin(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine], user: str) -> bool:
    """Set the getty's arguments in the service's settings, which Void's run script reads."""
    found = _running(edits, console, kernels)
    if found is None or _ARGUMENTS not in (edits.text(f"{found}/run") or ""):
        return False
    value = f"--autologin {user} {getty.without_autologin(_arguments(edits, found))}".strip()
    edits.edit_or_create(f"{found}/conf", partial(shellvars.set_variable, name=_ARGUMENTS, value=value))
    return True


def autologin_user(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> str:
    """The user that the service's settings name, or its script."""
    found = _running(edits, console, kernels)
    if found is None:
        return ""
    script = edits.text(f"{found}/run") or ""
    commands = (line.body for line in lines(script) if getty.has_program(line.body))
    said = next(filter(None, map(getty.autologin_user, commands)), "")
    return said or getty.autologin_user(_arguments(edits, found))


def _arguments(edits: TreeEdits, folder: str) -> str:
    with named(f"{folder}/conf"):
        found = shellvars.evaluate([edits.text(f"{folder}/conf") or ""]).get(_ARGUMENTS)
    return found.text if found is not None else ""


def _level(edits: TreeEdits, kernels: Sequence[KernelLine]) -> str:
    """The runsvdir that is used: one that a word of the kernel command line names, else the current, the default."""
    names = [name for name in edits.names(_LEVELS) if name not in ("current", "previous")]
    words = (word for kernel in kernels[:1] for word in kernelargs.texts(kernel.arguments))
    current = edits.link_target(f"{_LEVELS}/current").rstrip("/").rpartition("/")[2]
    chosen = next((word for word in words if word in names), current if current in names else "default")
    return f"{_LEVELS}/{chosen}"


def _running(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> str | None:
    """The directory of the supervised service that asks for a login on the port."""
    level = _level(edits, kernels)
    for name in edits.names(level):
        target = edits.link_target(f"{level}/{name}")
        folder = _resolved(edits, level, name, target)
        if not edits.is_there(f"{folder}/down") and _is_for(edits, folder, console, kernels):
            return folder
    return None


def _resolved(edits: TreeEdits, level: str, name: str, target: str) -> str:
    if not target:
        return f"{level}/{name}"
    if target.startswith("/"):
        return target.rstrip("/")
    last = target.rstrip("/").rpartition("/")[2]
    return next((f"{folder}/{last}" for folder in _SERVICES if edits.is_there(f"{folder}/{last}")), f"{level}/{name}")


def _service(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> str | None:
    """The directory of a service for the port that is there, supervised or not."""
    folders = (f"{root}/{name}" for root in _SERVICES for name in edits.names(root) if _SERVICE.fullmatch(name))
    return next((folder for folder in folders if _is_for(edits, folder, console, kernels)), None)


def _is_for(edits: TreeEdits, folder: str, console: SerialConsole, kernels: Sequence[KernelLine]) -> bool:
    name = _SERVICE.fullmatch(folder.rpartition("/")[2])
    is_last = kernelargs.is_last_console(console.port, (k.arguments for k in kernels))
    if name is not None and name[0] == _DEBIANS and "/proc/cmdline" in (edits.text(f"{folder}/run") or ""):
        return is_last
    if name is not None and (name[2] == console.port or (name[2] == "console" and is_last)):
        return True
    script = edits.text(f"{folder}/run") or ""
    command = next((found for line in script.split("\n") if (found := getty.find(line)) is not None), None)
    return command is not None and (command.port == console.port or (command.port == "console" and is_last))


def _generic(edits: TreeEdits) -> str | None:
    """The folder of services with a script that takes the port from the name of its directory."""
    for root in _SERVICES:
        names = [_GENERIC, *(name for name in edits.names(root) if _SERVICE.fullmatch(name))]
        for name in names:
            if _FROM_NAME in (edits.text(f"{root}/{name}/run") or ""):
                return f"{root}/{name}"
    return None


def _new_service(edits: TreeEdits, console: SerialConsole) -> str | None:
    """A directory for the port, whose scripts are links to those that serve any port, as Void makes them."""
    model = _generic(edits)
    if model is None:
        return None
    root, _, name = model.rpartition("/")
    folder = f"{root}/agetty-{console.port}"
    for script in ("run", "finish"):
        if edits.is_there(f"{model}/{script}"):
            edits.link(f"{folder}/{script}", f"../{name}/{script}")
    edits.link(f"{folder}/supervise", f"/run/runit/supervise.agetty-{console.port}")
    settings = {"GETTY_ARGS": "-L", _SPEED: str(console.baud), "TERM_NAME": console.terminal}
    edits.put(f"{folder}/conf", "".join(f"{key}={value}\n" for key, value in settings.items()))
    return folder


def _has_speed(edits: TreeEdits, folder: str, console: SerialConsole) -> bool:
    """Whether a service leaves the line at the console's speed, as far as its settings and script say."""
    if not console.has_speed:
        return True
    script = _speed_in_script(edits.text(f"{folder}/run") or "")
    if script is not None:
        return str(console.baud) in script[0].split(",")
    settings = edits.text(f"{folder}/conf")
    if settings is None:
        return True
    with named(f"{folder}/conf"):
        speed = shellvars.evaluate([settings]).get(_SPEED)
    return speed is None or not speed.text or str(console.baud) in speed.text.split(",")


def _speed_in_script(text: str) -> re.Match[str] | None:
    """The speed that a run script gives its getty by itself, as Debian's does; None where settings do."""
    found = (_RATE.search(text, line.start, line.stop) for line in lines(text) if getty.has_program(line.body))
    return next((match for match in found if match is not None), None)


def _set_speed(text: str, console: SerialConsole) -> str:
    found = _speed_in_script(text)
    return text if found is None else splice(text, [Splice(*found.span(), str(console.baud))])
