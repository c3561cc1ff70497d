"""Whether an installed system has a serial console, link by link, each with the file and line that decides.

The chain: the boot loader talks on the line, the kernel does, somebody asks for a login there, root may answer, and
all of it outlives the next run of what generates the boot loader's configuration.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootconfig import kernelargs
from imgkit.console import keepers, loaders, logins
from imgkit.console.draft import Draft, named
from imgkit.console.model import Link, LinkKind, SerialConsole, Status
from imgkit.console.recipe import default_console
from imgkit.errors import UsageError
from imgkit.guest.facts import find_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from imgkit.console.model import KernelLine
    from imgkit.guest.facts import GuestFacts
    from imgkit.tree import Tree

_OPTIONS = re.compile(r"([0-9]{1,9})([noe])?([78])?")
_BARE = "9600"  # what `console=ttyS0` without options means


def status(tree: Tree, console: SerialConsole | None = None) -> Status:
    """The state of an installed system's serial console.

    Without `console`, of the one that its kernel uses, or, where it uses none, of the usual one for its architecture.
    Raises ConfigError where a configuration file cannot be understood.
    """
    draft, facts = Draft(tree), find_facts(tree)
    kernels = [kernel for kernel in loaders.kernel_lines(draft, facts.boot_files) if not kernel.is_recovery]
    console = console or console_in_use(kernels) or default_console(facts.arch)
    return Status(console, tuple(_links(draft, facts, kernels, console)))


def _links(draft: Draft, facts: GuestFacts, kernels: Sequence[KernelLine], console: SerialConsole) -> Iterator[Link]:
    for boot_file in facts.boot_files:
        with named(boot_file.path):
            yield from serving(partial(loaders.module_for(boot_file).links, draft, boot_file.path), console)
    yield from (_kernel(kernel, console) for kernel in kernels)
    if not facts.boot_files:
        yield Link(LinkKind.LOADER, False, "", 0, "no boot loader that is known here")
    yield from logins.module_for(facts.init).links(draft, console, kernels)
    if draft.is_there("/etc/securetty"):
        from imgkit.console.logins import securetty  # noqa: PLC0415 - for old releases only

        yield from securetty.links(draft, console)
    for keeper in keepers.modules_for(draft):
        yield from serving(partial(keeper.links, draft), console)


def _kernel(kernel: KernelLine, console: SerialConsole) -> Link:
    ok = kernelargs.has_console(kernel.arguments, console)
    used = [word for word in kernelargs.texts(kernel.arguments) if word.startswith("console=")]
    told = f"has {' '.join(used)}" if used else "has no console="
    wanted = "" if ok else f", wants {' '.join(console.kernel_arguments())}"
    return Link(LinkKind.KERNEL, ok, kernel.file, kernel.line, f"{kernel.title or 'kernel'} {told}{wanted}")


def serving(links: Callable[[SerialConsole], Iterable[Link]], console: SerialConsole) -> Iterator[Link]:
    """Links of a boot loader's menu, which serves where it is on the line, on the screen too or not.

    Debian's installer, run over a serial line, leaves a menu on that line alone.
    """
    if not console.keep_vga:
        yield from links(console)
        return
    for beside, alone in zip(links(console), links(replace(console, keep_vga=False)), strict=True):
        yield alone if alone.ok else beside


def console_in_use(kernels: Sequence[KernelLine]) -> SerialConsole | None:
    """The serial console that the first of the kernels that has one uses; None where none has."""
    for kernel in kernels:
        consoles = kernelargs.consoles(kernel.arguments)
        serial = [console for console in consoles if not console.is_vga]
        match = _OPTIONS.fullmatch(serial[-1].options or _BARE) if serial else None
        if match is None:
            continue
        try:
            return SerialConsole(
                port=serial[-1].port,
                baud=int(match[1]),
                parity=match[2] or "n",
                data_bits=int(match[3] or 8),
                keep_vga=any(console.is_vga for console in consoles),
            )
        except UsageError:  # a port or a speed that is none
            continue
    return None
