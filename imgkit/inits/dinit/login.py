"""dinit: a service file for the port, and the link in boot.d that has it started.

Chimera has agetty-ttyS0 and its like, and a service `agetty` that starts one on each of the kernel's consoles; Artix
has services named tty1 and so on.

Service files: https://davmac.org/projects/dinit/man-pages-html/dinit-service.5.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind
from imgkit.configtext.text import Splice, splice
from imgkit.inits import agetty_folder, getty

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

# In the order in which dinit looks for a service.
_FOLDERS = ("/etc/dinit.d", "/run/dinit.d", "/usr/local/lib/dinit.d", "/usr/lib/dinit.d", "/lib/dinit.d")
_BOOT = "boot.d"
_COMMAND = re.compile(r"^[ \t]*+command[ \t]*+[=:][ \t]*+(.*)$", re.MULTILINE)
_DEPENDS = re.compile(r"^[ \t]*+(?:depends-on|depends-ms|waits-for|after)[ \t]*+[=:].*$", re.MULTILINE)
_ALL_CONSOLES = "dinit-agetty"
_WRAPPERS = ("agetty-default", "agetty-serial")


def unwanted(_console: SerialConsole) -> tuple[str, ...]:
    """No kernel argument keeps the login prompt away."""
    return ()


def serves(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> bool:
    """Whether a service that is started asks for a login on the port."""
    return _started(edits, console, kernels) is not None


def enable(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> None:
    """Have a service for the port started, at the console's speed; in /etc, which comes before the vendor's folders."""
    started = _started(edits, console, kernels)
    if started is not None:
        before = edits.text(_path(edits, started)) or ""
        after = _with_speed(before, console)
        if after != before:
            edits.put(f"{_FOLDERS[0]}/{started}", after)
        return
    name = next((name for name in _gettys(edits) if _is_for(edits, name, console, kernels)), None)
    if name is None:
        name = f"agetty-{console.port}"
        edits.put(f"{_FOLDERS[0]}/{name}", _new_service(edits, console))
    edits.link(f"{_FOLDERS[0]}/{_BOOT}/{name}", f"../{name}")


def checks(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> Iterator[Check]:
    """Whether the service is started."""
    name, port = _started(edits, console, kernels), console.port
    if name is None:
        yield Check(CheckKind.GETTY, False, f"{_FOLDERS[0]}/{_BOOT}", 0, f"no service in it asks for a login on {port}")
        return
    command = getty.find(_command(edits, name))
    ok = command is None or command.has_speed_of(console)
    told = f"{name} asks for a login on {port}" if ok else f"{name} is not at {console.baud} baud"
    yield Check(CheckKind.GETTY, ok, _path(edits, name), 0, told)


def autologin(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine], user: str) -> bool:
    """Have the service's getty log the user in; the wrappers that some distributions bring cannot."""
    name = _started(edits, console, kernels)
    if name is None or getty.find(_command(edits, name)) is None:
        return False
    new = getty.in_command(edits.text(_path(edits, name)) or "", user, agetty_folder(edits))
    if new is None:
        return False
    edits.put(f"{_FOLDERS[0]}/{name}", new)
    return True


def autologin_user(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> str:
    """The user that the service's command names."""
    name = _started(edits, console, kernels)
    return getty.autologin_user(_command(edits, name)) if name is not None else ""


def _started(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> str | None:
    started = (name for folder in _FOLDERS for name in edits.names(f"{folder}/{_BOOT}"))
    return next((name for name in started if _is_for(edits, name, console, kernels)), None)


def _gettys(edits: TreeEdits) -> Iterator[str]:
    for folder in _FOLDERS:
        yield from (name for name in edits.names(folder) if "getty" in name or name.startswith("tty"))


def _is_for(edits: TreeEdits, name: str, console: SerialConsole, kernels: Sequence[KernelLine]) -> bool:
    words = _command(edits, name).split()
    program = words[0].rpartition("/")[2] if words else ""
    is_last = kernelargs.is_last_console(console.port, (k.arguments for k in kernels))
    if program == _ALL_CONSOLES:
        consoles = [c.port for kernel in kernels[:1] for c in kernelargs.consoles(kernel.arguments)]
        return console.port in consoles
    found = getty.find(" ".join(words))
    port = words[1] if program in _WRAPPERS and len(words) > 1 else found.port if found is not None else ""
    return port == console.port or (port == "console" and is_last)


def _path(edits: TreeEdits, name: str) -> str:
    return next((f"{f}/{name}" for f in _FOLDERS if edits.is_there(f"{f}/{name}")), f"{_FOLDERS[0]}/{name}")


def _command(edits: TreeEdits, name: str) -> str:
    match = _COMMAND.search(edits.text(_path(edits, name)) or "")
    return match[1] if match is not None else ""


def _with_speed(text: str, console: SerialConsole) -> str:
    """A service file whose getty leaves the line at the console's speed, where its command sets another one."""
    match = _COMMAND.search(text)
    found = getty.find(text, match.start(1), match.end(1)) if match is not None else None
    if found is None or found.speed_range is None or found.has_speed_of(console):
        return text
    return splice(text, [Splice(*found.speed_range, str(console.baud))])


def _new_service(edits: TreeEdits, console: SerialConsole) -> str:
    """A service file that waits for what the getty on the screen waits for, and runs the same program."""
    models = [edits.text(_path(edits, name)) or "" for name in _gettys(edits)]
    model = next((text for text in models if getty.find(_first_command(text)) is not None), "")
    found = getty.find(_first_command(model))
    path = found.path if found is not None and found.program == "agetty" else "/usr/bin/agetty"
    return "".join(
        (
            f"type            = process\ncommand         = {getty.command(console, path)}\nrestart         = true\n",
            *(f"{line.strip()}\n" for line in _DEPENDS.findall(model)),
            "termsignal      = HUP\nsmooth-recovery = true\n",
            f"inittab-id      = {console.port.removeprefix('tty')[:4]}\ninittab-line    = {console.port}\n",
        )
    )


def _first_command(text: str) -> str:
    match = _COMMAND.search(text)
    return match[1] if match is not None else ""
