"""The boot menus of an ISO: where its boot loaders look, and the files that those lead to.

Boot loaders start where firmware and ISO allow, so each place that one of them knows counts, in the ISO itself and in
every FAT boot image that the tree shows as a directory. The boot loaders' modules follow what those files name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit import bootloaders as loaders
from imgkit.bootloaders import efi
from imgkit.bootloaders.files import ARCHES
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imgkit.bootloaders.files import BootFile
    from imgkit.configtext.checks import KernelLine
    from imgkit.treeedits import TreeEdits

# FAT images that UEFI boots from: Debian's, Fedora's, SUSE's, Arch's, iPXE's.
_BOOT_IMAGES = (
    *("/boot/grub/efi.img", "/images/efiboot.img", "/EFI/archiso/efiboot.img", "/efi.img", "/boot/efi.img"),
    *(f"/boot/{arch}/efi" for arch in ARCHES),
)


def find_starts(edits: TreeEdits, roots: Sequence[str] = ()) -> tuple[BootFile, ...]:
    """Each file that a boot loader starts with, and those that the Boot Loader Specification lists beside it.

    `roots` are directories of the tree, beside the usual ones, that a boot loader would take for its root.
    """
    places = dict.fromkeys(("", *(root.rstrip("/") for root in roots), *_images(edits)))
    return tuple({boot.path: boot for root in places for boot in loaders.find_on_medium(edits, root)}.values())


def find_menus(edits: TreeEdits, roots: Sequence[str] = ()) -> tuple[BootFile, ...]:
    """The files that boot loaders start with, without those that only look for another one of them."""
    return tuple(loaders.without_those_that_lead_on(edits, find_starts(edits, roots)))


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


def efi_programs(edits: TreeEdits, roots: Iterable[str] = ()) -> Iterator[str]:
    """What UEFI firmware starts by itself: EFI/BOOT/BOOT*.EFI in the tree, and in what it takes for a root."""
    for root in dict.fromkeys(("", *(root.rstrip("/") for root in roots), *_images(edits))):
        folder = edits.spelled(f"{root}/EFI/BOOT")
        names = edits.names(folder) if folder else []
        yield from (f"{folder}/{name}" for name in names if efi.is_started_by_firmware(name))
