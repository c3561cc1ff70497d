"""One module for each generator of boot loader configuration; only those that a guest has are imported."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.console.draft import Draft
    from imgkit.console.model import Link, SerialConsole, Wishes

# The file by which each is known to be in use.
_MODULES = {
    "/etc/default/grub": "grub",
    "/etc/kernel/cmdline": "kernelinstall",
    "/etc/default/u-boot": "extlinux",
    "/etc/default/extlinux": "extlinux",
    "/etc/update-extlinux.conf": "extlinux",
    "/usr/sbin/u-boot-update": "extlinux",
}


class KeeperModule(Protocol):
    """What each module offers."""

    def enable(self, draft: Draft, console: SerialConsole, wishes: Wishes) -> None:
        """Have the generator's next run keep the console."""
        ...

    def links(self, draft: Draft, console: SerialConsole) -> Iterator[Link]:
        """Whether it will."""
        ...


def modules_for(draft: Draft) -> list[KeeperModule]:
    """The modules for the generators that a system has."""
    names = {name: None for path, name in _MODULES.items() if draft.is_there(path)}
    return [cast("KeeperModule", import_module(f"{__name__}.{name}")) for name in names]
