"""The recipe for an installed system: boot loaders, login prompt, and what makes the configuration anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.console import keepers, loaders, logins
from imgkit.console.draft import Draft, named
from imgkit.console.model import SerialConsole, Wishes
from imgkit.errors import UnsupportedError
from imgkit.guest.bootfiles import Loader
from imgkit.guest.facts import find_facts

if TYPE_CHECKING:
    from imgkit.guest.facts import GuestFacts
    from imgkit.tree import Change, Tree

# What Linux calls the first serial port of QEMU's usual machine for each architecture.
_PORTS = {"aarch64": "ttyAMA0", "armv7l": "ttyAMA0", "ppc64": "hvc0", "ppc64le": "hvc0", "s390x": "ttysclp0"}


def default_console(arch: str) -> SerialConsole:
    """The console for a machine of this architecture (`uname -m`); ttyS0 where nothing else is known."""
    return SerialConsole(port=_PORTS.get(arch, "ttyS0"))


def enable(tree: Tree, console: SerialConsole, wishes: Wishes | None = None) -> list[Change]:
    """The changes that give an installed system a serial console; none where it has it.

    Raises UnsupportedError where no boot loader is known, or all command lines are sealed; ConfigError where a
    configuration file cannot be understood.
    """
    wishes = wishes or Wishes()
    draft, facts = Draft(tree), find_facts(tree)
    _require_boot_loader(facts)
    for boot_file in facts.boot_files:
        with named(boot_file.path):
            loaders.module_for(boot_file).enable(draft, boot_file.path, console, wishes)
    for keeper in keepers.modules_for(draft):
        keeper.enable(draft, console, wishes)
    kernels = [kernel for kernel in loaders.kernel_lines(draft, facts.boot_files) if not kernel.is_recovery]
    logins.module_for(facts.init).enable(draft, console, kernels)
    if draft.is_there("/etc/securetty"):
        from imgkit.console.logins import securetty  # noqa: PLC0415 - for old releases only

        securetty.enable(draft, console)
    return draft.changes()


def _require_boot_loader(facts: GuestFacts) -> None:
    if not facts.boot_files:
        raise UnsupportedError(
            "no boot loader that is known here: no grub.cfg, loader entry, extlinux.conf or menu.lst was found",
            hint="If the kernel is started from outside, give it console=ttyS0,115200n8 there.",
        )
    if any(boot_file.loader not in (Loader.UKI, Loader.SYSTEMD_BOOT) for boot_file in facts.boot_files):
        return
    sealed = next((boot_file.path for boot_file in facts.boot_files if boot_file.loader is Loader.UKI), None)
    if sealed is None:
        raise UnsupportedError("systemd-boot has no entries: there is no kernel command line to change")
    raise UnsupportedError(
        f"{sealed} is a unified kernel image: its command line is sealed inside",
        hint="In the guest, add console=ttyS0,115200n8 to /etc/kernel/cmdline and have the image built anew.",
    )
