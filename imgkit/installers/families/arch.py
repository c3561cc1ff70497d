"""Arch Linux's medium: a live system, in which archinstall is started, or a script that the kernel's arguments name.

https://gitlab.archlinux.org/archlinux/mkinitcpio/mkinitcpio-archiso/-/blob/master/docs/README.bootparams
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.installers import Family, InstallerFamily
from imgkit.installers.trees import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.installers.trees import InstallTree


def _answered(_tree: InstallTree | None, answers: str, _is_url: bool) -> tuple[str, ...]:
    """A script, by its URL or its path in the live system."""
    return (f"script={answers}",)


def _layouts(machine: str, location: str) -> Iterator[Layout]:
    """The medium's folder `arch`, or what is below it."""
    for top in ("arch/", ""):
        folder = f"{top}boot/{machine}/"
        words = ["archisobasedir=arch"]
        if "://" in location:
            above = location if top else location.rstrip("/").rpartition("/")[0]
            words += [f"archiso_http_srv={above.rstrip('/')}/", "ip=dhcp"]
        for initrd in ("initramfs-linux.img", "archiso.img"):
            for kernel in ("vmlinuz-linux", "vmlinuz"):
                yield Layout(Family.ARCH, "Arch Linux", machine, folder + kernel, folder + initrd, tuple(words))


FAMILY = InstallerFamily(
    marks=("/arch/version", "/arch/boot", "/loader/entries/01-archiso-linux.conf"),
    layouts=_layouts,
    answered=_answered,
)
