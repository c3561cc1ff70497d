"""systemd-boot: loader.conf. It talks on the firmware's console; its kernels are in entries."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootconfig import bls
from imgkit.console.model import KernelLine, Link, LinkKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.console.draft import Draft
    from imgkit.console.model import SerialConsole, Wishes


def enable(draft: Draft, path: str, _console: SerialConsole, wishes: Wishes) -> None:
    """Show the menu as long as is wished."""
    if wishes.timeout is not None:
        draft.edit(path, partial(bls.set_loader_timeout, seconds=wishes.timeout))


def kernels(_draft: Draft, _path: str) -> Iterator[KernelLine]:
    """None here."""
    return iter(())


def links(_draft: Draft, path: str, _console: SerialConsole) -> Iterator[Link]:
    """The firmware decides where the menu is."""
    yield Link(LinkKind.LOADER, True, path, 0, "systemd-boot uses the firmware's console")
