"""What recipe and status speak of: wishes, kernel command lines, links of the chain."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from imgkit.bootconfig.serial import SerialConsole

if TYPE_CHECKING:
    from imgkit.bootconfig.kernelargs import Arguments

__all__ = ["KernelLine", "Link", "LinkKind", "SerialConsole", "Status", "Wishes"]

_QUIET = ("quiet", "rhgb", "splash")
_GRAPHICS = ("vga",)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What else is wanted beside the console.

    `recovery` changes the recovery entries too, `quiet_off` makes the kernel speak (quiet, rhgb and splash go), and
    `timeout` is how long the boot menu shows, in seconds; None leaves it alone. `installer` says that the menus are
    those of an installer: there "---" marks what the installed system inherits, and graphics modes have to go.
    """

    recovery: bool = False
    quiet_off: bool = False
    timeout: int | None = None
    installer: bool = False

    @property
    def removed(self) -> tuple[str, ...]:
        """Kernel arguments to take out."""
        return (*(_QUIET if self.quiet_off else ()), *(_GRAPHICS if self.installer else ()))


@dataclass(frozen=True, slots=True)
class KernelLine:
    """One kernel command line: its file and line (0: the file has none), the entry's title, the arguments.

    Where the line refers to GRUB's `kernelopts`, what that stands for is among the arguments.
    """

    file: str
    line: int
    title: str
    arguments: Arguments
    is_recovery: bool


class LinkKind(StrEnum):
    """The links of the chain."""

    LOADER = "boot loader"
    DEFAULT = "default entry"
    TIMEOUT = "timeout"
    KERNEL = "kernel"
    GETTY = "login prompt"
    ROOT = "root login"
    KEPT = "persistence"


@dataclass(frozen=True, slots=True)
class Link:
    """One link: whether it holds, the file that decides and its line (0: the file as a whole), and why."""

    kind: LinkKind
    ok: bool
    file: str
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Status:
    """The whole chain for one serial console."""

    console: SerialConsole
    links: tuple[Link, ...]

    @property
    def enabled(self) -> bool:
        """Whether every link holds."""
        return all(link.ok for link in self.links)
