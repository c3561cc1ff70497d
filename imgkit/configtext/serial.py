"""The serial console to enable, and how the kernel, GRUB and getty each spell it.

The kernel's spelling: https://docs.kernel.org/admin-guide/serial-console.html
GRUB's: https://www.gnu.org/software/grub/manual/grub/html_node/serial.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from imgkit.errors import UsageError

FIRMWARES_OWN = "serial"
"""The name, without its number, for which the Raspberry Pi's firmware puts that of a UART, by the model."""

# A UART driver's port (ttyS, ttyAMA, ttyUSB, ttymxc, ...), or a paravirtual or mainframe console without line speed.
_PORT = re.compile(r"(?:tty[A-Z]{1,4}|tty(?:mxc|sclp)|hvc|hvsi|xvc)\d{1,3}|serial[01]")
_WITHOUT_SPEED = re.compile(r"(?:hvc|hvsi|xvc|ttysclp)\d+")
_TERMINAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,30}")

# The rates that termios knows; getty refuses any other.
_RATES = (
    *(300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 500000, 576000, 921600),
    *(1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000),
)
_PARITIES = {"n": "no", "o": "odd", "e": "even"}

# What Linux calls the first serial port of QEMU's usual machine for each architecture.
_PORTS = {"aarch64": "ttyAMA0", "armv7l": "ttyAMA0", "ppc64": "hvc0", "ppc64le": "hvc0", "s390x": "ttysclp0"}

# GRUB's ns8250 driver knows the four ports whose addresses the BIOS lists.
_GRUB_UNITS = 4


@dataclass(frozen=True, slots=True)
class SerialConsole:
    """A serial console.

    `port` is the kernel's device name without /dev/. `baud` is in bits per second, `parity` is "n", "o" or "e".
    `terminal` is a terminfo name, for getty. With `keep_vga` the VGA console goes on working beside the serial one.
    Raises `UsageError` for a value that the kernel, GRUB or getty would not take.
    """

    port: str = "ttyS0"
    baud: int = 115200
    parity: str = "n"
    data_bits: int = 8
    stop_bits: int = 1
    terminal: str = "vt220"
    keep_vga: bool = True

    def __post_init__(self) -> None:
        if not _PORT.fullmatch(self.port):
            raise UsageError(
                f"not a serial port: {self.port!r}", hint="Write ttyS0, ttyAMA0, hvc0, ttysclp0 or the like."
            )
        if self.baud not in _RATES:
            raise UsageError(f"not a baud rate: {self.baud}", hint=f"Choose one of {', '.join(map(str, _RATES))}.")
        if self.parity not in _PARITIES:
            raise UsageError(f"not a parity: {self.parity!r}", hint="Choose n (none), o (odd) or e (even).")
        if self.data_bits not in (7, 8):
            raise UsageError(f"not a number of data bits: {self.data_bits}", hint="Choose 7 or 8.")
        if self.stop_bits not in (1, 2):
            raise UsageError(f"not a number of stop bits: {self.stop_bits}", hint="Choose 1 or 2.")
        if not _TERMINAL.fullmatch(self.terminal):
            raise UsageError(f"not a terminal type: {self.terminal!r}", hint="Give a terminfo entry, such as vt220.")

    @property
    def has_speed(self) -> bool:
        """Whether the port is a UART, for which a baud rate means something."""
        return not _WITHOUT_SPEED.fullmatch(self.port)

    @property
    def unit(self) -> int:
        """Number of the port among those of its driver: 1 for ttyS1."""
        return int(self.port.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))

    @property
    def wants_vga(self) -> bool:
        """Whether the kernel is to use the VGA console too; s390x, where ttysclp lives, has none."""
        return self.keep_vga and not self.port.startswith("ttysclp")

    def kernel_argument(self) -> str:
        """The `console=` argument of this port. The kernel has no spelling for stop bits."""
        if not self.has_speed:
            return f"console={self.port}"
        return f"console={self.port},{self.baud}{self.parity}{self.data_bits}"

    def kernel_arguments(self) -> tuple[str, ...]:
        """All `console=` arguments, this port's last, because the last one becomes /dev/console."""
        return ("console=tty0", self.kernel_argument()) if self.wants_vga else (self.kernel_argument(),)

    def grub_serial_command(self) -> str | None:
        """GRUB's command that sets the port up, or None where GRUB has no driver for it.

        Without one (ttyAMA, hvc, ttysclp), GRUB runs on firmware whose own console, GRUB's terminal `console`, is
        on the serial line already.
        """
        if not self.port.startswith("ttyS") or self.unit >= _GRUB_UNITS:
            return None
        line = f"--word={self.data_bits} --parity={_PARITIES[self.parity]} --stop={self.stop_bits}"
        return f"serial --unit={self.unit} --speed={self.baud} {line}"

    def grub_terminals(self) -> tuple[str, ...]:
        """GRUB's terminals to use for input and output, in order."""
        if self.grub_serial_command() is None:
            return ("console",)
        return ("serial", "console") if self.keep_vga else ("serial",)


def default_console(arch: str) -> SerialConsole:
    """The console for a machine of this architecture (`uname -m`); ttyS0 where nothing else is known."""
    return SerialConsole(port=_PORTS.get(arch, "ttyS0"))
