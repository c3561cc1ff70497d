"""kernel-install: /etc/kernel/cmdline, from which the entries of later kernels are made."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootconfig import bls, kernelargs
from imgkit.console.draft import named
from imgkit.console.model import Link, LinkKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.console.draft import Draft
    from imgkit.console.model import SerialConsole, Wishes

PATH = "/etc/kernel/cmdline"


def enable(draft: Draft, console: SerialConsole, wishes: Wishes) -> None:
    """Put the console on the command line of later kernels."""
    draft.edit(PATH, partial(bls.enable_cmdline, console=console, remove=wishes.removed))


def links(draft: Draft, console: SerialConsole) -> Iterator[Link]:
    """Whether later kernels use the console."""
    with named(PATH):
        arguments = kernelargs.new(bls.cmdline_facts(draft.text(PATH) or ""))
    ok = kernelargs.has_console(arguments, console)
    yield Link(LinkKind.KEPT, ok, PATH, 1, f"new kernels will {'' if ok else 'not '}use {console.port}")
