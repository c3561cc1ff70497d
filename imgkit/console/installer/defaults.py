"""What boots by itself, whichever boot loader shows the menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.console.installer import grubmenu, syslinuxmenus, systemdbootmenu
from imgkit.guest.bootfiles import Loader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.console.draft import Draft
    from imgkit.console.installer.bootmenu import BootMenu
    from imgkit.guest.bootfiles import BootFile

_MODULES = {Loader.GRUB: grubmenu, Loader.EXTLINUX: syslinuxmenus, Loader.SYSTEMD_BOOT: systemdbootmenu}


def boot_menus(draft: Draft, boot: BootFile) -> Iterator[BootMenu]:
    """The menus that a configuration shows; none for a boot loader whose default is left alone."""
    module = _MODULES.get(boot.loader)
    if module is not None:
        yield from module.read(draft, boot.path)


def improve(draft: Draft, boot: BootFile) -> None:
    """Have what fits a serial line boot by itself, where the menus of a configuration would start something else."""
    module = _MODULES.get(boot.loader)
    if module is syslinuxmenus:
        syslinuxmenus.drop_gfxboot(draft, boot.path)
    for menu in list(boot_menus(draft, boot)):
        better = menu.better_default()
        if module is not None and better is not None:
            module.set_default(draft, menu, better)
