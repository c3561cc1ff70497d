"""grub.cfg, GRUB 2's menu: what it boots and where it shows the menu, and the edits that put both on a serial line.

A generated grub.cfg lives until the guest runs update-grub again; what lasts is in `defaultgrub`. Files that a script
sources, and loader entries (`blscfg`), are facts here and have modules or calls of their own.

The commands: https://www.gnu.org/software/grub/manual/grub/html_node/Commands.html
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.bootloaders.grub2 import script as grubscript
from imgkit.bootloaders.grub2 import words as grubwords
from imgkit.bootloaders.grub2.script import Block, Command, Function, If, Loop, Statement
from imgkit.bootloaders.grub2.terminal import (
    TERMINAL_COMMANDS,
    Terminals,
    add_terminals,
    insert_before,
    menu_anchor,
    rewrites,
    states,
)
from imgkit.configtext import kernelargs, xen
from imgkit.configtext.text import Setting, Splice, line_number, splice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from imgkit.bootloaders.grub2.words import Word
    from imgkit.configtext.kernelargs import Arguments
    from imgkit.configtext.serial import SerialConsole

_ENTRIES = ("menuentry", "submenu", "hiddenentry")
_INCLUDES = ("source", ".", "configfile", "extract_entries_source", "blscfg", "blsuki", "load_env")
_ENTRY_OPTIONS = ("--class", "--users", "--hotkey", "--id", "--source", "--function")
# "linux$sixteenbit" and the like choose the loader at run time.
_LINUX = re.compile(r"linux(?:16|efi)?|linux\$\{?\w+\}?|\$\{?linux\w*\}?")
_INITRD = re.compile(r"initrd(?:16|efi)?|initrd\$\{?\w+\}?|\$\{?initrd\w*\}?")
_CHAINED = ("source", ".", "configfile")
_HYPERVISOR = ("multiboot", "multiboot2", "xen_hypervisor")
_MODULE = ("module", "module2", "xen_module", "xen_linux")
_KERNEL_NAME = re.compile(r"vmlinu|bzimage|linux|kernel", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A command that loads Linux: its line, its arguments, and whether they start a rescue system.

    Arguments with `$variables` stand as they are written. `hypervisor` holds the arguments of the Xen (or other
    multiboot kernel) that starts this one, None where it starts by itself.
    """

    line: int
    path: str
    arguments: tuple[str, ...]
    is_recovery: bool
    hypervisor: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """A menu entry, or a submenu with its entries. `title` and `id` are as written, with variables.

    `is_certain` says that no condition decides whether it is there, `is_hidden` that only a key leads to it.
    """

    line: int
    title: str
    id: str
    is_certain: bool
    is_hidden: bool
    kernels: tuple[Kernel, ...]
    initrds: tuple[str, ...]
    entries: tuple[MenuEntry, ...]


@dataclass(frozen=True, slots=True)
class GrubFacts:
    """What a grub.cfg sets. `kernels` are all of them, in order, those of nested entries and functions too.

    `terminals` are the `serial` and `terminal_*` commands that run before the menu; `states` is their effect.
    `includes` are read before the menu shows, `chained` are the scripts that an entry goes on with; their names may
    hold variables, of which `prefixes` are the values of `prefix`.
    """

    entries: tuple[MenuEntry, ...]
    kernels: tuple[Kernel, ...]
    terminals: tuple[Setting, ...]
    states: frozenset[Terminals]
    timeouts: tuple[Setting, ...]
    defaults: tuple[Setting, ...]
    includes: tuple[Setting, ...]
    chained: tuple[Setting, ...]
    prefixes: tuple[Setting, ...]

    def shows_menu_on(self, console: SerialConsole) -> bool:
        """Whether the menu is on the serial console (and on the VGA console, as asked) on every path."""
        return all(state.serve(console) for state in self.states)


@dataclass(frozen=True, slots=True)
class _Loader:
    """A command that loads Linux, in the syntax tree; `operands` are the words behind the kernel's path."""

    command: Command
    path: Word
    operands: tuple[Word, ...]
    is_recovery: bool
    hypervisor: Command | None = None


@functools.lru_cache(maxsize=4)  # a recipe and its status ask several questions about one text
def facts(text: str) -> GrubFacts:
    """What the file sets, with line numbers. Raises `ConfigError` where it is no GRUB script."""
    script = grubscript.parse(text)
    before_menu = list(grubscript.commands(script))
    return GrubFacts(
        entries=tuple(_entries(text, script, inherited=False)),
        kernels=tuple(_kernel(text, loader) for loader in _loaders(script, recovery=False)),
        terminals=tuple(_settings(text, before_menu, ("serial", *TERMINAL_COMMANDS))),
        states=states(script),
        timeouts=tuple(_variables(text, script, ("timeout", "timeout_style"))),
        defaults=tuple(_variables(text, script, ("default",))),
        includes=tuple(_settings(text, before_menu, _INCLUDES)),
        chained=tuple(_settings(text, _commands_of_entries(script), _CHAINED)),
        prefixes=tuple(_variables(text, script, ("prefix",))),
    )


def enable(
    text: str,
    console: SerialConsole,
    *,
    recovery: bool = False,
    remove: Iterable[str] = (),
    timeout: int | None = None,
    installer: bool = False,
) -> str:
    """`text` with the console on the kernels' command lines and the menu on the serial line.

    Recovery entries keep their arguments unless `recovery`. `remove` names arguments to take out ("quiet").
    `timeout` is in seconds; None leaves the menu's time alone. `installer` says that "---" marks what the installed
    system inherits. Raises `ConfigError` for what is no GRUB script or switches terminals in an unknown way.
    """
    patterns = tuple(remove)

    def edit(arguments: Arguments, kernel: Kernel) -> Arguments:
        target = xen.dom0_console(kernel.hypervisor, console)
        return kernelargs.set_console(kernelargs.remove(arguments, patterns), target, installer=installer)

    script = grubscript.parse(text)
    changes = [*_argument_splices(text, script, edit, recovery=recovery), *rewrites(script, console)]
    changes += _hypervisor_splices(script, console, recovery=recovery)
    if timeout is not None:
        changes += _timeout_splices(text, script, timeout)
    return add_terminals(splice(text, changes), console)


def edit_arguments(text: str, edit: Callable[[Arguments, Kernel], Arguments], *, recovery: bool = False) -> str:
    """`text` with `edit` applied to the arguments of each kernel; those of recovery entries only with `recovery`."""
    return splice(text, _argument_splices(text, grubscript.parse(text), edit, recovery=recovery))


def _argument_splices(
    text: str, script: Block, edit: Callable[[Arguments, Kernel], Arguments], *, recovery: bool
) -> Iterator[Splice]:
    for loader in _loaders(script, recovery=False):
        if recovery or not loader.is_recovery:
            before = grubwords.arguments(loader.operands)
            after = edit(before, _kernel(text, loader))
            yield from kernelargs.splices(before, after, loader.path.stop, follows=True, write=grubwords.quote)


def _hypervisor_splices(script: Block, console: SerialConsole, *, recovery: bool) -> Iterator[Splice]:
    """Where Xen has the port, its own console has to be there too."""
    for loader in _loaders(script, recovery=False):
        if loader.hypervisor is not None and (recovery or not loader.is_recovery):
            words = loader.hypervisor.words
            before = grubwords.arguments(words[1:])
            after = xen.set_console(before, console)
            yield from kernelargs.splices(before, after, words[0].stop, follows=True, write=grubwords.quote)


# -- timeout and default ----------------------------------------------------------------------------------------------


def set_timeout(text: str, seconds: int) -> str:
    """`text` whose menu shows for `seconds`: also after a failed boot, and where the menu was hidden."""
    return splice(text, _timeout_splices(text, grubscript.parse(text), seconds))


def set_default(text: str, entry: str) -> str:
    """`text` whose menu starts with `entry`: an entry's number, title or id."""
    return splice(text, _variable_splices(text, grubscript.parse(text), {"default": entry}))


def _timeout_splices(text: str, script: Block, seconds: int) -> list[Splice]:
    return _variable_splices(text, script, {"timeout": str(seconds), "timeout_style": "menu"})


def _variable_splices(text: str, script: Block, wanted: dict[str, str]) -> list[Splice]:
    """Splices that give variables other values; the first of `wanted` is set where nothing sets it yet."""
    found = list(_assignments(script, tuple(wanted)))
    first = next(iter(wanted))
    assignments = {name: grubwords.quote(f"{name}={value}") for name, value in wanted.items()}
    changes = [Splice(word.start, word.stop, assignments[name]) for name, value, word in found if value != wanted[name]]
    anchor = menu_anchor(script)
    if anchor is not None and not any(name == first for name, _, _ in found):
        changes.append(insert_before(text, anchor, [f"set {assignments[first]}"]))
    return changes


def _assignments(block: Block, names: tuple[str, ...]) -> Iterator[tuple[str, str, Word]]:
    """(name, value, word) of each assignment to one of `names` that runs before the menu shows.

    Not a time of 0 behind a `sleep`: there GRUB versions without timeout_style have shown their menu already.
    """
    for statement in block:
        match statement:
            case Command():
                word = (
                    statement.words[1] if statement.name == "set" and len(statement.words) > 1 else statement.words[0]
                )
                name, equals, value = word.value.partition("=")
                if equals and name in names:
                    yield name, value, word
            case If():
                for condition, body in statement.branches:
                    slept = any(command.name == "sleep" for command in grubscript.commands(condition))
                    yield from (found for found in _assignments(body, names) if not (slept and found[1] == "0"))
                yield from _assignments(statement.otherwise, names)
            case Loop():
                yield from _assignments(statement.body, names)
            case Function():
                pass


# -- facts ------------------------------------------------------------------------------------------------------------


def _loaders(block: Block, *, recovery: bool) -> Iterator[_Loader]:
    """Commands that load Linux, at any depth; `recovery` says that they stand in a recovery entry."""
    hypervisor: Command | None = None
    for command in _all_commands(block):
        if command.block is not None:
            inside = recovery or _is_recovery_entry(command)
            yield from _loaders(command.block, recovery=inside)
        elif command.name in _HYPERVISOR:
            hypervisor = command
        elif _LINUX.fullmatch(command.name):
            yield from _loader(command, None, recovery=recovery)
        elif command.name in _MODULE and hypervisor is not None:
            # The first module behind a hypervisor is dom0's kernel, the others are its initrd and firmware.
            yield from _loader(command, hypervisor, recovery=recovery)
            hypervisor = None


def _all_commands(block: Block) -> Iterator[Command]:
    """The commands of a block, those in function bodies too."""
    for statement in block:
        if isinstance(statement, Function):
            yield from _all_commands(statement.body)
        else:
            yield from grubscript.commands((statement,))


def _loader(command: Command, hypervisor: Command | None, *, recovery: bool) -> Iterator[_Loader]:
    words = [word for word in command.words[1:] if not word.value.startswith("--")]
    if not words or not kernelargs.is_linux(words[0].value):
        return
    if hypervisor is not None and not (_is_xen(hypervisor) or _KERNEL_NAME.search(words[0].value)):
        return
    operands = tuple(word for word in command.words if word.start > words[0].start)
    rescue = recovery or kernelargs.is_recovery(grubwords.arguments(operands))
    yield _Loader(command, words[0], operands, rescue, hypervisor)


def _is_xen(command: Command) -> bool:
    """Whether a multiboot kernel is Xen, whose first module is a Linux, whatever its name."""
    names = (word.rpartition("/")[2] for word in command.operands if not word.startswith("--"))
    return command.name == "xen_hypervisor" or next(names, "").startswith("xen")


def _kernel(text: str, loader: _Loader) -> Kernel:
    return Kernel(
        line=line_number(text, loader.command.start),
        path=loader.path.value,
        arguments=tuple(word.value for word in loader.operands),
        is_recovery=loader.is_recovery,
        hypervisor=loader.hypervisor.operands if loader.hypervisor else None,
    )


def _entries(text: str, block: Block, *, inherited: bool) -> Iterator[MenuEntry]:
    unconditional = {statement.start for statement in block}
    for command in _all_commands(block):
        if command.block is None or command.name not in _ENTRIES:
            continue
        recovery = inherited or _is_recovery_entry(command)
        title, identifier = _title_and_id(command)
        # Kernels of nested entries belong to those.
        own = tuple(statement for statement in command.block if not _holds_entry(statement))
        yield MenuEntry(
            line=line_number(text, command.start),
            title=title,
            id=identifier,
            is_certain=command.start in unconditional,
            is_hidden=command.name == "hiddenentry",
            kernels=tuple(_kernel(text, loader) for loader in _loaders(own, recovery=recovery)),
            initrds=tuple(_initrds(own)),
            entries=tuple(_entries(text, command.block, inherited=recovery)),
        )


def _initrds(block: Block) -> Iterator[str]:
    for command in _all_commands(block):
        if _INITRD.fullmatch(command.name):
            yield from command.operands


def _commands_of_entries(block: Block) -> Iterator[Command]:
    """The commands inside menu entries, at any depth."""
    for command in _all_commands(block):
        if command.block is not None:
            yield from _all_commands(command.block)
            yield from _commands_of_entries(command.block)


def _holds_entry(statement: Statement) -> bool:
    return any(command.name in _ENTRIES for command in grubscript.commands((statement,)))


def _is_recovery_entry(command: Command) -> bool:
    """By GRUB's own marks: the title in English, and the id, which is never translated."""
    title, identifier = _title_and_id(command)
    return "(recovery mode)" in title or "-recovery-" in identifier


def _title_and_id(command: Command) -> tuple[str, str]:
    title, identifier = "", ""
    words = iter(command.operands)
    for word in words:
        if word.startswith("--id="):
            identifier = word.removeprefix("--id=")
        elif word in ("--id", "$menuentry_id_option", "${menuentry_id_option}"):
            identifier = next(words, "")
        elif word in _ENTRY_OPTIONS:
            next(words, "")
        elif not word.startswith("--"):
            title = title or word
    return title, identifier


def _settings(text: str, commands: Iterable[Command], names: tuple[str, ...]) -> Iterator[Setting]:
    for command in commands:
        if command.name in names:
            yield Setting(line_number(text, command.start), command.name, " ".join(command.operands))


def _variables(text: str, script: Block, names: tuple[str, ...]) -> Iterator[Setting]:
    for name, value, word in _assignments(script, names):
        yield Setting(line_number(text, word.start), name, value)
