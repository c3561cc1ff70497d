"""The boot menus of an ISO: where its boot loaders look, and the files that those lead to.

Boot loaders start where firmware and ISO allow, so each place that one of them knows counts, in the ISO itself and in
every FAT boot image that the tree shows as a directory. The boot loaders' modules follow what those files name.
"""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING

from imgkit import bootloaders as loaders
from imgkit.bootloaders import efi
from imgkit.bootloaders.files import BootFile, Loader
from imgkit.bootloaders.grub2 import loader as grub
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imgkit.configtext.checks import KernelLine
    from imgkit.treeedits import TreeEdits

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
_GRUB_LEGACY_FILES = ("/boot/grub/menu.lst", "/boot/grub/grub.conf", "/menu.lst", "/grub/menu.lst")
_LOADER_FOLDERS = ("/loader", "/boot/loader")
_REMOVABLE = re.compile(r"boot(?:x64|ia32|aa64|arm|riscv64|loongarch64)\.efi", re.IGNORECASE)
# FAT images that UEFI boots from: Debian's, Fedora's, SUSE's, Arch's, iPXE's.
_BOOT_IMAGES = (
    *("/boot/grub/efi.img", "/images/efiboot.img", "/EFI/archiso/efiboot.img", "/efi.img", "/boot/efi.img"),
    *(f"/boot/{arch}/efi" for arch in _ARCHES),
)


def find_starts(edits: TreeEdits, roots: Sequence[str] = ()) -> tuple[BootFile, ...]:
    """Each file that a boot loader starts with, and those that the Boot Loader Specification lists beside it.

    `roots` are directories of the tree, beside the usual ones, that a boot loader would take for its root.
    """
    places = dict.fromkeys(("", *(root.rstrip("/") for root in roots), *_images(edits)))
    return tuple({boot.path: boot for root in places for boot in _in_root(edits, root)}.values())


def find_menus(edits: TreeEdits, roots: Sequence[str] = ()) -> tuple[BootFile, ...]:
    """The files that boot loaders start with, without scripts of GRUB that only look for another one of them."""
    found = {boot.path: boot for boot in find_starts(edits, roots)}
    scripts = [boot.path for boot in found.values() if boot.loader is Loader.GRUB]
    for path in scripts:
        if grub.only_leads_to(edits, path, [other for other in scripts if other != path and other in found]):
            del found[path]
    return tuple(found.values())


def read_kernels(edits: TreeEdits, boots: Iterable[BootFile]) -> tuple[list[list[KernelLine]], list[ConfigError]]:
    """The kernels of each of the files, none where one cannot be read; and why those cannot."""
    kernels: list[list[KernelLine]] = []
    errors: list[ConfigError] = []
    for boot in boots:
        try:
            kernels.append(list(loaders.kernel_lines(edits, [boot])))
        except ConfigError as error:
            kernels.append([])
            errors.append(error)
    return kernels, errors


def boots_normally(kernels: Iterable[KernelLine]) -> bool:
    """Whether one of the kernels starts no rescue system. An image that is made for rescue has no other."""
    return any(not kernel.is_recovery for kernel in kernels)


def _images(edits: TreeEdits) -> Iterator[str]:
    return (path for image in _BOOT_IMAGES if (path := edits.spelled(image)) and edits.names(path))


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
            is_legacy = not re.search(rb"^[^\S\n]*+menuentry\s", edits.read(path) or b"", re.MULTILINE)
            yield BootFile(Loader.GRUB_LEGACY if is_legacy else Loader.GRUB, path)
        elif lower.endswith(".efi") and (folder.lower().endswith("/linux") or _is_kernel(edits, path, lower)):
            yield BootFile(Loader.UKI, path)


def efi_programs(edits: TreeEdits, roots: Iterable[str] = ()) -> Iterator[str]:
    """What UEFI firmware starts by itself: EFI/BOOT/BOOT*.EFI in the tree, and in what it takes for a root."""
    for root in dict.fromkeys(("", *(root.rstrip("/") for root in roots), *_images(edits))):
        folder = edits.spelled(f"{root}/EFI/BOOT")
        names = edits.names(folder) if folder else []
        yield from (f"{folder}/{name}" for name in names if _REMOVABLE.fullmatch(name))


def _is_kernel(edits: TreeEdits, path: str, name: str) -> bool:
    """Whether firmware starts Linux at once, without a boot loader that has a menu."""
    if not _REMOVABLE.fullmatch(name):
        return False
    return efi.identify(edits.head(path, efi.HEAD)) is not efi.EfiProgram.OTHER


def _files(edits: TreeEdits, loader: Loader, paths: Iterable[str]) -> Iterator[BootFile]:
    for path in paths:
        found = edits.spelled(path)
        if found is not None and edits.size(found) is not None:
            yield BootFile(loader, found)
