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
TARGET = "getty.target"
GENERATOR = "systemd-getty-generator"


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


def masking_arguments(console: SerialConsole) -> tuple[str, ...]:
    """The kernel arguments that keep the getty from starting, as systemd-debug-generator(8) has them."""
    names = (getty_unit(console), TEMPLATE, getty_unit(console).removesuffix(".service"), TARGET)
    return tuple(f"systemd.mask={name}" for name in names)


def generator_is_off(arguments: Iterable[Argument]) -> bool:
    """Whether a kernel command line switches the getty generator off; the last `systemd.getty_auto=` decides.

    What the kernel does not know it passes to systemd as its environment: SYSTEMD_GETTY_AUTO.
    """
    names = ("systemd.getty_auto", "SYSTEMD_GETTY_AUTO")
    values = [argument.value for argument in arguments if argument.name in names]
    return bool(values) and values[-1] is not None and values[-1].lower() in _FALSE


# The words that kernel-command-line(7) lists.
_WORDS = {"1": "rescue.target", "s": "rescue.target", "S": "rescue.target", "single": "rescue.target"}
_WORDS |= {"rescue": "rescue.target", "emergency": "emergency.target", "-b": "emergency.target"}


def unit_to_start(arguments: Iterable[Argument]) -> str:
    """The unit that a kernel command line has systemd start: `systemd.unit=` or a runlevel; "" for the default one."""
    unit = ""
    for argument in arguments:
        if argument.name == "systemd.unit" and argument.value:
            unit = argument.value if "." in argument.value else f"{argument.value}.service"
        elif argument.text in ("2", "3", "4", "5"):
            unit = f"runlevel{argument.text}.target"
        else:
            unit = _WORDS.get(argument.text, unit)
    return unit
