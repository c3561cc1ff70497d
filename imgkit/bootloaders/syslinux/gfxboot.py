"""gfxboot, the menu of older openSUSE and Ubuntu media: it draws pictures only, on the screen.

Without it the menu, or the prompt, of SYSLINUX itself shows.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders.syslinux import config as syslinux
from imgkit.bootloaders.syslinux import loader as extlinux

if TYPE_CHECKING:
    from imgkit.configtext.text import Setting
    from imgkit.treeedits import TreeEdits

_PROGRAM = re.compile(r"(?:\S*/)?gfxboot(?:\.c32|\.com)?(?!\S)", re.IGNORECASE)


def drop(edits: TreeEdits, path: str) -> None:
    """Take gfxboot out of the menus that start at `path`."""
    for file, setting in _settings(edits, path):
        edits.edit(file, partial(syslinux.without, keywords=(setting.name,)))


def line_of(edits: TreeEdits, path: str) -> tuple[str, int] | None:
    """File and line that start gfxboot; None where nothing does."""
    return next(((file, setting.line) for file, setting in _settings(edits, path)), None)


def _settings(edits: TreeEdits, path: str) -> list[tuple[str, Setting]]:
    """The settings that start it: UI, or, in old patched versions, a keyword of its own."""
    return [
        (scoped.file, scoped.setting)
        for menu in extlinux.menus_of(edits, path)
        for scoped in menu.settings
        if scoped.setting.name == "gfxboot" or (scoped.setting.name == "ui" and _PROGRAM.match(scoped.setting.value))
    ]
