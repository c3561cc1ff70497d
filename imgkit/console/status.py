"""Whether an installed system has a serial console, link by link, each with the file and line that decides.

The chain: the boot loader talks on the line, the kernel does, somebody asks for a login there, root may answer, and
all of it outlives the next run of what generates the boot loader's configuration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from imgkit.bootconfig import (
    bls,
    defaultgrub,
    extlinuxdefaults,
    grubcfg,
    grublegacy,
    inittab,
    kernelargs,
    securetty,
    syslinux,
    systemd,
    upstart,
)
from imgkit.bootconfig.serial import SerialConsole
from imgkit.console.draft import Draft, named
from imgkit.console.kernels import has_menu, kernel_lines
from imgkit.console.login import INITTAB, RHEL_SERIAL_JOB, SECURETTY
from imgkit.console.recipe import KERNEL_CMDLINE, default_console, default_grub_files
from imgkit.errors import UsageError
from imgkit.guest.bootfiles import Loader
from imgkit.guest.facts import Init, find_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imgkit.console.kernels import KernelLine
    from imgkit.guest.bootfiles import BootFile
    from imgkit.guest.facts import GuestFacts
    from imgkit.tree import Tree

_OPTIONS = re.compile(r"(\d+)([noe])?([78])?")


class LinkKind(StrEnum):
    """The links of the chain."""

    LOADER = "boot loader"
    KERNEL = "kernel"
    GETTY = "login prompt"
    ROOT = "root login"
    KEPT = "persistence"


@dataclass(frozen=True, slots=True)
class Link:
    """One link: whether it holds, the file that decides and its line (0: the file as a whole), and why."""

    kind: LinkKind
    ok: bool
    file: str
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Status:
    """The whole chain for one serial console."""

    console: SerialConsole
    links: tuple[Link, ...]

    @property
    def enabled(self) -> bool:
        """Whether every link holds."""
        return all(link.ok for link in self.links)


def status(tree: Tree, console: SerialConsole | None = None) -> Status:
    """The state of an installed system's serial console.

    Without `console`, of the one that its kernel uses, or, where it uses none, of the usual one for its architecture.
    Raises ConfigError where a configuration file cannot be understood.
    """
    draft, facts = Draft(tree), find_facts(tree)
    kernels = [kernel for kernel in kernel_lines(draft, facts.boot_files) if not kernel.is_recovery]
    console = console or _console_in_use(kernels) or default_console(facts.arch)
    links = [
        *_loaders(draft, facts.boot_files, console),
        *_kernels(kernels, facts.boot_files, console),
        *_getty(draft, facts, kernels, console),
        *_root_login(draft, console),
        *_kept(draft, console),
    ]
    return Status(console, tuple(links))


def _console_in_use(kernels: Sequence[KernelLine]) -> SerialConsole | None:
    for kernel in kernels:
        consoles = kernelargs.consoles(kernel.arguments)
        serial = [console for console in consoles if not console.is_vga]
        match = _OPTIONS.fullmatch(serial[-1].options or "9600") if serial else None
        if match is None:
            continue
        keep_vga = any(console.is_vga for console in consoles)
        try:
            return SerialConsole(
                port=serial[-1].port,
                baud=int(match[1]),
                parity=match[2] or "n",
                data_bits=int(match[3] or 8),
                keep_vga=keep_vga,
            )
        except UsageError:  # a port that is none of ours
            continue
    return None


def _loaders(draft: Draft, boot_files: Iterable[BootFile], console: SerialConsole) -> Iterator[Link]:
    for boot_file in boot_files:
        path = boot_file.path
        with named(path):
            text = draft.text(path) or "" if boot_file.loader is not Loader.UKI else ""
            match boot_file.loader:
                case Loader.GRUB if has_menu(draft, path):
                    found = grubcfg.facts(text)
                    lines = [setting.line for setting in found.terminals]
                    yield _menu(path, max(lines, default=0), console, shown=found.shows_menu_on(console))
                case Loader.GRUB_LEGACY:
                    old = grublegacy.facts(text)
                    lines = [s.line for s in old.settings if s.name in ("serial", "terminal")]
                    yield _menu(path, max(lines, default=0), console, shown=old.shows_menu_on(console))
                case Loader.EXTLINUX:
                    menu = syslinux.facts(text)
                    serial = menu.last("serial")
                    yield _menu(path, serial.line if serial else 0, console, shown=menu.shows_menu_on(console))
                case Loader.SYSTEMD_BOOT:
                    yield Link(LinkKind.LOADER, True, path, 0, "systemd-boot uses the firmware's console")


def _menu(path: str, line: int, console: SerialConsole, *, shown: bool) -> Link:
    if shown:
        return Link(LinkKind.LOADER, True, path, line, f"menu is on {console.port}")
    also = " and on the screen" if console.keep_vga else " alone"
    return Link(LinkKind.LOADER, False, path, line, f"menu is not on {console.port} at {console.baud} baud{also}")


def _kernels(kernels: Sequence[KernelLine], boot_files: Sequence[BootFile], console: SerialConsole) -> Iterator[Link]:
    for kernel in kernels:
        ok = kernelargs.has_console(kernel.arguments, console)
        used = [word for word in kernelargs.texts(kernel.arguments) if word.startswith("console=")]
        told = f"has {' '.join(used)}" if used else "has no console="
        wanted = "" if ok else f", wants {' '.join(console.kernel_arguments())}"
        yield Link(LinkKind.KERNEL, ok, kernel.file, kernel.line, f"{kernel.title or 'kernel'} {told}{wanted}")
    for boot_file in boot_files:
        if boot_file.loader is Loader.UKI:
            message = "unified kernel image: its command line is sealed inside and not read here"
            yield Link(LinkKind.KERNEL, False, boot_file.path, 0, message)
    if not kernels and not any(boot_file.loader is Loader.UKI for boot_file in boot_files):
        yield Link(LinkKind.KERNEL, False, "", 0, "no kernel command line was found: no boot loader that is known here")


def _getty(draft: Draft, facts: GuestFacts, kernels: Sequence[KernelLine], console: SerialConsole) -> Iterator[Link]:
    if facts.init is Init.SYSTEMD:
        yield _systemd_getty(draft, kernels, console)
        return
    if facts.init is Init.UPSTART:
        yield _upstart_getty(draft, console)
        return
    text = draft.text(INITTAB)
    if text is None:
        yield Link(LinkKind.GETTY, False, "", 0, f"init system is {facts.init}, and there is no {INITTAB}")
        return
    with named(INITTAB):
        found = inittab.facts(text)
    entry = found.active(console.port)
    ok = found.has_getty(console)
    told = f"asks for a login on {console.port}" if ok else f"no getty on {console.port} at {console.baud} baud"
    yield Link(LinkKind.GETTY, ok, INITTAB, entry.line if entry else 0, told)
    if console.wants_vga and not found.has_vga_getty():
        yield Link(LinkKind.GETTY, False, INITTAB, 0, "no getty on the screen's terminals")


def _systemd_getty(draft: Draft, kernels: Sequence[KernelLine], console: SerialConsole) -> Link:
    unit = systemd.getty_unit(console)
    for path in systemd.masks(console):
        if draft.link_target(path) == "/dev/null":
            return Link(LinkKind.GETTY, False, path, 0, f"{unit} is masked")
    path, _ = systemd.wants_link(console)
    if draft.is_there(path):
        return Link(LinkKind.GETTY, True, path, 0, f"systemd starts {unit}")
    for kernel in kernels:
        if systemd.generator_is_off(kernel.arguments):
            told = f"systemd.getty_auto switches off what would start {unit}"
            return Link(LinkKind.GETTY, False, kernel.file, kernel.line, told)
    if any(console.port == used.port for kernel in kernels for used in kernelargs.consoles(kernel.arguments)):
        return Link(LinkKind.GETTY, True, "", 0, f"systemd starts {unit}, because the kernel uses {console.port}")
    return Link(LinkKind.GETTY, False, "", 0, f"systemd starts {unit} only where the kernel uses {console.port}")


def _upstart_getty(draft: Draft, console: SerialConsole) -> Link:
    if draft.is_there(RHEL_SERIAL_JOB):
        return Link(LinkKind.GETTY, True, RHEL_SERIAL_JOB, 0, "starts a getty on the kernel's console")
    path = upstart.path(console)
    with named(path):
        job = upstart.facts(draft.text(path) or "")
    if job.has_getty(console):
        return Link(LinkKind.GETTY, True, path, job.line, f"asks for a login on {console.port}")
    return Link(LinkKind.GETTY, False, path, job.line, f"no job asks for a login on {console.port}")


def _root_login(draft: Draft, console: SerialConsole) -> Iterator[Link]:
    text = draft.text(SECURETTY)
    if text is None:
        return
    line = next((setting.line for setting in securetty.facts(text) if setting.name == console.port), 0)
    told = f"root may log in on {console.port}" if line else f"root may not log in on {console.port}"
    yield Link(LinkKind.ROOT, bool(line), SECURETTY, line, told)


def _kept(draft: Draft, console: SerialConsole) -> Iterator[Link]:
    files = default_grub_files(draft)
    if files:
        yield from _kept_by_grub(files, console)
    cmdline = draft.text(KERNEL_CMDLINE)
    if cmdline is not None:
        with named(KERNEL_CMDLINE):
            arguments = kernelargs.new(bls.cmdline_facts(cmdline))
        ok = kernelargs.has_console(arguments, console)
        told = "new kernels will use" if ok else "new kernels will not use"
        yield Link(LinkKind.KEPT, ok, KERNEL_CMDLINE, 1, f"{told} {console.port}")
    for generator in extlinuxdefaults.GENERATORS:
        text = draft.text(generator.path)
        if text is not None:
            with named(generator.path):
                found = extlinuxdefaults.facts(text, generator)
            ok = found.keeps_console(console)
            told = f"{generator.arguments} {'has' if ok else 'lacks'} {console.kernel_argument()}"
            yield Link(LinkKind.KEPT, ok, generator.path, found.line, told)


def _kept_by_grub(files: dict[str, str], console: SerialConsole) -> Iterator[Link]:
    found = defaultgrub.facts(files)
    for names, ok, what in (
        (("GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"), found.keeps_console(console), "kernels on"),
        (("GRUB_TERMINAL", "GRUB_TERMINAL_OUTPUT", "GRUB_SERIAL_COMMAND"), found.keeps_terminal(console), "menu on"),
    ):
        decisive = [found.variables[name] for name in names if name in found.variables]
        last = max(decisive, key=lambda variable: (variable.file, variable.line), default=None)
        file, line = (found.files[last.file], last.line) if last else (defaultgrub.MAIN, 0)
        told = f"update-grub {'keeps' if ok else 'will not put'} the {what} {console.port}"
        yield Link(LinkKind.KEPT, ok, file, line, told)
