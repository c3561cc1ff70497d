"""kernel-install: the command line from which the entries of later kernels are made.

/etc/kernel/cmdline counts. Where it is missing, /usr/lib/kernel/cmdline does, which is the vendor's: that one stays,
and what it should be becomes a file in /etc.

https://www.freedesktop.org/software/systemd/man/latest/kernel-install.html
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootloaders.bls import config as bls
from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

PATH = "/etc/kernel/cmdline"
VENDOR = "/usr/lib/kernel/cmdline"


def enable(edits: TreeEdits, console: SerialConsole, options: EnableOptions) -> None:
    """Put the console on the command line of later kernels."""
    edit = partial(bls.enable_cmdline, console=console, remove=options.removed)
    vendor = None if edits.is_there(PATH) else edits.text(VENDOR)
    if vendor is None:
        edits.edit(PATH, edit)
        return
    with named(VENDOR):
        after = edit(vendor)
    if after != vendor:
        edits.put(PATH, after)


def checks(edits: TreeEdits, console: SerialConsole) -> Iterator[Check]:
    """Whether later kernels use the console."""
    path = PATH if edits.is_there(PATH) else VENDOR
    with named(path):
        arguments = kernelargs.new(bls.cmdline_facts(edits.text(path) or ""))
    ok = kernelargs.has_console(arguments, console)
    yield Check(CheckKind.KEPT, ok, path, 1, f"new kernels will {'' if ok else 'not '}use {console.port}")
