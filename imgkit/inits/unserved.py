"""Init systems that are known by name only, and those that are not known at all: named, and left as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.configtext.checks import Check, CheckKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

# The file that shows which one it is, its name, and how its own configuration says what is wanted.
_KNOWN = (
    ("/etc/finit.conf", "Finit", "Add the line `tty [2345] /dev/{port} {baud} {terminal}` to /etc/finit.d/getty.conf"),
    ("/etc/finit.d", "Finit", "Add the line `tty [2345] /dev/{port} {baud} {terminal}` to /etc/finit.d/getty.conf"),
    ("/etc/s6-rc", "s6-rc", "Add a longrun that runs `agetty -L {port} {baud} {terminal}`, and compile the database"),
    ("/etc/s6-linux-init", "s6", "Add a service whose run script is `exec agetty -L {port} {baud} {terminal}`"),
    ("/etc/s6", "s6", "Add a service whose run script is `exec agetty -L {port} {baud} {terminal}`"),
    ("/gnu/store", "GNU Shepherd", 'Add (agetty-service-type) with (tty "{port}") to the system declaration'),
)


def unwanted(_console: SerialConsole) -> tuple[str, ...]:
    """None that is known of."""
    return ()


def serves(_edits: TreeEdits, _console: SerialConsole, _kernels: Sequence[KernelLine]) -> bool:
    """Nobody that is known of."""
    return False


def enable(_edits: TreeEdits, _console: SerialConsole, _kernels: Sequence[KernelLine]) -> None:
    """Leave it as it is; the status names it."""


def autologin(_edits: TreeEdits, _console: SerialConsole, _kernels: Sequence[KernelLine], _user: str) -> bool:
    """It is not known how."""
    return False


def autologin_user(_edits: TreeEdits, _console: SerialConsole, _kernels: Sequence[KernelLine]) -> str:
    """It is not known who."""
    return ""


def checks(edits: TreeEdits, console: SerialConsole, _kernels: Sequence[KernelLine]) -> Iterator[Check]:
    """One that fails, with the way out."""
    found = next((known for known in _KNOWN if edits.is_there(known[0])), None)
    if found is not None:
        file, name, way = found
        told = f"{name} starts the system, whose login prompts are neither read nor changed"
        hint = f"{way.format(port=console.port, baud=console.baud, terminal=console.terminal)}, in the guest."
    else:
        file, told = "/sbin/init", "unknown init system, whose login prompts are neither read nor changed"
        hint = f"Have it start a getty in the guest: /sbin/getty -L {console.port} {console.baud} {console.terminal}."
    yield Check(CheckKind.GETTY, False, file, 0, told, hint)
