"""Arch Linux's medium: a live system, in which archinstall is started, or a script that the kernel's arguments name.

https://gitlab.archlinux.org/archlinux/mkinitcpio/mkinitcpio-archiso/-/blob/master/docs/README.bootparams
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.installers import Family
from imgkit.installers.trees import Layout

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.installers.trees import Finder, InstallTree

MARKS = ("/arch/version", "/arch/boot", "/loader/entries/01-archiso-linux.conf")
MARK_TEXTS: dict[str, re.Pattern[str]] = {}
PREFIX = ""
FIRST_PAGE = r"login: "
ANSWERS = ""
FINDERS: tuple[Finder, ...] = ()
KEPT_BEHIND = ""


def in_text(arguments: Arguments) -> Arguments:
    """It comes up with a login prompt, and needs no more."""
    return arguments


def arguments(_tree: InstallTree | None, _given: set[str]) -> list[str]:
    """None beside those of the tree."""
    return []


def answered(_tree: InstallTree | None, answers: str, *, is_url: bool) -> tuple[str, ...]:
    """A script, by its URL or its path in the live system."""
    del is_url
    return (f"script={answers}",)


def on_medium(_kind: str, _path: str, _label: str) -> tuple[str, ...]:
    """None: it has no answer file that it looks for on its medium."""
    return ()


def layouts(machine: str, location: str) -> Iterator[Layout]:
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
