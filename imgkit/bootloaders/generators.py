"""One module for each generator of boot loader configuration; only those that a guest has are imported."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.checks import Check
    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

# The file by which each is known to be in use.
_PACKAGES = {
    "/etc/default/grub": "grub2",
    "/etc/kernel/cmdline": "bls",
    "/usr/lib/kernel/cmdline": "bls",
    "/etc/zipl.conf": "zipl",
    "/nix/var/nix/profiles/system": "nixos",
    "/etc/default/u-boot": "syslinux",
    "/etc/default/extlinux": "syslinux",
    "/etc/update-extlinux.conf": "syslinux",
    "/usr/sbin/u-boot-update": "syslinux",
}


class GeneratorModule(Protocol):
    """What each module offers."""

    def enable(self, edits: TreeEdits, console: SerialConsole, options: EnableOptions) -> None:
        """Have the generator's next run keep the console."""
        ...

    def checks(self, edits: TreeEdits, console: SerialConsole) -> Iterator[Check]:
        """Whether it will."""
        ...


def modules_for(edits: TreeEdits) -> list[GeneratorModule]:
    """The modules for the generators that a system has."""
    names = {name: None for path, name in _PACKAGES.items() if edits.is_there(path)}
    return [cast("GeneratorModule", import_module(f"imgkit.bootloaders.{name}.generator")) for name in names]
