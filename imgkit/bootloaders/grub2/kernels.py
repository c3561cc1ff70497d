"""The commands of a GRUB script that load Linux, by itself or under Xen.

What an extension means only other boot loaders know: GRUB's `linux` takes whatever it is given.

The commands: https://www.gnu.org/software/grub/manual/grub/html_node/Commands.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.bootloaders.grub2 import script, words
from imgkit.bootloaders.grub2.menus import Kernel
from imgkit.configtext import kernelargs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imgkit.bootloaders.grub2.menus import Step
    from imgkit.bootloaders.grub2.script import Block, Command
    from imgkit.bootloaders.grub2.source import Source
    from imgkit.bootloaders.grub2.words import Word

# "linux$sixteenbit" and the like choose the loader at run time.
_LINUX = re.compile(r"linux(?:16|efi)?|linux\$\{?\w+\}?|\$\{?linux\w*\}?")
_INITRD = re.compile(r"initrd(?:16|efi)?|initrd\$\{?\w+\}?|\$\{?initrd\w*\}?")
_HYPERVISOR = ("multiboot", "multiboot2", "xen_hypervisor")
_MODULE = ("module", "module2", "xen_module", "xen_linux")
_KERNEL_NAME = re.compile(r"vmlinu|bzimage|linux|kernel", re.IGNORECASE)
_RAM_DISK = re.compile(r"init|ucode|\.img$|\.cpio|\.[gx]z$", re.IGNORECASE)
_ENTRY_OPTIONS = ("--class", "--users", "--hotkey", "--id", "--source", "--function")


@dataclass(frozen=True, slots=True)
class Loader:
    """A command that loads Linux: the word with the kernel's path, and the words behind it.

    `is_recovery` says that the arguments, or the menu entry, start a rescue system. `hypervisor` is the command that
    loads the Xen, or other multiboot kernel, which starts this kernel; None where it starts by itself.
    """

    command: Command
    path: Word
    operands: tuple[Word, ...]
    is_recovery: bool
    hypervisor: Command | None = None


def find_loaders(block: Block, *, recovery: bool = False) -> Iterator[Loader]:
    """All of a script, at any depth, whether they run or not; `recovery`: they stand in a recovery entry."""
    for command in script.commands(block, functions=True):
        if command.block is not None:
            yield from find_loaders(command.block, recovery=recovery or is_recovery_entry(command.operands))
    yield from loaders_among(script.commands(block, functions=True), recovery=recovery)


def loaders_among(commands: Iterable[Command], *, recovery: bool = False) -> Iterator[Loader]:
    """Those among commands that run in this order."""
    hypervisor: Command | None = None
    for command in commands:
        if command.name in _HYPERVISOR:
            hypervisor = command
        elif _LINUX.fullmatch(command.name) or _is_named_by_variable(command):
            yield from _loader(command, None, recovery=recovery)
        elif command.name in _MODULE and hypervisor is not None:
            # The first module behind a hypervisor is dom0's kernel, the others are its initrd and firmware.
            yield from _loader(command, hypervisor, recovery=recovery)
            hypervisor = None


def _is_named_by_variable(command: Command) -> bool:
    """Whether a command that only a variable names is given a kernel."""
    first = next((word.value for word in command.words[1:] if not word.value.startswith("--")), "")
    name = first.rpartition("/")[2]
    return command.name.startswith("$") and bool(_KERNEL_NAME.search(name)) and not _RAM_DISK.search(name)


def is_initrd(command: Command) -> bool:
    """Whether it loads initial RAM disks."""
    return _INITRD.fullmatch(command.name) is not None


def is_recovery_entry(operands: Sequence[str]) -> bool:
    """Whether a menu entry starts a rescue system, by GRUB's own marks: the title, and the id, never translated."""
    title, identifier, _ = title_and_id(operands)
    return "(recovery mode)" in title or "-recovery-" in identifier


def title_and_id(operands: Sequence[str]) -> tuple[str, str, tuple[str, ...]]:
    """A menu entry's title, its id or "", and the arguments that its block gets, of which the title is the first."""
    identifier, arguments = "", []
    rest = iter(operands)
    for word in rest:
        if word.startswith("--id="):
            identifier = word.removeprefix("--id=")
        elif word in ("--id", "$menuentry_id_option", "${menuentry_id_option}"):
            identifier = next(rest, "")
        elif word in _ENTRY_OPTIONS:
            next(rest, "")
        elif not word.startswith("--"):
            arguments.append(word)
    return arguments[0] if arguments else "", identifier, tuple(arguments)


def kernels_among(steps: Sequence[Step], *, recovery: bool) -> Iterator[Kernel]:
    """The kernels among the commands of an entry, with their words expanded."""
    by_command = {id(step.command): step for step in steps}
    for loader in loaders_among([step.command for step in steps], recovery=recovery):
        step = by_command[id(loader.command)]
        hypervisor = by_command[id(loader.hypervisor)].operands if loader.hypervisor else None
        options = sum(word.stop <= loader.path.start for word in loader.command.words[1:])
        yield kernel_of(step.source, loader, hypervisor, step.operands[options:])


def kernel_of(
    source: Source, loader: Loader, hypervisor: tuple[str, ...] | None = None, words: Sequence[str] = ()
) -> Kernel:
    """What a loader loads; `words`, if given, are its path and arguments in expanded form."""
    words = words or [loader.path.value, *(word.value for word in loader.operands)]
    xen = loader.hypervisor.operands if loader.hypervisor else None
    return Kernel(
        file=source.file,
        line=source.line(loader.command.start),
        path=words[0],
        arguments=tuple(words[1:]),
        is_recovery=loader.is_recovery,
        hypervisor=hypervisor or xen,
    )


def _loader(command: Command, hypervisor: Command | None, *, recovery: bool) -> Iterator[Loader]:
    found = [word for word in command.words[1:] if not word.value.startswith("--")]
    if not found or not kernelargs.is_linux(found[0].value):
        return
    if hypervisor is not None and not (_is_xen(hypervisor) or _KERNEL_NAME.search(found[0].value)):
        return
    operands = tuple(word for word in command.words if word.start > found[0].start)
    rescue = recovery or kernelargs.is_recovery(words.arguments(operands))
    yield Loader(command, found[0], operands, rescue, hypervisor)


def _is_xen(command: Command) -> bool:
    """Whether a multiboot kernel is Xen, whose first module is a Linux, whatever its name."""
    names = (word.rpartition("/")[2] for word in command.operands if not word.startswith("--"))
    return command.name == "xen_hypervisor" or next(names, "").startswith("xen")
