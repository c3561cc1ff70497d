"""/etc/securetty: where root may log in, in releases that have the file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.accounts.securetty import config as securetty
from imgkit.configtext.checks import Check, CheckKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

PATH = "/etc/securetty"


def enable(edits: TreeEdits, console: SerialConsole) -> None:
    """Let root log in on the console."""
    edits.edit(PATH, partial(securetty.enable, console=console))


def checks(edits: TreeEdits, console: SerialConsole) -> Iterator[Check]:
    """Whether root may log in on the console."""
    terminals = securetty.facts(edits.text(PATH) or "")
    line = next((setting.line for setting in terminals if setting.name == console.port), 0)
    yield Check(CheckKind.ROOT, bool(line), PATH, line, f"root {'may' if line else 'may not'} log in on {console.port}")
