"""/etc/inittab: sysvinit, OpenRC, busybox."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootconfig import inittab
from imgkit.console.draft import named
from imgkit.console.model import Link, LinkKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.console.draft import Draft
    from imgkit.console.model import KernelLine, SerialConsole

_PATH = "/etc/inittab"


def enable(draft: Draft, console: SerialConsole, _kernels: Sequence[KernelLine]) -> None:
    """Start a getty on the console."""
    draft.edit(_PATH, partial(inittab.enable, console=console))


def links(draft: Draft, console: SerialConsole, _kernels: Sequence[KernelLine]) -> Iterator[Link]:
    """The getty on the console; and, with the VGA console kept, those on the screen."""
    text = draft.text(_PATH)
    if text is None:
        yield Link(LinkKind.GETTY, False, "", 0, f"no init system that is known here, and no {_PATH}")
        return
    with named(_PATH):
        found = inittab.facts(text)
    entry, ok = found.active(console.port), found.has_getty(console)
    told = f"asks for a login on {console.port}" if ok else f"no getty on {console.port} at {console.baud} baud"
    yield Link(LinkKind.GETTY, ok, _PATH, entry.line if entry else 0, told)
    if console.wants_vga and not found.has_vga_getty():
        yield Link(LinkKind.GETTY, False, _PATH, 0, "no getty on the screen's terminals")
