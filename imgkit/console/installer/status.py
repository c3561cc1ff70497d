"""Whether an installer has a serial console, link by link, each with the file and line that decides.

The chain: the boot loader's menu is on the line, it boots by itself, what it boots asks in text, and that kernel, as
all others of the menu, has the console, where the installed system inherits it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootconfig import kernelargs
from imgkit.console import loaders
from imgkit.console.draft import Draft, named
from imgkit.console.installer import coreos, defaults, syslinuxmenus
from imgkit.console.installer.medium import find_medium
from imgkit.console.installer.menus import boots_normally, find_menus
from imgkit.console.model import Link, LinkKind, SerialConsole, Status
from imgkit.console.recipe import default_console
from imgkit.console.status import console_in_use, serving
from imgkit.guest.bootfiles import Loader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.console.installer.bootmenu import BootMenu
    from imgkit.console.installer.menus import MenuFile
    from imgkit.console.model import KernelLine
    from imgkit.tree import Tree


def status(tree: Tree, console: SerialConsole | None = None, *, roots: Sequence[str] = ()) -> Status:
    """The state of an installer's serial console; `roots` as for `recipe.enable`.

    Without `console`, of the one that its kernels use, or, where they use none, of the usual one for its machine.
    Raises ConfigError where a configuration file cannot be understood.
    """
    draft, medium = Draft(tree), find_medium(tree)
    menus = find_menus(draft, roots)
    kernels = [list(loaders.kernel_lines(draft, [menu.boot])) for menu in menus]
    listed = {kernel.file for group in kernels for kernel in group}
    if boots_normally(kernel for group in kernels for kernel in group):
        kernels = [[kernel for kernel in group if not kernel.is_recovery] for group in kernels]
    kernels += [[kernel] for kernel in coreos.kernels(draft) if kernel.file not in listed]
    used = console_in_use([kernel for group in kernels for kernel in group])
    console = console or used or default_console(medium.arch if medium else "")
    links = [link for menu in menus for link in _menu_links(draft, menu, console)]
    links += [_kernels_link(group, console) for group in kernels if group]
    if not any(kernels):
        links.append(Link(LinkKind.KERNEL, False, "", 0, "no boot menu that is known here boots Linux"))
    return Status(console, tuple(links))


def _menu_links(draft: Draft, menu: MenuFile, console: SerialConsole) -> Iterator[Link]:
    boot = menu.boot
    if not menu.is_start:
        return
    with named(boot.path):
        gfxboot = syslinuxmenus.gfxboot_line(draft, boot.path) if boot.loader is Loader.EXTLINUX else None
        if gfxboot is not None:
            yield Link(LinkKind.LOADER, False, *gfxboot, "gfxboot shows its menu on the screen only")
        yield from serving(partial(loaders.module_for(boot).links, draft, boot.path), console)
        for found in defaults.boot_menus(draft, boot):
            yield _default_link(found)
            yield _timeout_link(found)


def _default_link(menu: BootMenu) -> Link:
    """It holds where nothing better could be had, too: an image for rescue boots a rescue system."""
    default, better = menu.default, menu.better_default()
    if default is None:
        file, line, message, why = menu.file, 0, "nothing boots by itself", ""
    else:
        file, line, why = default.file, default.line, default.unfitness()
        message = f"{default.title!r} {why or 'boots by itself'}"
    if better is not None:
        message += f", {better.title!r} fits a serial line"
    elif why or default is None:
        message += ", and no other entry fits better"
    return Link(LinkKind.DEFAULT, better is None, file, line, message)


def _timeout_link(menu: BootMenu) -> Link:
    waits = menu.seconds is None
    message = "waits for a key for ever" if waits else f"boots after {menu.seconds:g} s"
    return Link(LinkKind.TIMEOUT, not waits, *menu.timer, message)


def _kernels_link(kernels: Sequence[KernelLine], console: SerialConsole) -> Link:
    """One link for all kernels of a menu: installers have dozens."""
    lacking = [k for k in kernels if not kernelargs.has_console(k.arguments, console, installer=True)]
    wanted = " ".join(console.kernel_arguments())
    if not lacking:
        many = f"all {len(kernels)} kernels have" if len(kernels) > 1 else f"{_title(kernels[0])} has"
        return Link(LinkKind.KERNEL, True, kernels[0].file, kernels[0].line, f"{many} {wanted}")
    first = lacking[0]
    message = f"{_title(first)} wants {wanted}"
    if len(kernels) > 1:
        message = f"{len(lacking)} of {len(kernels)} kernels want {wanted}, the first is {_title(first)}"
    return Link(LinkKind.KERNEL, False, first.file, first.line, message)


def _title(kernel: KernelLine) -> str:
    return repr(kernel.title) if kernel.title else "the kernel"
