"""Where boot loaders look for their configurations: patterns of paths, and the files that they match in a tree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from imgkit.errors import TreeError
from imgkit.tree import FileType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.configtext.checks import Check
    from imgkit.tree import Tree
    from imgkit.treeedits import TreeEdits


ARCHES = ("x86_64", "aarch64", "i386", "ppc64le", "riscv64")
"""Machines that media have directories for, as openSUSE names them."""


class Loader(StrEnum):
    """What loads the kernel, told by the configuration that it reads."""

    EXTLINUX = "extlinux"
    GRUB = "grub"
    GRUB_LEGACY = "grub-legacy"
    UKI = "uki"
    SYSTEMD_BOOT = "systemd-boot"
    BLS = "bls"
    ZIPL = "zipl"
    NIXOS = "nixos"
    RASPBERRY_PI = "raspberry-pi"
    ARMBIAN = "armbian"


@dataclass(frozen=True, slots=True)
class BootFile:
    """One boot loader's configuration: where it lies in the tree."""

    loader: Loader
    path: str


@dataclass(frozen=True, slots=True)
class Places:
    """Where a boot loader's files are: absolute paths, in which `*` stands for a part of one name.

    `installed` are its configurations in an installed system's joined tree, `media` in a medium, below each directory
    that firmware or a boot loader takes for its root; letters are taken as they are in the former, and in either case
    in the latter. `generated` are files by which what writes its configuration anew is known: its package then has a
    module `generator`. `has_menu`: its package has a module `menu`. `accepts` tells, for a file of a medium, whether it
    is really the boot loader's; without it, the path is enough.

    `has_entries`: a configuration lists what it boots, with arguments that can be edited; without it, `is_sealed` says
    whether they are in a program that cannot be changed, and its module `loader` says so: `SealedLoader`. `leads_on`:
    some of its configurations only lead to others, and the module tells: `LeadingLoader`. `on_medium` are checks for
    media alone. `bios_programs` are what BIOS firmware starts of it on a medium, and `uefi_folder`, in lower case, is a
    part of the paths of those configurations that a program for UEFI reads; "" is any.
    """

    installed: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    generated: tuple[str, ...] = ()
    has_menu: bool = False
    accepts: Callable[[TreeEdits, str], bool] | None = None
    has_entries: bool = True
    is_sealed: bool = False
    leads_on: bool = False
    on_medium: Callable[[TreeEdits, str], Iterator[Check]] | None = None
    bios_programs: tuple[str, ...] = ()
    uefi_folder: str = ""


def in_system(tree: Tree, pattern: str) -> Iterator[str]:
    """The regular files of an installed system that match."""
    folder, star, rest = _split(pattern)
    if not star:
        if _is_file(tree, pattern):
            yield pattern
        return
    for name in _names(tree, folder):
        if fnmatchcase(name.lower(), star):
            if rest:
                yield from in_system(tree, f"{folder}/{name}{rest}")
            else:
                yield f"{folder}/{name}"


def on_medium(edits: TreeEdits, root: str, pattern: str) -> Iterator[str]:
    """The files of a medium, below `root`, that match, as they are spelled there."""
    folder, star, rest = _split(pattern)
    if not star:
        found = edits.spelled(root + pattern)
        if found is not None and edits.size(found) is not None:
            yield found
        return
    spelled = edits.spelled(root + folder)
    for name in edits.names(spelled) if spelled else []:
        if fnmatchcase(name.lower(), star.lower()):
            if rest:
                yield from on_medium(edits, f"{spelled}/{name}", rest)
            else:
                yield f"{spelled}/{name}"


def _split(pattern: str) -> tuple[str, str, str]:
    """The directory before the first name with a star, that name, and what follows it; "" for the last two if none."""
    names = pattern.split("/")
    at = next((number for number, name in enumerate(names) if "*" in name), len(names))
    return "/".join(names[:at]), "".join(names[at : at + 1]), "".join(f"/{name}" for name in names[at + 1 :])


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
