"""The boot loaders of an installed system, told by the configuration files that they read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from imgkit.errors import TreeError
from imgkit.tree import FileType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.tree import Tree


class Loader(StrEnum):
    """What loads the kernel, told by the configuration that it reads."""

    GRUB = "grub"
    GRUB_LEGACY = "grub-legacy"
    BLS = "bls"
    EXTLINUX = "extlinux"
    SYSTEMD_BOOT = "systemd-boot"
    UKI = "uki"


@dataclass(frozen=True, slots=True)
class BootFile:
    """One boot loader's configuration: where it lies in the tree."""

    loader: Loader
    path: str


# Where each loader looks in the joined tree. A loader's own partition may be the root, /boot or the ESP.
_CONFIGURATIONS = (
    (Loader.GRUB, ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg")),
    (Loader.GRUB_LEGACY, ("/boot/grub/menu.lst", "/boot/grub/grub.conf")),
    (
        Loader.EXTLINUX,
        (
            "/boot/extlinux/extlinux.conf",
            "/boot/extlinux.conf",
            "/boot/syslinux/syslinux.cfg",
            "/extlinux/extlinux.conf",
            "/extlinux.conf",
        ),
    ),
)
_LOADER_FOLDERS = ("/efi/loader", "/boot/efi/loader", "/boot/loader")
_EFI_FOLDERS = ("/efi/EFI", "/boot/efi/EFI", "/boot/EFI")


def find_boot_files(tree: Tree) -> Iterator[BootFile]:
    """Every boot loader configuration of the tree."""
    for loader, paths in _CONFIGURATIONS:
        for path in paths:
            if _is_file(tree, path):
                yield BootFile(loader, path)
    for folder in _EFI_FOLDERS:
        for vendor in _names(tree, folder):
            if _is_file(tree, f"{folder}/{vendor}/grub.cfg"):
                yield BootFile(Loader.GRUB, f"{folder}/{vendor}/grub.cfg")
        images = (name for name in _names(tree, f"{folder}/Linux") if name.lower().endswith(".efi"))
        yield from (BootFile(Loader.UKI, f"{folder}/Linux/{name}") for name in images)
    for folder in _LOADER_FOLDERS:
        if _is_file(tree, f"{folder}/loader.conf"):
            yield BootFile(Loader.SYSTEMD_BOOT, f"{folder}/loader.conf")
        entries = (name for name in _names(tree, f"{folder}/entries") if name.endswith(".conf"))
        yield from (BootFile(Loader.BLS, f"{folder}/entries/{name}") for name in entries)


def _is_file(tree: Tree, path: str) -> bool:
    try:
        return tree.stat(path).type is FileType.FILE
    except TreeError:
        return False


def _names(tree: Tree, path: str) -> list[str]:
    try:
        return tree.listdir(path)
    except TreeError:
        return []
