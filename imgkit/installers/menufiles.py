"""The boot menus of an ISO: where its boot loaders look, and the files that those lead to.

Boot loaders start where firmware and ISO allow, so each place that one of them knows counts, in the ISO itself and in
every FAT boot image that the tree shows as a directory. Files that a GRUB script names are followed; what is missing
is passed over, as GRUB does.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from imgkit.bootloaders.files import BootFile, Loader
from imgkit.bootloaders.grub2 import config as grubcfg
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.text import Setting
    from imgkit.treeedits import TreeEdits

_MAX_FILES = 200
_ARCHES = ("x86_64", "aarch64", "i386", "ppc64le", "riscv64")

_SYSLINUX_FOLDERS = (
    *("/boot/isolinux", "/isolinux", "/boot/syslinux", "/syslinux", "", "/arch/boot/syslinux", "/EFI/BOOT"),
    *("/EFI/syslinux", "/boot/extlinux", *(f"/boot/{arch}/loader" for arch in _ARCHES)),
)
_SYSLINUX_NAMES = ("isolinux.cfg", "syslinux.cfg", "extlinux.conf")
_GRUB_FILES = (
    *("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/grub/loopback.cfg", "/grub/grub.cfg", "/grub.cfg"),
    *(f"/boot/{arch}/grub2{kind}/grub.cfg" for arch, kind in product(_ARCHES, ("", "-efi", "-ieee1275"))),
)
_GRUB_LEGACY_FILES = ("/boot/grub/menu.lst", "/boot/grub/grub.conf")
_LOADER_FOLDERS = ("/loader", "/boot/loader")
# FAT images that UEFI boots from: Debian's, Fedora's, SUSE's, Arch's, iPXE's.
_BOOT_IMAGES = (
    *("/boot/grub/efi.img", "/images/efiboot.img", "/EFI/archiso/efiboot.img", "/efi.img", "/boot/efi.img"),
    *(f"/boot/{arch}/efi" for arch in _ARCHES),
)

_DEVICE = re.compile(r"\(.*?\)")
_PREFIX = re.compile(r"\$(?:prefix|\{prefix\})")


@dataclass(frozen=True, slots=True)
class MenuFile:
    """One file of a menu. `is_start` says that it shows by itself: it was not chosen in another menu before."""

    boot: BootFile
    is_start: bool


def find_menus(edits: TreeEdits, roots: Sequence[str] = ()) -> tuple[MenuFile, ...]:
    """Every file that a boot loader reads, unified kernel images too; for SYSLINUX the first file of each menu.

    `roots` are directories of the tree, beside the usual ones, that a boot loader would take for its root.
    """
    places = dict.fromkeys(("", *(root.rstrip("/") for root in roots), *_images(edits)))
    found: dict[str, MenuFile] = {}
    for root in places:
        for boot in _in_root(edits, root):
            found.setdefault(boot.path, MenuFile(boot, is_start=True))
    for menu in list(found.values()):
        if menu.boot.loader is Loader.GRUB:
            _follow(edits, menu, found, _root_of(menu.boot.path, places))
    return tuple(found.values())


def boots_normally(kernels: Iterable[KernelLine]) -> bool:
    """Whether one of the kernels starts no rescue system. An image that is made for rescue has no other."""
    return any(not kernel.is_recovery for kernel in kernels)


def _images(edits: TreeEdits) -> Iterator[str]:
    return (path for image in _BOOT_IMAGES if (path := edits.spelled(image)) and edits.names(path))


def _root_of(path: str, roots: Iterable[str]) -> str:
    return max((root for root in roots if path.startswith(f"{root}/")), key=len, default="")


def _in_root(edits: TreeEdits, root: str) -> Iterator[BootFile]:
    for folder, name in product(_SYSLINUX_FOLDERS, _SYSLINUX_NAMES):
        yield from _files(edits, Loader.EXTLINUX, [f"{root}{folder}/{name}"])
    yield from _files(edits, Loader.GRUB, (root + path for path in _GRUB_FILES))
    yield from _files(edits, Loader.GRUB_LEGACY, (root + path for path in _GRUB_LEGACY_FILES))
    efi = edits.spelled(f"{root}/EFI")
    for vendor in edits.names(efi) if efi else []:
        yield from _in_vendor_folder(edits, f"{efi}/{vendor}")
    for folder in _LOADER_FOLDERS:
        yield from _files(edits, Loader.SYSTEMD_BOOT, [f"{root}{folder}/loader.conf"])
        entries = edits.spelled(f"{root}{folder}/entries")
        names = edits.names(entries) if entries else []
        yield from (BootFile(Loader.BLS, f"{entries}/{name}") for name in names if name.lower().endswith(".conf"))


def _in_vendor_folder(edits: TreeEdits, folder: str) -> Iterator[BootFile]:
    for name in edits.names(folder):
        path, lower = f"{folder}/{name}", name.lower()
        if lower == "grub.cfg":
            yield BootFile(Loader.GRUB, path)
        elif re.fullmatch(r"boot\w*\.conf", lower):
            # Named for GRUB legacy, which Fedora had before GRUB 2; later a copy of grub.cfg.
            is_legacy = not re.search(rb"^\s*menuentry\s", edits.read(path) or b"", re.MULTILINE)
            yield BootFile(Loader.GRUB_LEGACY if is_legacy else Loader.GRUB, path)
        elif lower.endswith(".efi") and folder.lower().endswith("/linux"):
            yield BootFile(Loader.UKI, path)


def _files(edits: TreeEdits, loader: Loader, paths: Iterable[str]) -> Iterator[BootFile]:
    for path in paths:
        found = edits.spelled(path)
        if found is not None and edits.size(found) is not None:
            yield BootFile(loader, found)


def _follow(edits: TreeEdits, menu: MenuFile, found: dict[str, MenuFile], root: str) -> None:
    """Add to `found` what a GRUB script leads to."""
    pending = [menu]
    while pending and len(found) < _MAX_FILES:
        current = pending.pop(0)
        path = current.boot.path
        with named(path):
            facts = grubcfg.facts(edits.text(path) or "")
        for setting in (*facts.includes, *facts.chained):
            target = _target(edits, setting, facts.prefixes, path, root)
            if target is not None and target not in found:
                shows = current.is_start and setting in facts.includes
                found[target] = MenuFile(BootFile(Loader.GRUB, target), is_start=shows)
                pending.append(found[target])


def _target(edits: TreeEdits, setting: Setting, prefixes: Sequence[Setting], path: str, root: str) -> str | None:
    """The file that `source` or `configfile` names; None where it is not there, or a variable decides."""
    if setting.name not in ("source", ".", "configfile", "extract_entries_source"):
        return None
    prefix = prefixes[-1].value if prefixes else posixpath.dirname(path)
    name = _DEVICE.sub("", _PREFIX.sub(lambda _: prefix, setting.value))
    if "$" in name or not name.startswith("/"):
        return None
    for place in (root, "") if not name.startswith(f"{root}/") else ("",):
        found = edits.spelled(posixpath.normpath(place + name))
        if found is not None and edits.size(found) is not None:
            return found
    return None
