"""Every kernel command line of an installed system, whatever boot loader holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.bootconfig import bls, grubcfg, grubenv, grublegacy, kernelargs, syslinux
from imgkit.console.draft import named
from imgkit.guest.bootfiles import Loader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgkit.bootconfig.kernelargs import Arguments
    from imgkit.console.draft import Draft
    from imgkit.guest.bootfiles import BootFile

GRUB_ENVIRONMENTS = ("/boot/grub2/grubenv", "/boot/grub/grubenv", "/boot/efi/EFI/fedora/grubenv")


@dataclass(frozen=True, slots=True)
class KernelLine:
    """One command line: its file and line (0: the file has none), the entry's title, the arguments.

    Where the line refers to GRUB's `kernelopts`, what that stands for is among the arguments.
    """

    file: str
    line: int
    title: str
    arguments: Arguments
    is_recovery: bool


def kernel_lines(draft: Draft, boot_files: Iterable[BootFile]) -> Iterator[KernelLine]:
    """All command lines, in the order of the files and of the entries in each."""
    for boot_file in boot_files:
        if boot_file.loader in _READERS:
            with named(boot_file.path):
                yield from _READERS[boot_file.loader](draft, boot_file.path)


def grub_variables(draft: Draft) -> dict[str, str]:
    """GRUB's environment, to which loader entries refer."""
    for path in GRUB_ENVIRONMENTS:
        block = draft.read(path)
        if block is not None:
            with named(path):
                return grubenv.facts(block)
    return {}


def has_menu(draft: Draft, path: str) -> bool:
    """Whether a grub.cfg is the real one. The one on an ESP mostly only looks for that."""
    with named(path):
        found = grubcfg.facts(draft.text(path) or "")
    return bool(found.kernels or found.entries) or any(include.name == "blscfg" for include in found.includes)


def syslinux_files(draft: Draft, path: str) -> Iterator[tuple[str, syslinux.SyslinuxFacts]]:
    """A SYSLINUX configuration and all that it includes, in reading order. What is missing is passed over."""
    seen: set[str] = set()
    pending = [path]
    while pending:
        path = pending.pop(0)
        text = draft.text(path) if path not in seen else None
        seen.add(path)
        if text is None:
            continue
        facts = syslinux.facts(text)
        yield path, facts
        folder = path.rpartition("/")[0]
        included = [setting.value for setting in facts.includes if setting.value]
        pending = [name if name.startswith("/") else f"{folder}/{name}" for name in included] + pending


def _grub(draft: Draft, path: str) -> Iterator[KernelLine]:
    facts = grubcfg.facts(draft.text(path) or "")
    titles = dict(_grub_titles(facts.entries))
    for kernel in facts.kernels:
        title = titles.get(kernel.line, kernel.path)
        yield KernelLine(path, kernel.line, title, kernelargs.new(kernel.arguments), kernel.is_recovery)


def _grub_titles(entries: Iterable[grubcfg.Entry]) -> Iterator[tuple[int, str]]:
    for entry in entries:
        yield from ((kernel.line, entry.title) for kernel in entry.kernels)
        yield from _grub_titles(entry.entries)


def _grub_legacy(draft: Draft, path: str) -> Iterator[KernelLine]:
    for kernel in grublegacy.facts(draft.text(path) or "").kernels:
        yield KernelLine(path, kernel.line, kernel.title, kernelargs.new(kernel.arguments), kernel.is_recovery)


def _syslinux(draft: Draft, path: str) -> Iterator[KernelLine]:
    for file, facts in syslinux_files(draft, path):
        for label in facts.labels:
            if label.is_linux:
                line, arguments = label.append_line or label.line, kernelargs.new(label.arguments)
                yield KernelLine(file, line, label.title or label.name, arguments, label.is_recovery)


def _loader_entry(draft: Draft, path: str) -> Iterator[KernelLine]:
    entry = bls.facts(draft.text(path) or "")
    if entry.linux and kernelargs.is_linux(entry.linux):
        variables = grub_variables(draft)
        referred = [word for name in entry.references for word in variables.get(name, "").split()]
        arguments = kernelargs.new((*entry.arguments, *referred))
        yield KernelLine(path, entry.line, entry.title, arguments, entry.is_recovery)


_READERS = {
    Loader.GRUB: _grub,
    Loader.GRUB_LEGACY: _grub_legacy,
    Loader.EXTLINUX: _syslinux,
    Loader.BLS: _loader_entry,
}
