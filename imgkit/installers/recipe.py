"""The recipe for an installer: its menus on the serial line, a text installer that boots by itself, and its kernels.

What is said to the kernel behind "---" the installed system hears as well, so that the console outlives installation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imgkit import bootloaders as loaders
from imgkit.bootloaders import menus as defaults
from imgkit.bootloaders.files import Loader
from imgkit.bootloaders.grub2 import loader as grub
from imgkit.configtext.options import EnableOptions
from imgkit.errors import UnsupportedError
from imgkit.installers import coreos
from imgkit.installers.answers import answer_file
from imgkit.installers.arguments import ask_in_text
from imgkit.installers.detection import find_installer
from imgkit.installers.menufiles import boots_normally, find_menus
from imgkit.treeedits import TreeEdits, named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.installers.detection import Installer
    from imgkit.installers.menufiles import MenuFile
    from imgkit.tree import Change, Tree

_MAX_NAMED = 12


def enable(
    tree: Tree,
    console: SerialConsole,
    options: EnableOptions | None = None,
    *,
    roots: Sequence[str] = (),
    announce: Callable[[str], None] | None = None,
) -> list[Change]:
    """The changes that give an installer a serial console; none where it has it.

    `roots` are directories of the tree that firmware or a boot loader takes for a root of its own, such as a place
    where a FAT boot image is mounted. `announce` is told of each change in what the medium does by itself. Raises
    UnsupportedError where no boot menu is known, or all are sealed or signed; ConfigError where a configuration file
    cannot be understood; UsageError where `options.default` names no entry.
    """
    edits, installer = TreeEdits(tree), find_installer(tree)
    menus, areas = find_menus(edits, roots), coreos.find_areas(edits)
    kernels = list(loaders.kernel_lines(edits, (menu.boot for menu in menus)))
    options = _for_installer(options or EnableOptions(), kernels)
    if not areas:
        _require_kernels(edits, menus, kernels)
        coreos.check_unlisted(edits, tuple(menu.boot.path for menu in menus))
    shown = [menu.boot for menu in menus if menu.is_start]
    before = defaults.all_menus(edits, shown)
    defaults.check_title(before, options.default)
    answered = answer_file(edits, before) != ""
    coreos.enable(edits, areas, console, options)
    held = coreos.contents(edits, areas)
    for menu in menus:
        with named(menu.boot.path):
            _enable_menu(edits, menu, console, options, installer)
            if menu.is_start:
                defaults.improve(edits, menu.boot, default=options.default, answered=answered)
    defaults.announce(edits, before, defaults.all_menus(edits, shown), default=options.default)
    coreos.follow(edits, areas, held)
    changes = edits.changes()
    _refuse_signed(edits, changes)
    if announce is not None:
        for sentence in edits.announcements:
            announce(sentence)
    return changes


def _for_installer(options: EnableOptions, kernels: Sequence[KernelLine]) -> EnableOptions:
    return replace(options, installer=True, recovery=options.recovery or not boots_normally(kernels))


def _enable_menu(
    edits: TreeEdits, menu: MenuFile, console: SerialConsole, options: EnableOptions, installer: Installer | None
) -> None:
    path = menu.boot.path
    if menu.boot.loader is Loader.GRUB and not menu.is_start:
        grub.enable_kernels(edits, path, console, options)
    else:
        loaders.module_for(menu.boot).enable(edits, path, console, options)
    ask_in_text(edits, menu.boot, installer.family if installer else None, recovery=options.recovery)


def _require_kernels(edits: TreeEdits, menus: Sequence[MenuFile], kernels: Sequence[KernelLine]) -> None:
    if not menus:
        raise UnsupportedError(
            f"no boot menu that is known here; what was found: {_found(edits)}",
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


def _found(edits: TreeEdits) -> str:
    """The boot loaders that are there, else the names at the top."""
    places = ("/EFI/BOOT", "/isolinux", "/boot", "/images", "/")
    folders = [folder for place in places if (folder := edits.spelled(place))]
    files = (f"{folder.rstrip('/')}/{name}" for folder in folders for name in edits.names(folder))
    known = [path for path in files if path.lower().endswith((".efi", "isolinux.bin", "bootmgr", ".c32", "cdboot.img"))]
    return ", ".join((known or edits.names("/"))[:_MAX_NAMED]) or "nothing"


def _refuse_signed(edits: TreeEdits, changes: Sequence[Change]) -> None:
    """GRUB with check_signatures reads no file whose signature is wrong: the medium would not boot any more."""
    for change in changes:
        if edits.is_there(f"{change.path}.sig"):
            raise UnsupportedError(
                f"{change.path} is signed: {change.path}.sig would not fit any more",
                hint="Remove the signature from the image if its GRUB does not check it, or sign the changed file.",
            )
