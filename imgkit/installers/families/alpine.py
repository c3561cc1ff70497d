"""Alpine Linux's medium: a live system, in which setup-alpine is started.

https://wiki.alpinelinux.org/wiki/Netboot
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imgkit.installers import Family
from imgkit.installers.trees import Layout
from imgkit.remote.url import below

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.installers.trees import Finder, InstallTree

MARKS = ("/.alpine-release", "/apks")
MARK_TEXTS: dict[str, re.Pattern[str]] = {}
PREFIX = ""
FIRST_PAGE = r"login: "
ANSWERS = ""
FINDERS: tuple[Finder, ...] = ()
KEPT_BEHIND = ""
_FLAVORS = ("lts", "virt", "standard", "rpi")
_RELEASE = re.compile(r"/(v[0-9][0-9.]*|edge)/releases/([a-z0-9_]+)(?:/|$)")
_MODULES = "modules=loop,squashfs,sd-mod,usb-storage"


def in_text(arguments: Arguments) -> Arguments:
    """It comes up with a login prompt, and needs no more."""
    return arguments


def arguments(_tree: InstallTree | None, _given: set[str]) -> list[str]:
    """None beside those of the tree."""
    return []


def answered(_tree: InstallTree | None, _answers: str, *, is_url: bool) -> tuple[str, ...]:
    """None: setup-alpine takes its answer file as its own argument."""
    del is_url
    return ()


def on_medium(_kind: str, _path: str, _label: str) -> tuple[str, ...]:
    """None: it has no answer file that it looks for on its medium."""
    return ()


def layouts(machine: str, location: str) -> Iterator[Layout]:
    """Netboot folders, and the folder `boot` of a medium."""
    for folder in ("", "boot/", "netboot/"):
        for flavor in _FLAVORS:
            words = [_MODULES]
            if "://" in location:
                words += [f"modloop={below(location, f'{folder}modloop-{flavor}')}", "ip=dhcp"]
                release = _RELEASE.search(location)
                if release is not None:
                    words.append(f"alpine_repo={location[: release.start()]}/{release[1]}/main")
            kernel, initrd = f"{folder}vmlinuz-{flavor}", f"{folder}initramfs-{flavor}"
            yield Layout(Family.ALPINE, "Alpine Linux", machine, kernel, initrd, tuple(words))
