"""The generators of extlinux.conf: Debian's u-boot-update and update-extlinux, Alpine's update-extlinux."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders.bls import generator as kernelinstall
from imgkit.bootloaders.syslinux import defaults as extlinuxdefaults
from imgkit.configtext.checks import Check, CheckKind
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_U_BOOT_UPDATE = "/usr/sbin/u-boot-update"


def enable(edits: TreeEdits, console: SerialConsole, options: EnableOptions) -> None:
    """Put the console into what each generator reads."""
    for generator in _in_use(edits):
        edit = partial(
            extlinuxdefaults.enable,
            generator=generator,
            console=console,
            remove=options.removed,
            timeout=options.timeout,
            has_kernel_cmdline=edits.is_there(kernelinstall.PATH),
        )
        edits.edit_or_create(generator.path, edit)


def checks(edits: TreeEdits, console: SerialConsole) -> Iterator[Check]:
    """Whether each generator's next run keeps the console."""
    for generator in _in_use(edits):
        with named(generator.path):
            found = extlinuxdefaults.facts(edits.text(generator.path) or "", generator)
        if found.line == 0 and edits.is_there(kernelinstall.PATH):
            continue  # it takes the arguments from there, which has a link of its own
        ok = found.keeps_console(console)
        told = f"{generator.arguments} {'has' if ok else 'lacks'} {console.kernel_argument()}"
        yield Check(CheckKind.KEPT, ok, generator.path, found.line, told)


def _in_use(edits: TreeEdits) -> list[extlinuxdefaults.Generator]:
    """The generators whose file is there; u-boot-update does without one."""
    u_boot = extlinuxdefaults.U_BOOT_MENU
    without = [u_boot] if edits.is_there(_U_BOOT_UPDATE) and not edits.is_there(u_boot.path) else []
    return [*without, *(g for g in extlinuxdefaults.GENERATORS if edits.is_there(g.path))]
