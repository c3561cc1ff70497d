"""/etc/inittab: sysvinit, OpenRC, busybox."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.configtext.checks import Check, CheckKind
from imgkit.inits.inittab import config as inittab
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_PATH = "/etc/inittab"


def enable(edits: TreeEdits, console: SerialConsole, _kernels: Sequence[KernelLine]) -> None:
    """Start a getty on the console."""
    edits.edit(_PATH, partial(inittab.enable, console=console))


def checks(edits: TreeEdits, console: SerialConsole, _kernels: Sequence[KernelLine]) -> Iterator[Check]:
    """The getty on the console; and, with the VGA console kept, those on the screen."""
    text = edits.text(_PATH)
    if text is None:
        yield Check(CheckKind.GETTY, False, "", 0, f"no init system that is known here, and no {_PATH}")
        return
    with named(_PATH):
        found = inittab.facts(text)
    entry, ok = found.active(console.port), found.has_getty(console)
    told = f"asks for a login on {console.port}" if ok else f"no getty on {console.port} at {console.baud} baud"
    yield Check(CheckKind.GETTY, ok, _PATH, entry.line if entry else 0, told)
    if console.wants_vga and not found.has_vga_getty():
        yield Check(CheckKind.GETTY, False, _PATH, 0, "no getty on the screen's terminals")
