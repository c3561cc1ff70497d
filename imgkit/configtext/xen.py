"""Xen's own command line, as far as it decides where a serial console leads.

A UART that Xen has set up (`com1=`) or talks on (`console=com1`) is taken from dom0. What dom0 writes to hvc0 goes to
Xen's console, so that the line is reached by hvc0 there, provided that Xen's console is on it.

The options: https://xenbits.xen.org/docs/unstable/misc/xen-command-line.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs
from imgkit.configtext.serial import SerialConsole
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgkit.configtext.kernelargs import Arguments

_PORTS = 2  # Xen drives com1 and com2, and calls nothing else so.


def owns_port(hypervisor: Sequence[str] | None, console: SerialConsole) -> bool:
    """Whether Xen, started with these arguments, takes the console's UART; None: no Xen."""
    port = _port(console)
    return port is not None and any(
        word.startswith(f"{port}=") or (word.startswith("console=") and port in _consoles(word))
        for word in hypervisor or ()
    )


def dom0_console(hypervisor: Sequence[str] | None, console: SerialConsole) -> SerialConsole:
    """The console as the kernel that Xen starts has to name it; the same one where Xen has no part in it."""
    return replace(console, port="hvc0") if owns_port(hypervisor, console) else console


def uses_console(hypervisor: Sequence[str] | None, console: SerialConsole) -> bool:
    """Whether what comes from dom0 reaches the line: Xen leaves the UART alone, or talks on it at the right speed."""
    words = kernelargs.new(hypervisor or ())
    return set_console(words, console) == words


def set_console(arguments: Arguments, console: SerialConsole) -> Arguments:
    """Xen's arguments with its console on the UART, at the console's speed; as they are where it leaves it alone."""
    words, port = kernelargs.texts(arguments), _port(console)
    if port is None or not owns_port(words, console):
        return arguments
    changed = list(arguments)
    last = max((i for i, word in enumerate(words) if word.startswith("console=")), default=None)
    if last is None:
        changed += kernelargs.new([f"console={port},vga"])
    elif port not in _consoles(words[last]):
        changed[last : last + 1] = kernelargs.new([f"console={port},{words[last].partition('=')[2]}"])
    for i, argument in enumerate(arguments):
        speed, comma, rest = (argument.value or "").partition(",")
        if argument.name == port and speed.isdecimal() and speed != str(console.baud):
            changed[i : i + 1] = kernelargs.new([f"{port}={console.baud}{comma}{rest}"])
    return tuple(changed)


def serial_console(hypervisor: Sequence[str] | None) -> SerialConsole | None:
    """The line that dom0's hvc0 leads to; None where Xen's console is on none, or there is no Xen."""
    words = list(hypervisor or ())
    last = next((word for word in reversed(words) if word.startswith("console=")), "")
    port = next((name for name in _consoles(last) if name in ("com1", "com2")), None)
    if port is None:
        return None
    speed = next((word.partition("=")[2].partition(",")[0] for word in words if word.startswith(f"{port}=")), "")
    try:
        return SerialConsole(port=f"ttyS{int(port[3:]) - 1}", baud=int(speed) if speed.isdecimal() else 115200)
    except UsageError:  # a speed that is none
        return None


def _port(console: SerialConsole) -> str | None:
    is_known = console.port.startswith("ttyS") and console.unit < _PORTS
    return f"com{console.unit + 1}" if is_known else None


def _consoles(word: str) -> list[str]:
    """The consoles that a `console=` names; com1H and com1L are halves of a port that a debugger shares."""
    return [name.rstrip("HL") for name in word.partition("=")[2].split(",")]
