"""What boots by itself, whichever boot loader shows the menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.bootloaders.files import Loader
from imgkit.bootloaders.grub2 import menu as grubmenu
from imgkit.bootloaders.syslinux import menu as syslinuxmenus
from imgkit.bootloaders.systemd_boot import menu as systemdbootmenu

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.bootloaders.bootmenu import BootMenu
    from imgkit.bootloaders.files import BootFile
    from imgkit.treeedits import TreeEdits

_MODULES = {Loader.GRUB: grubmenu, Loader.EXTLINUX: syslinuxmenus, Loader.SYSTEMD_BOOT: systemdbootmenu}


def boot_menus(edits: TreeEdits, boot: BootFile) -> Iterator[BootMenu]:
    """The menus that a configuration shows; none for a boot loader whose default is left alone."""
    module = _MODULES.get(boot.loader)
    if module is not None:
        yield from module.read(edits, boot.path)


def improve(edits: TreeEdits, boot: BootFile) -> None:
    """Have what fits a serial line boot by itself, where the menus of a configuration would start something else."""
    module = _MODULES.get(boot.loader)
    if module is syslinuxmenus:
        syslinuxmenus.drop_gfxboot(edits, boot.path)
    for menu in list(boot_menus(edits, boot)):
        better = menu.better_default()
        if module is not None and better is not None:
            module.set_default(edits, menu, better)
