"""The generators of extlinux.conf: Debian's u-boot-update and update-extlinux, Alpine's update-extlinux."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootconfig import extlinuxdefaults
from imgkit.console.draft import named
from imgkit.console.keepers import kernelinstall
from imgkit.console.model import Link, LinkKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.console.draft import Draft
    from imgkit.console.model import SerialConsole, Wishes

_U_BOOT_UPDATE = "/usr/sbin/u-boot-update"


def enable(draft: Draft, console: SerialConsole, wishes: Wishes) -> None:
    """Put the console into what each generator reads."""
    for generator in _in_use(draft):
        edit = partial(
            extlinuxdefaults.enable,
            generator=generator,
            console=console,
            remove=wishes.removed,
            timeout=wishes.timeout,
            has_kernel_cmdline=draft.is_there(kernelinstall.PATH),
        )
        draft.edit_or_create(generator.path, edit)


def links(draft: Draft, console: SerialConsole) -> Iterator[Link]:
    """Whether each generator's next run keeps the console."""
    for generator in _in_use(draft):
        with named(generator.path):
            found = extlinuxdefaults.facts(draft.text(generator.path) or "", generator)
        if found.line == 0 and draft.is_there(kernelinstall.PATH):
            continue  # it takes the arguments from there, which has a link of its own
        ok = found.keeps_console(console)
        told = f"{generator.arguments} {'has' if ok else 'lacks'} {console.kernel_argument()}"
        yield Link(LinkKind.KEPT, ok, generator.path, found.line, told)


def _in_use(draft: Draft) -> list[extlinuxdefaults.Generator]:
    """The generators whose file is there; u-boot-update does without one."""
    u_boot = extlinuxdefaults.U_BOOT_MENU
    without = [u_boot] if draft.is_there(_U_BOOT_UPDATE) and not draft.is_there(u_boot.path) else []
    return [*without, *(g for g in extlinuxdefaults.GENERATORS if draft.is_there(g.path))]
