"""Whether an installed system has a serial console, link by link, each with the file and line that decides.

The chain: the boot loader talks on the line, the kernel does, somebody asks for a login there, root may answer, and
all of it outlives the next run of what generates the boot loader's configuration.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit import bootloaders as loaders
from imgkit.bootloaders import consoles, unedited
from imgkit.configtext import kernelargs
from imgkit.configtext.checks import BARE_RATE, Check, CheckKind, Status, serving
from imgkit.console.facts import find_facts, init_of, usual_kernels
from imgkit.treeedits import TreeEdits, named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.console.facts import GuestFacts
    from imgkit.tree import Tree

_NO_ENTRY = (
    "Add an entry that boots Linux to the menu; if the kernel comes from outside the image, set its console there."
)


def status(tree: Tree | TreeEdits, console: SerialConsole | None = None) -> Status:
    """The state of an installed system's serial console.

    Without `console`, of the one that its kernel uses, or, where it uses none, of the usual one for its architecture.
    Raises ConfigError where a configuration file cannot be understood.
    """
    edits = TreeEdits.of(tree)
    facts = find_facts(edits.tree)
    kernels = usual_kernels(edits, facts)
    console = console or consoles.suggested(edits, facts.boot_files, kernels, facts.arch)
    return Status(console, tuple(_links(edits, facts, kernels, console)))


def suggested_console(tree: Tree | TreeEdits, *, bare: int = BARE_RATE) -> SerialConsole:
    """The console that an installed system suggests; `bare` is the speed of a `console=` that names none."""
    edits = TreeEdits.of(tree)
    facts = find_facts(edits.tree)
    return consoles.suggested(edits, facts.boot_files, usual_kernels(edits, facts), facts.arch, bare=bare)


def _links(
    edits: TreeEdits, facts: GuestFacts, kernels: Sequence[KernelLine], console: SerialConsole
) -> Iterator[Check]:
    for boot_file in facts.boot_files:
        with named(boot_file.path):
            yield from serving(partial(loaders.module_for(boot_file).checks, edits, boot_file.path), console)
    yield from (_kernel(kernel, console) for kernel in kernels)
    if not facts.boot_files:
        others = list(unedited.checks(unedited.find_in_system(edits)))
        yield from others or [Check(CheckKind.LOADER, False, "", 0, "no known boot loader")]
    elif not kernels and not any(loaders.places(boot_file.loader).is_sealed for boot_file in facts.boot_files):
        yield Check(CheckKind.KERNEL, False, facts.boot_files[0].path, 0, "no Linux boot entry found", hint=_NO_ENTRY)
    yield from init_of(edits, facts).checks(edits, console, kernels)
    if edits.is_there("/etc/securetty"):
        from imgkit.accounts.securetty import login as securetty  # noqa: PLC0415 - for old releases only

        yield from securetty.checks(edits, console)
    for generator in loaders.generators_of(edits):
        yield from serving(partial(generator.checks, edits), console)


def _kernel(kernel: KernelLine, console: SerialConsole) -> Check:
    ok = kernel.has_console(console)
    used = [word for word in kernelargs.texts(kernel.arguments) if word.startswith("console=")]
    told = f"has {' '.join(used)}" if used else "has no console="
    wanted = "" if ok else f", wants {' '.join(kernel.wanted(console))}"
    message = f"{kernel.title or 'kernel'} {told}{wanted}"
    hint = "" if ok else kernel.hint
    return Check(CheckKind.KERNEL, ok, kernel.file, kernel.line, message, hint, entry=kernel.title)
