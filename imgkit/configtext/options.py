"""What can be asked for beside the serial console itself."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

_QUIET = ("quiet", "rhgb", "splash")
_GRAPHICS = ("vga",)


_FOUND = ("installer", "unwanted")  # what an image is like, not what somebody asks for


class DefaultEntry(StrEnum):
    """What `--default` can say beside an entry's title."""

    KEEP = "keep"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class EnableOptions:
    """What else is wanted beside the console.

    `recovery` changes the recovery entries too, `quiet_off` makes the kernel speak (quiet, rhgb and splash go), and
    `timeout` is how long the boot menu shows, in seconds; None leaves it alone. `installer` says that the menus are
    those of an installer: there "---" marks what the installed system inherits, and graphics modes have to go.

    `default` is what an installer's menu boots by itself: "keep" changes neither entry nor timeout, "text" makes the
    text twin of a graphical installer the default and starts an installer that asks after 10 seconds where the menu
    would wait without end, and an entry's title makes that entry the default.
    `unwanted` are patterns of kernel arguments that keep the console from working, as the init system names them.
    `strict` refuses an image whose console can be enabled in part only.
    """

    recovery: bool = False
    quiet_off: bool = False
    timeout: int | None = None
    installer: bool = False
    default: str = DefaultEntry.TEXT
    unwanted: tuple[str, ...] = ()
    strict: bool = False

    def asked(self) -> dict[str, bool | int | str]:
        """What was asked for, by name: all that is not the default."""
        named = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return {name: value for name, value, default in named if value != default and name not in _FOUND}

    @property
    def removed(self) -> tuple[str, ...]:
        """Kernel arguments to take out."""
        return (*(_QUIET if self.quiet_off else ()), *(_GRAPHICS if self.installer else ()), *self.unwanted)
