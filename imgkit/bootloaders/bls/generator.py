"""kernel-install: /etc/kernel/cmdline, from which the entries of later kernels are made."""

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


def enable(edits: TreeEdits, console: SerialConsole, options: EnableOptions) -> None:
    """Put the console on the command line of later kernels."""
    edits.edit(PATH, partial(bls.enable_cmdline, console=console, remove=options.removed))


def checks(edits: TreeEdits, console: SerialConsole) -> Iterator[Check]:
    """Whether later kernels use the console."""
    with named(PATH):
        arguments = kernelargs.new(bls.cmdline_facts(edits.text(PATH) or ""))
    ok = kernelargs.has_console(arguments, console)
    yield Check(CheckKind.KEPT, ok, PATH, 1, f"new kernels will {'' if ok else 'not '}use {console.port}")
