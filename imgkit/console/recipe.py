"""The recipe for an installed system: boot loaders, login prompt, and what makes the configuration anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imgkit import bootloaders as loaders
from imgkit.bootloaders import unedited
from imgkit.configtext.options import DefaultEntry, EnableOptions
from imgkit.console.facts import find_facts, init_of, usual_kernels
from imgkit.errors import UnsupportedError, UsageError
from imgkit.treeedits import TreeEdits, named

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgkit.configtext.serial import SerialConsole
    from imgkit.console.facts import GuestFacts
    from imgkit.tree import Change, Tree


def enable(
    tree: Tree | TreeEdits,
    console: SerialConsole,
    options: EnableOptions | None = None,
    *,
    announce: Callable[[str], None] | None = None,
) -> list[Change]:
    """The changes that give an installed system a serial console; none where it has it.

    `announce` is told of each change in what the system does by itself. Raises UnsupportedError where no boot loader is
    known, or all command lines are sealed; ConfigError where a configuration file cannot be understood; UsageError
    where `options.default` names an entry.
    """
    if options is not None and options.default not in tuple(DefaultEntry):
        raise UsageError(
            f"--default {options.default!r} names an entry of an ISO's menu, and this is an installed system",
            hint="Set GRUB_DEFAULT, or the default of its boot loader, with `imgkit edit`.",
        )
    edits = TreeEdits.of(tree)
    facts = find_facts(edits.tree)
    _require_boot_loader(edits, facts, console)
    init = init_of(edits, facts)
    options = replace(options or EnableOptions(), unwanted=init.unwanted(console))
    only_recovery = all(kernel.is_recovery for kernel in usual_kernels(edits, facts))
    in_menus = replace(options, recovery=options.recovery or only_recovery)
    for boot_file in facts.boot_files:
        with named(boot_file.path):
            loaders.module_for(boot_file).enable(edits, boot_file.path, console, in_menus)
    for generator in loaders.generators_of(edits):
        generator.enable(edits, console, options)
    init.enable(edits, console, usual_kernels(edits, facts))
    if edits.is_there("/etc/securetty"):
        from imgkit.accounts.securetty import login as securetty  # noqa: PLC0415 - for old releases only

        securetty.enable(edits, console)
    if announce is not None:
        for sentence in edits.announcements:
            announce(sentence)
    return edits.changes()


def _require_boot_loader(edits: TreeEdits, facts: GuestFacts, console: SerialConsole) -> None:
    if not facts.boot_files:
        for other in unedited.checks(unedited.find_in_system(edits)):
            raise UnsupportedError(f"{other.file} {other.message}", hint=other.hint)
        raise UnsupportedError(
            "no known boot loader: no grub.cfg, loader entry, extlinux.conf or menu.lst was found",
            hint=f"If the kernel is loaded from outside the image, give it {console.kernel_argument()} there.",
        )
    known = {boot_file.path: loaders.places(boot_file.loader) for boot_file in facts.boot_files}
    if any(there.has_entries for there in known.values()):
        return
    sealed = next((path for path, there in known.items() if there.is_sealed), None)
    if sealed is None:
        raise UnsupportedError(
            "systemd-boot has no entries: there is no kernel command line to change",
            hint="Install a kernel in the guest first: kernel-install add-all.",
        )
    if usual_kernels(edits, facts):
        return  # its own command line has a serial console
    raise UnsupportedError(
        f"{sealed} is a unified kernel image: its command line is sealed inside",
        hint=f"In the guest, add {console.kernel_argument()} to /etc/kernel/cmdline and have the image built anew.",
    )
