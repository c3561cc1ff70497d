"""The recipe for an installer: its menus on the serial line, a text installer that boots by itself, and its kernels.

What is said to the kernel behind "---" the installed system hears as well, so that the console outlives installation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imgkit.console import loaders
from imgkit.console.draft import Draft, named
from imgkit.console.installer import coreos, defaults
from imgkit.console.installer.arguments import ask_in_text
from imgkit.console.installer.medium import find_medium
from imgkit.console.installer.menus import boots_normally, find_menus
from imgkit.console.loaders import grub
from imgkit.console.model import Wishes
from imgkit.errors import UnsupportedError
from imgkit.guest.bootfiles import Loader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgkit.console.installer.medium import Medium
    from imgkit.console.installer.menus import MenuFile
    from imgkit.console.model import KernelLine, SerialConsole
    from imgkit.tree import Change, Tree

DEFAULT_TIMEOUT = 10
"""Seconds that an installer's menu shows, unless something else is wished. Many wait for ever by themselves."""

_MAX_NAMED = 12


def enable(
    tree: Tree, console: SerialConsole, wishes: Wishes | None = None, *, roots: Sequence[str] = ()
) -> list[Change]:
    """The changes that give an installer a serial console; none where it has it.

    `roots` are directories of the tree that firmware or a boot loader takes for a root of its own, such as a place
    where a FAT boot image is mounted. Raises UnsupportedError where no boot menu is known, or all are sealed or
    signed; ConfigError where a configuration file cannot be understood.
    """
    draft, medium = Draft(tree), find_medium(tree)
    menus, areas = find_menus(draft, roots), coreos.find_areas(draft)
    kernels = list(loaders.kernel_lines(draft, (menu.boot for menu in menus)))
    wishes = _for_installer(wishes or Wishes(), kernels)
    if not areas:
        _require_kernels(draft, menus, kernels)
        coreos.check_unlisted(draft, tuple(menu.boot.path for menu in menus))
    coreos.enable(draft, areas, console, wishes)
    held = coreos.contents(draft, areas)
    for menu in menus:
        with named(menu.boot.path):
            _enable_menu(draft, menu, console, wishes, medium)
    coreos.follow(draft, areas, held)
    changes = draft.changes()
    _refuse_signed(draft, changes)
    return changes


def _for_installer(wishes: Wishes, kernels: Sequence[KernelLine]) -> Wishes:
    timeout = DEFAULT_TIMEOUT if wishes.timeout is None else wishes.timeout
    recovery = wishes.recovery or not boots_normally(kernels)
    return replace(wishes, installer=True, timeout=timeout, recovery=recovery)


def _enable_menu(draft: Draft, menu: MenuFile, console: SerialConsole, wishes: Wishes, medium: Medium | None) -> None:
    path = menu.boot.path
    if menu.boot.loader is Loader.GRUB and not menu.is_start:
        grub.enable_kernels(draft, path, console, wishes)
    else:
        loaders.module_for(menu.boot).enable(draft, path, console, wishes)
    ask_in_text(draft, menu.boot, medium.family if medium else None, recovery=wishes.recovery)
    if menu.is_start:
        defaults.improve(draft, menu.boot)


def _require_kernels(draft: Draft, menus: Sequence[MenuFile], kernels: Sequence[KernelLine]) -> None:
    if not menus:
        raise UnsupportedError(
            f"no boot menu that is known here; what was found: {_found(draft)}",
            hint="If the kernel is started from outside, give it console=ttyS0,115200n8 there.",
        )
    if kernels:
        return
    sealed = next((menu.boot.path for menu in menus if menu.boot.loader is Loader.UKI), None)
    if sealed is not None:
        raise UnsupportedError(
            f"{sealed} is a unified kernel image: its command line is sealed inside",
            hint="Use an image of the same release that boots by GRUB or ISOLINUX.",
        )
    files = ", ".join([menu.boot.path for menu in menus][:_MAX_NAMED])
    raise UnsupportedError(f"no boot menu boots Linux, so that no kernel could be told of the console: {files}")


def _found(draft: Draft) -> str:
    """The boot loaders that are there, else the names at the top."""
    places = ("/EFI/BOOT", "/isolinux", "/boot", "/images", "/")
    folders = [folder for place in places if (folder := draft.spelled(place))]
    files = (f"{folder.rstrip('/')}/{name}" for folder in folders for name in draft.names(folder))
    known = [path for path in files if path.lower().endswith((".efi", "isolinux.bin", "bootmgr", ".c32", "cdboot.img"))]
    return ", ".join((known or draft.names("/"))[:_MAX_NAMED]) or "nothing"


def _refuse_signed(draft: Draft, changes: Sequence[Change]) -> None:
    """GRUB with check_signatures reads no file whose signature is wrong: the medium would not boot any more."""
    for change in changes:
        if draft.is_there(f"{change.path}.sig"):
            raise UnsupportedError(
                f"{change.path} is signed: {change.path}.sig would not fit any more",
                hint="Remove the signature from the image if its GRUB does not check it, or sign the changed file.",
            )
