"""Install trees that carry no description: folders for network booting, as people unpack or mirror them.

Debian's and Ubuntu's netboot folders and mini.iso: https://www.debian.org/releases/stable/amd64/ch04s05
Ubuntu's since 20.04, which load an ISO: https://documentation.ubuntu.com/server/how-to/installation/how-to-netboot-the-server-installer-on-amd64/
Arch Linux: https://gitlab.archlinux.org/archlinux/mkinitcpio/mkinitcpio-archiso/-/blob/master/docs/README.bootparams
Alpine Linux: https://wiki.alpinelinux.org/wiki/Netboot

What the kernel has to hear to find the rest of its system goes into `InstallTree.arguments`.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.location.model import InstallTree, TreeFamily, architecture_name
from imgkit.location.probe import text
from imgkit.location.source import below

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.location.source import Source

_DEBIAN_NAMES = {"x86_64": "amd64", "i686": "i386", "aarch64": "arm64", "ppc64le": "ppc64el", "armv7l": "armhf"}
_NOWHERE = "imgkit-asks-for-what-is-not-there"
_ALPINE_FLAVORS = ("lts", "virt", "standard", "rpi")
_ALPINE_RELEASE = re.compile(r"/(v[0-9][0-9.]*|edge)/releases/([a-z0-9_]+)(?:/|$)")
_ALPINE_MODULES = "modules=loop,squashfs,sd-mod,usb-storage"
# Menus in which Ubuntu's netboot folders name the ISO that their kernel loads.
_UBUNTU_MENUS = ("grub/grub.cfg", "pxelinux.cfg/default")
_UBUNTU_ISO = re.compile(r"(?<![\w-])((?:iso-)?url=https?://[^\s\"';]+\.iso)(?![^\s])")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a family keeps a kernel and an initial RAM disk, for which machine, and the machine-independent rest."""

    family: TreeFamily
    name: str
    machine: str
    kernel: str
    initrd: str
    arguments: tuple[str, ...] = ()


def find_bare(source: Source, location: str, architecture: str | None) -> InstallTree | None:
    """The tree of a netboot folder or a small ISO; None where no kernel lies at any of the usual places."""
    if source.size(_NOWHERE) is not None:
        return None  # a server that answers everything with a page for people
    machines = (
        [architecture] if architecture else list(dict.fromkeys((architecture_name(platform.machine()), "x86_64")))
    )
    for machine in machines:
        for layout in _layouts(machine, location):
            if source.size(layout.kernel) is not None and source.size(layout.initrd) is not None:
                return _described(source, location, layout)
    return None


def _described(source: Source, location: str, layout: _Layout) -> InstallTree:
    is_live = layout.family is TreeFamily.UBUNTU and layout.initrd.endswith("initrd")
    iso = _ubuntu_iso(source) if is_live else ()
    return InstallTree(
        location,
        layout.family,
        layout.name,
        "",
        layout.machine,
        layout.kernel,
        layout.initrd,
        arguments=layout.arguments + iso,
        needs_iso=is_live,
    )


def _layouts(machine: str, location: str) -> Iterator[_Layout]:
    """From the most telling to the least: "linux" and "initrd.gz" alone say little."""
    debian = _DEBIAN_NAMES.get(machine, machine)
    for kin, name in ((TreeFamily.DEBIAN, "Debian"), (TreeFamily.UBUNTU, "Ubuntu")):
        for above in ("", f"netboot/{debian}/", "netboot/"):
            folder = f"{above}{kin}-installer/{debian}/"
            yield from (_Layout(kin, name, machine, f"{folder}{k}", f"{folder}initrd.gz") for k in ("linux", "vmlinux"))
    for folder in (f"{debian}/", f"netboot/{debian}/", ""):
        yield _Layout(TreeFamily.UBUNTU, "Ubuntu", machine, f"{folder}linux", f"{folder}initrd")
    yield from _arch(machine, location)
    yield from _alpine(machine, location)
    for kernel in ("linux", "vmlinuz", "vmlinux"):
        yield _Layout(TreeFamily.DEBIAN, "Debian", machine, kernel, "initrd.gz")


def _arch(machine: str, location: str) -> Iterator[_Layout]:
    for top in ("arch/", ""):
        folder = f"{top}boot/{machine}/"
        arguments = ["archisobasedir=arch"]
        if "://" in location:
            above = location if top else location.rstrip("/").rpartition("/")[0]
            arguments += [f"archiso_http_srv={above.rstrip('/')}/", "ip=dhcp"]
        for initrd in ("initramfs-linux.img", "archiso.img"):
            for kernel in ("vmlinuz-linux", "vmlinuz"):
                yield _Layout(
                    TreeFamily.ARCH, "Arch Linux", machine, folder + kernel, folder + initrd, tuple(arguments)
                )


def _alpine(machine: str, location: str) -> Iterator[_Layout]:
    for folder in ("", "boot/", "netboot/"):
        for flavor in _ALPINE_FLAVORS:
            arguments = [_ALPINE_MODULES]
            if "://" in location:
                arguments += [f"modloop={below(location, f'{folder}modloop-{flavor}')}", "ip=dhcp"]
                release = _ALPINE_RELEASE.search(location)
                if release is not None:
                    arguments.append(f"alpine_repo={location[: release.start()]}/{release[1]}/main")
            yield _Layout(
                TreeFamily.ALPINE,
                "Alpine Linux",
                machine,
                f"{folder}vmlinuz-{flavor}",
                f"{folder}initramfs-{flavor}",
                tuple(arguments),
            )


def _ubuntu_iso(source: Source) -> tuple[str, ...]:
    """The ISO that the folder's own boot menus name; none where they do not."""
    for path in _UBUNTU_MENUS:
        found = _UBUNTU_ISO.search(text(source, path) or "")
        if found is not None:
            return (found[1], "ip=dhcp")
    return ()
