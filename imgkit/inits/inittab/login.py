"""/etc/inittab: sysvinit, busybox, procd, and OpenRC under one of the first two."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind
from imgkit.configtext.text import Splice, lines, splice
from imgkit.inits import agetty_folder, getty
from imgkit.inits.inittab import config as inittab
from imgkit.inits.openrc import login as openrc
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.configtext.text import Line
    from imgkit.inits.inittab.config import InittabFacts
    from imgkit.treeedits import TreeEdits

_PATH = "/etc/inittab"
# What busybox does without the file: examples/inittab in its source.
_BUSYBOX_DEFAULT = "::sysinit:/etc/init.d/rcS\n::askfirst:-/bin/sh\ntty2::askfirst:-/bin/sh\n"
_BUSYBOX = ("/bin/busybox", "/sbin/busybox", "/usr/bin/busybox")


def unwanted(_console: SerialConsole) -> tuple[str, ...]:
    """No kernel argument keeps the login prompt away."""
    return ()


def serves(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> bool:
    """Whether a program of the file holds the port and asks for a login there, or a service of OpenRC does."""
    found = _facts(edits, kernels)
    holders = found.on(console) if found is not None else []
    return any(entry.is_login for entry in holders) or openrc.service(edits, console, kernels) is not None


def enable(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> None:
    """Start a getty on the console, unless a service of OpenRC does."""
    if openrc.service(edits, console, kernels) is None:
        edit = partial(inittab.enable, console=console, consoles=_consoles(kernels), levels=_levels(kernels))
        edits.edit(_PATH, edit)


def checks(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> Iterator[Check]:
    """The getty on the console; and, with the VGA console kept, those on the screen."""
    if openrc.service(edits, console, kernels) is not None:
        yield from openrc.checks(edits, console, kernels)
        return
    found = _facts(edits, kernels)
    if found is None:
        yield Check(CheckKind.GETTY, False, _PATH, 0, "no such file, and so no login prompt")
        return
    yield _getty(found, console)
    if found.misses_vga_getty(console):
        yield Check(CheckKind.GETTY, False, _PATH, 0, "no getty on the screen's terminals")


def autologin(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine], user: str) -> bool:
    """Have the line's agetty log the user in; busybox's getty cannot, unless agetty is there to take its place."""
    if openrc.service(edits, console, kernels) is not None:
        return openrc.autologin(edits, console, kernels, user)
    line = _line_on(edits, console, kernels)
    new = getty.with_autologin(line.body, user, agetty_folder(edits)) if line is not None else None
    if line is None or new is None:
        return False
    edits.edit(_PATH, lambda text: splice(text, [Splice(line.start, line.stop, new)]))
    return True


def autologin_user(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> str:
    """The user that the line's command names."""
    if openrc.service(edits, console, kernels) is not None:
        return openrc.autologin_user(edits, console, kernels)
    line = _line_on(edits, console, kernels)
    return getty.autologin_user(line.body) if line is not None else ""


def _line_on(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> Line | None:
    """The line that holds the console's port."""
    found = _facts(edits, kernels)
    entry = found.active(console) if found is not None else None
    return next((line for line in lines(edits.text(_PATH) or "") if entry and line.number == entry.line), None)


def _getty(found: InittabFacts, console: SerialConsole) -> Check:
    port, entry = console.port, found.active(console)
    running = [other for other in found.on(console) if found.runs(other)]
    line, hint = (entry.line if entry else 0), ""
    ok = found.has_getty(console)
    taken = next((other for other in running if not other.is_login), None)
    if ok:
        told = f"asks for a login on {port}"
    elif taken is not None:
        line, told = taken.line, f"{port} is used by a program that is not a login: {taken.command.strip()[:60]}"
        hint = "Choose another port with --port, or remove the line."
    elif len(running) > 1:
        others = ", ".join(str(other.line) for other in running[1:])
        told = f"{len(running)} programs ask for a login on {port}, lines {others} too: they compete for input"
    elif entry is not None and not running:
        told = f"asks for a login on {port} in runlevel {entry.runlevels} only, not in {''.join(sorted(found.levels))}"
    else:
        told = f"no getty on {port} at {console.baud} baud"
    return Check(CheckKind.GETTY, ok, _PATH, line, told, hint)


def _facts(edits: TreeEdits, kernels: Sequence[KernelLine]) -> InittabFacts | None:
    """What the file says, or, where it is missing, what busybox does then; None where nothing does anything."""
    text = edits.text(_PATH)
    if text is None:
        if not any(edits.is_there(path) for path in _BUSYBOX):
            return None
        text = _BUSYBOX_DEFAULT
    with named(_PATH):
        return inittab.facts(text, _consoles(kernels), _levels(kernels))


def _consoles(kernels: Sequence[KernelLine]) -> tuple[str, ...] | None:
    """The consoles that the kernel uses, those of the first command line; None where there is no command line."""
    found = [kernelargs.consoles(kernel.arguments) for kernel in kernels[:1]]
    return (tuple(console.port for console in found[0]) or ("tty0",)) if found else None


def _levels(kernels: Sequence[KernelLine]) -> frozenset[str]:
    """The runlevels that kernel command lines name."""
    return frozenset({"2", "3", "4", "5"} & {word for kernel in kernels for word in kernelargs.texts(kernel.arguments)})
