"""systemd's part in a serial console: names of units and links, and what the kernel command line tells the generator.

systemd-getty-generator starts a getty on every `console=` that is no virtual terminal, so that a guest with systemd
needs nothing more; unless `systemd.getty_auto=0` switches the generator off, or somebody masked the unit.

The generator: https://www.freedesktop.org/software/systemd/man/latest/systemd-getty-generator.html
Escapes in unit names: https://www.freedesktop.org/software/systemd/man/latest/systemd-escape.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgkit.configtext.kernelargs import Argument
    from imgkit.configtext.serial import SerialConsole

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.")
_FALSE = frozenset({"0", "no", "n", "false", "f", "off"})

TEMPLATE = "serial-getty@.service"


def escape(text: str) -> str:
    """A string as it stands in a unit's name, as `systemd-escape` gives it: "tty/S0" is "tty-S0"."""
    out = []
    for i, byte in enumerate(text.encode("utf-8", "surrogateescape")):
        character = chr(byte)
        if character == "/":
            out.append("-")
        elif character in _PLAIN and not (i == 0 and character == "."):
            out.append(character)
        else:
            out.append(f"\\x{byte:02x}")
    return "".join(out)


def getty_unit(console: SerialConsole) -> str:
    """Name of the unit that asks for a login on the console: serial-getty@ttyS0.service."""
    return TEMPLATE.replace("@", f"@{escape(console.port)}")


def wants_link(console: SerialConsole, units: str = "/lib/systemd/system") -> tuple[str, str]:
    """(path, target) of the link that starts the getty without the generator; `units` is where the guest's units are.

    The link is what `systemctl enable serial-getty@ttyS0` makes.
    """
    return f"/etc/systemd/system/getty.target.wants/{getty_unit(console)}", f"{units}/{TEMPLATE}"


def masks(console: SerialConsole) -> tuple[str, ...]:
    """Paths at which a link to /dev/null keeps the getty from starting."""
    return tuple(f"/etc/systemd/system/{name}" for name in (getty_unit(console), TEMPLATE))


def generator_is_off(arguments: Iterable[Argument]) -> bool:
    """Whether a kernel command line switches the getty generator off; the last `systemd.getty_auto=` decides."""
    values = [argument.value for argument in arguments if argument.name == "systemd.getty_auto"]
    return bool(values) and values[-1] is not None and values[-1].lower() in _FALSE
