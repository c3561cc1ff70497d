"""GRUB legacy as a boot loader: menu.lst, grub.conf.

Other loaders read files of the same name in languages of their own, GRUB4DOS foremost. Such a file says nothing about
the rest of an image: it is named, and it stays as it is.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders import menu_message
from imgkit.bootloaders.grub_legacy import config as grublegacy
from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind, KernelLine
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_FOLDERS = ("/", "/boot", "/boot/grub", "/grub", "/grub4dos")
# The second stages of GRUB legacy, and GRUB4DOS as a boot sector's, DOS's and another loader's program.
_READERS = re.compile(r"stage2|stage2_eltorito|pxegrub|grldr(?:\.\w+)?|grub\.exe", re.IGNORECASE)


def enable(edits: TreeEdits, path: str, console: SerialConsole, options: EnableOptions) -> None:
    """Put menu and kernels on the console."""
    if _facts(edits, path) is not None:
        menu = partial(grublegacy.enable, console=console, recovery=options.recovery, installer=options.installer)
        edits.edit(path, partial(menu, remove=options.removed, timeout=options.timeout))


def edit_arguments(edits: TreeEdits, path: str, edit: Callable[[Arguments], Arguments], *, recovery: bool) -> None:
    """Edit the arguments of each kernel of the menu."""
    if _facts(edits, path) is not None:
        each = partial(grublegacy.edit_arguments, edit=lambda arguments, _kernel: edit(arguments))
        edits.edit(path, partial(each, recovery=recovery))


def kernels(edits: TreeEdits, path: str) -> Iterator[KernelLine]:
    """The command lines of all entries."""
    found = _facts(edits, path)
    for kernel in found.kernels if found else ():
        yield KernelLine(path, kernel.line, kernel.title, kernelargs.new(kernel.arguments), kernel.is_recovery)


def checks(edits: TreeEdits, path: str, console: SerialConsole) -> Iterator[Check]:
    """Where the menu is; for a file of another language, whether anything there reads it."""
    try:
        found = grublegacy.facts(edits.text(path) or "")
    except ConfigError as error:
        reader = _reader(edits)
        message = f"{error.message}; {f'{reader} may read it' if reader else 'no boot loader in the image reads it'}"
        hint = "If it is GRUB4DOS's, add console= to its kernels by hand: imgkit edit." if reader else ""
        yield Check(CheckKind.LOADER, not reader, path, error.line or 0, message, hint)
        return
    shown = found.shows_menu_on(console)
    line = max((setting.line for setting in found.settings if setting.name in ("serial", "terminal")), default=0)
    yield Check(CheckKind.LOADER, shown, path, line, menu_message(console, shown=shown))


def menu_console(edits: TreeEdits, path: str) -> SerialConsole | None:
    """The serial console that the menu is on; None where it is on none."""
    found = _facts(edits, path)
    return found.console() if found else None


def _facts(edits: TreeEdits, path: str) -> grublegacy.GrubLegacyFacts | None:
    """What the file sets; None where it is not GRUB legacy's."""
    try:
        return grublegacy.facts(edits.text(path) or "")
    except ConfigError:
        return None


def _reader(edits: TreeEdits) -> str:
    """The path of a program that reads such files; "" where there is none."""
    for folder in _FOLDERS:
        found = edits.spelled(folder)
        for name in edits.names(found) if found else []:
            if _READERS.fullmatch(name):
                return f"{folder.rstrip('/')}/{name}"
    return ""
