"""gfxboot, the menu of older openSUSE and Ubuntu media: it draws pictures only, on the screen.

Without it the menu, or the prompt, of SYSLINUX itself shows.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders.syslinux import config as syslinux
from imgkit.bootloaders.syslinux.chains import menus_of
from imgkit.configtext.checks import Check, CheckKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.text import Setting
    from imgkit.treeedits import TreeEdits

_PROGRAM = re.compile(r"(?:\S*/)?gfxboot(?:\.c32|\.com)?(?!\S)", re.IGNORECASE)


def drop(edits: TreeEdits, path: str) -> None:
    """Take gfxboot out of the menus that start at `path`."""
    for file, setting in _settings(edits, path):
        edits.edit(file, partial(syslinux.without, keywords=(setting.name,)))


def checks(edits: TreeEdits, path: str) -> Iterator[Check]:
    """What starts gfxboot first, which no serial line shows; none where nothing does."""
    for file, setting in _settings(edits, path)[:1]:
        yield Check(CheckKind.LOADER, False, file, setting.line, "gfxboot shows its menu only on the screen")


def _settings(edits: TreeEdits, path: str) -> list[tuple[str, Setting]]:
    """The settings that start it: UI, or, in old patched versions, a keyword of its own."""
    return [
        (scoped.file, scoped.setting)
        for menu in menus_of(edits, path)
        for scoped in menu.settings
        if scoped.setting.name == "gfxboot" or (scoped.setting.name == "ui" and _PROGRAM.match(scoped.setting.value))
    ]
