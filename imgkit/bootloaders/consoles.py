"""Which serial console an image suggests: the one of its kernels, else of its menus, else the usual one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast

from imgkit import bootloaders as loaders
from imgkit.bootloaders.files import Loader
from imgkit.configtext.checks import BARE_RATE, console_in_use
from imgkit.configtext.serial import FIRMWARES_OWN, default_console
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imgkit.bootloaders.files import BootFile
    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

# Boot loaders that drive serial ports themselves, by their own numbers: those of the kernel's ttyS.
_DRIVE_PORTS = (Loader.GRUB, Loader.GRUB_LEGACY, Loader.EXTLINUX)


class _SerialMenu(Protocol):
    """What the module `loader` of such a boot loader has beside its contract."""

    def menu_console(self, edits: TreeEdits, path: str, /) -> SerialConsole | None:
        """The serial console that the menu shows on; None where it shows on none."""
        ...


def suggested(
    edits: TreeEdits, boots: Iterable[BootFile], kernels: Sequence[KernelLine], arch: str, *, bare: int = BARE_RATE
) -> SerialConsole:
    """The console that is in use, or the usual one for the architecture. `bare` is the speed of a bare `console=`."""
    boots = tuple(boots)
    usual = default_console(arch)
    if any(boot.loader is Loader.RASPBERRY_PI for boot in boots):
        usual = replace(usual, port=f"{FIRMWARES_OWN}0")
    used = console_in_use(kernels, bare=bare)
    if used is None and usual.port.startswith("ttyS"):
        used = next(filter(None, (_of_menu(edits, boot) for boot in boots)), None)
    return used or usual


def _of_menu(edits: TreeEdits, boot: BootFile) -> SerialConsole | None:
    if boot.loader not in _DRIVE_PORTS:
        return None
    module = cast("_SerialMenu", loaders.module_for(boot))
    try:
        return module.menu_console(edits, boot.path)
    except ConfigError:  # told by those who read it
        return None
