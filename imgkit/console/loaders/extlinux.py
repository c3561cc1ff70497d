"""EXTLINUX and its kin, U-Boot's reading of extlinux.conf among them; files that are included belong to it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootconfig import kernelargs, syslinux
from imgkit.console.loaders import menu_message
from imgkit.console.model import KernelLine, Link, LinkKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.console.draft import Draft
    from imgkit.console.model import SerialConsole, Wishes


def enable(draft: Draft, path: str, console: SerialConsole, wishes: Wishes) -> None:
    """Put menu and kernels on the console, in the file and in all that it includes."""
    menu = partial(syslinux.enable, console=console, recovery=wishes.recovery, remove=wishes.removed)
    for file, _ in list(_files(draft, path)):
        draft.edit(file, partial(menu, timeout=wishes.timeout, included=file != path))


def kernels(draft: Draft, path: str) -> Iterator[KernelLine]:
    """The command lines of all labels that boot Linux."""
    for file, found in _files(draft, path):
        for label in found.labels:
            if label.is_linux:
                line, arguments = label.append_line or label.line, kernelargs.new(label.arguments)
                yield KernelLine(file, line, label.title or label.name, arguments, label.is_recovery)


def links(draft: Draft, path: str, console: SerialConsole) -> Iterator[Link]:
    """Where the menu is."""
    found = syslinux.facts(draft.text(path) or "")
    shown, serial = found.shows_menu_on(console), found.last("serial")
    yield Link(LinkKind.LOADER, shown, path, serial.line if serial else 0, menu_message(console, shown=shown))


def _files(draft: Draft, path: str) -> Iterator[tuple[str, syslinux.SyslinuxFacts]]:
    """A configuration and all that it includes, in reading order. What is missing is passed over."""
    seen: set[str] = set()
    pending = [path]
    while pending:
        file = pending.pop(0)
        text = draft.text(file) if file not in seen else None
        seen.add(file)
        if text is None:
            continue
        found = syslinux.facts(text)
        yield file, found
        folder = file.rpartition("/")[0]
        names = [setting.value for setting in found.includes if setting.value]
        pending = [name if name.startswith("/") else f"{folder}/{name}" for name in names] + pending
