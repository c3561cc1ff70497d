"""The menu of systemd-boot: what boots by itself, and how that is changed.

loader.conf names an entry's file, in which it may use the wildcards of a shell. Without a name it is the first.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders.bls import config as bls
from imgkit.bootloaders.bootmenu import BootMenu, Choice, number
from imgkit.configtext import kernelargs
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.treeedits import TreeEdits


def read(edits: TreeEdits, path: str) -> Iterator[BootMenu]:
    """The menu whose loader.conf is at `path`, if it has entries."""
    settings = {setting.name: setting for setting in bls.loader_facts(edits.text(path) or "")}
    choices = tuple(_choices(edits, f"{path.rpartition('/')[0]}/entries"))
    wanted, timer = settings.get("default"), settings.get("timeout")
    named_so = [choice for choice in choices if wanted and _matches(choice, wanted.value)]
    if choices:
        yield BootMenu(
            file=path,
            choices=choices,
            default=next(iter(named_so), choices[0]),
            seconds=0 if timer is None or timer.value == "menu-hidden" else number(timer.value),
            timer=(path, timer.line if timer else 0),
        )


def set_default(edits: TreeEdits, menu: BootMenu, choice: Choice) -> None:
    """Have another entry boot by itself."""
    edits.edit(menu.file, partial(bls.set_loader_value, key="default", value=choice.name))


def set_timeout(edits: TreeEdits, menu: BootMenu, seconds: int) -> None:
    """Have the menu wait for `seconds`."""
    edits.edit(menu.file, partial(bls.set_loader_timeout, seconds=seconds))


def _choices(edits: TreeEdits, folder: str) -> Iterator[Choice]:
    for name in edits.names(folder):
        if name.lower().endswith(".conf"):
            file = f"{folder}/{name}"
            with named(file):
                entry = bls.facts(edits.text(file) or "")
            yield Choice(
                file=file,
                line=entry.line,
                title=entry.title,
                name=name,
                kernel=entry.linux if kernelargs.is_linux(entry.linux) else "",
                arguments=entry.arguments,
                is_recovery=entry.is_recovery,
            )


def _matches(choice: Choice, pattern: str) -> bool:
    return fnmatchcase(choice.name, pattern) or fnmatchcase(choice.name.removesuffix(".conf"), pattern)
