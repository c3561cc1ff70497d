"""/etc/securetty: where root may log in, in releases that have the file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootconfig import securetty
from imgkit.console.model import Link, LinkKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.console.draft import Draft
    from imgkit.console.model import SerialConsole

PATH = "/etc/securetty"


def enable(draft: Draft, console: SerialConsole) -> None:
    """Let root log in on the console."""
    draft.edit(PATH, partial(securetty.enable, console=console))


def links(draft: Draft, console: SerialConsole) -> Iterator[Link]:
    """Whether root may log in on the console."""
    terminals = securetty.facts(draft.text(PATH) or "")
    line = next((setting.line for setting in terminals if setting.name == console.port), 0)
    yield Link(LinkKind.ROOT, bool(line), PATH, line, f"root {'may' if line else 'may not'} log in on {console.port}")
