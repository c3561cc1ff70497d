"""The recipe for an installed system: boot loaders, what makes their configuration anew, and the login prompt.

Docs of the whole chain: systemd-getty-generator(8), kernel's admin-guide/serial-console, GRUB's manual.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootconfig import bls, defaultgrub, extlinuxdefaults, grubcfg, grubenv, grublegacy, syslinux
from imgkit.bootconfig.serial import SerialConsole
from imgkit.console.draft import Draft
from imgkit.console.kernels import GRUB_ENVIRONMENTS, grub_variables, has_menu, kernel_lines, syslinux_files
from imgkit.console.login import enable_login
from imgkit.errors import UnsupportedError
from imgkit.guest.bootfiles import Loader
from imgkit.guest.facts import find_facts

if TYPE_CHECKING:
    from imgkit.guest.bootfiles import BootFile
    from imgkit.guest.facts import GuestFacts
    from imgkit.tree import Change, Tree

# What Linux calls the first serial port of QEMU's usual machine for each architecture.
_PORTS = {"aarch64": "ttyAMA0", "armv7l": "ttyAMA0", "ppc64": "hvc0", "ppc64le": "hvc0", "s390x": "ttysclp0"}
_QUIET = ("quiet", "rhgb", "splash")
_GRUB_MKCONFIG = ("/usr/sbin/grub-mkconfig", "/usr/sbin/grub2-mkconfig", "/sbin/grub-mkconfig")
KERNEL_CMDLINE = "/etc/kernel/cmdline"
_U_BOOT_UPDATE = "/usr/sbin/u-boot-update"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What else is wanted beside the console.

    `recovery` changes the recovery entries too, `quiet_off` makes the kernel speak (quiet, rhgb and splash go), and
    `timeout` is how long the boot menu shows, in seconds; None leaves it alone.
    """

    recovery: bool = False
    quiet_off: bool = False
    timeout: int | None = None

    @property
    def removed(self) -> tuple[str, ...]:
        """Kernel arguments to take out."""
        return _QUIET if self.quiet_off else ()


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
        _enable_loader(draft, boot_file, console, wishes)
    _keep(draft, console, wishes, facts)
    enable_login(draft, console, facts.init, kernel_lines(draft, facts.boot_files))
    return draft.changes()


def _require_boot_loader(facts: GuestFacts) -> None:
    if not facts.boot_files:
        raise UnsupportedError(
            "no boot loader that is known here: no grub.cfg, loader entry, extlinux.conf or menu.lst was found",
            hint="If the kernel is started from outside, give it console=ttyS0,115200n8 there.",
        )
    if all(boot_file.loader in (Loader.UKI, Loader.SYSTEMD_BOOT) for boot_file in facts.boot_files):
        sealed = next((file.path for file in facts.boot_files if file.loader is Loader.UKI), "")
        if sealed:
            raise UnsupportedError(
                f"{sealed} is a unified kernel image: its command line is sealed inside",
                hint=f"In the guest, add console=ttyS0,115200n8 to {KERNEL_CMDLINE} and have the image built anew.",
            )
        raise UnsupportedError("systemd-boot has no entries: there is no kernel command line to change")


def _enable_loader(draft: Draft, boot_file: BootFile, console: SerialConsole, wishes: Wishes) -> None:
    path, remove, recovery, timeout = boot_file.path, wishes.removed, wishes.recovery, wishes.timeout
    match boot_file.loader:
        case Loader.GRUB if has_menu(draft, path):
            menu = partial(grubcfg.enable, console=console, recovery=recovery, remove=remove, timeout=timeout)
            draft.edit(path, menu)
        case Loader.GRUB_LEGACY:
            old = partial(grublegacy.enable, console=console, recovery=recovery, remove=remove, timeout=timeout)
            draft.edit(path, old)
        case Loader.EXTLINUX:
            for file, _ in list(syslinux_files(draft, path)):
                part = partial(syslinux.enable, included=file != path, recovery=recovery, remove=remove)
                draft.edit(file, partial(part, console=console, timeout=timeout))
        case Loader.BLS:
            for block in GRUB_ENVIRONMENTS:
                draft.edit_bytes(block, partial(grubenv.enable, console=console, remove=remove))
            variables = grub_variables(draft)
            entry = partial(bls.enable, console=console, recovery=recovery, remove=remove, variables=variables)
            draft.edit(path, entry)
        case Loader.SYSTEMD_BOOT if timeout is not None:
            draft.edit(path, partial(bls.set_loader_timeout, seconds=timeout))


def _keep(draft: Draft, console: SerialConsole, wishes: Wishes, facts: GuestFacts) -> None:
    """Have the generators of boot loader configuration know the console, so that it outlives their next run."""
    loaders = {boot_file.loader for boot_file in facts.boot_files}
    if draft.text(defaultgrub.MAIN) is not None:
        _keep_in_default_grub(draft, console, wishes)
    draft.edit(KERNEL_CMDLINE, partial(bls.enable_cmdline, console=console, remove=wishes.removed))
    for generator in extlinuxdefaults.GENERATORS:
        if generator is extlinuxdefaults.U_BOOT_MENU and Loader.EXTLINUX in loaders and draft.is_there(_U_BOOT_UPDATE):
            draft.put(generator.path, draft.text(generator.path) or "")
        edit = partial(
            extlinuxdefaults.enable,
            generator=generator,
            console=console,
            remove=wishes.removed,
            timeout=wishes.timeout,
        )
        draft.edit(generator.path, edit)


def _keep_in_default_grub(draft: Draft, console: SerialConsole, wishes: Wishes) -> None:
    files = default_grub_files(draft)
    # Where drop-ins are, they are read later and may discard what the main file sets.
    names = [path.rpartition("/")[2] for path in files if path != defaultgrub.MAIN]
    drop_in = f"{defaultgrub.DROP_IN_FOLDER}/{defaultgrub.drop_in_name(names)}" if names else None
    changed = defaultgrub.enable_files(
        files,
        console,
        drop_in=drop_in,
        recovery=wishes.recovery,
        remove=wishes.removed,
        timeout=wishes.timeout,
    )
    for path, text in changed.items():
        draft.put(path, text)


def default_grub_files(draft: Draft) -> dict[str, str]:
    """/etc/default/grub and the drop-ins that this guest's grub-mkconfig reads, path → text, in reading order."""
    main = draft.text(defaultgrub.MAIN)
    if main is None:
        return {}
    scripts = (draft.text(path) for path in _GRUB_MKCONFIG)
    script = next((text for text in scripts if text is not None), None)
    files = {defaultgrub.MAIN: main}
    # A guest whose grub-mkconfig is not there gets the benefit of the doubt: who made drop-ins has them read.
    if script is None or defaultgrub.reads_drop_ins(script):
        for name in defaultgrub.reading_order(draft.names(defaultgrub.DROP_IN_FOLDER)):
            path = f"{defaultgrub.DROP_IN_FOLDER}/{name}"
            files[path] = draft.text(path) or ""
    return files
