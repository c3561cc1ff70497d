"""Alpine Linux's medium: a live system, in which setup-alpine is started. That takes an answer file as its argument.

https://wiki.alpinelinux.org/wiki/Netboot
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imgkit.installers import Family, InstallerFamily
from imgkit.installers.trees import Layout
from imgkit.remote.url import below

if TYPE_CHECKING:
    from collections.abc import Iterator

_FLAVORS = ("lts", "virt", "standard", "rpi")
_RELEASE = re.compile(r"/(v[0-9][0-9.]*|edge)/releases/([a-z0-9_]+)(?:/|$)")
_MODULES = "modules=loop,squashfs,sd-mod,usb-storage"


def _layouts(machine: str, location: str) -> Iterator[Layout]:
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


FAMILY = InstallerFamily(marks=("/.alpine-release", "/apks"), layouts=_layouts)
