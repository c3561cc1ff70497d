"""/etc/default/grub and its drop-ins: what every later run of update-grub (grub-mkconfig) makes of the menu.

grub-mkconfig sources /etc/default/grub and then, on Debian and its kin, /etc/default/grub.d/*.cfg in lexical order.
A plain assignment in a drop-in discards what came before; so what lasts is a drop-in that sorts last and appends.

The settings: https://www.gnu.org/software/grub/manual/grub/html_node/Simple-configuration.html
Debian's additions (drop-ins, GRUB_RECORDFAIL_TIMEOUT): grub-mkconfig and grub.d/00_header of Debian's grub2.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.bootloaders.grub2 import words as grubwords
from imgkit.bootloaders.grub2.terminal import Terminals, serial_settings
from imgkit.configtext import kernelargs
from imgkit.configtext.shellvars import Variable, edit_arguments, evaluate, parse, set_variable
from imgkit.configtext.text import append_lines, splice
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from imgkit.configtext.kernelargs import Argument, Arguments
    from imgkit.configtext.serial import SerialConsole

MAIN = "/etc/default/grub"
DROP_IN_FOLDER = "/etc/default/grub.d"

_OWN_NAME = "zz-imgkit-serial.cfg"
_ALL_ENTRIES = "GRUB_CMDLINE_LINUX"
_NORMAL_ENTRIES = "GRUB_CMDLINE_LINUX_DEFAULT"
_HEADER = "# Serial console, added by imgkit. Read after the other files, so it adds to what they set.\n"


@dataclass(frozen=True, slots=True)
class DefaultGrubFacts:
    """The effective settings after all files, by GRUB's names. `files` are the paths, in the order of reading.

    A variable's `file` is an index into `files`. `normal` and `recovery` are the arguments that update-grub will
    write into the entries of either kind; None where the value cannot be read as arguments.
    """

    files: tuple[str, ...]
    variables: Mapping[str, Variable]
    normal: Arguments | None
    recovery: Arguments | None

    def text(self, name: str) -> str:
        """Value of a variable; "" where it is not set."""
        variable = self.variables.get(name)
        return variable.text if variable else ""

    def keeps_console(self, console: SerialConsole, *, recovery: bool = False) -> bool:
        """Whether update-grub will write kernel command lines that use `console`."""
        lines = (self.normal, self.recovery) if recovery else (self.normal,)
        return all(line is not None and kernelargs.has_console(line, console) for line in lines)

    def keeps_terminal(self, console: SerialConsole) -> bool:
        """Whether update-grub will put the menu on `console`."""
        both = self.text("GRUB_TERMINAL")
        inputs = frozenset((both or self.text("GRUB_TERMINAL_INPUT")).split()) or frozenset({"console"})
        # grub-mkconfig's own default for output is gfxterm.
        outputs = frozenset((both or self.text("GRUB_TERMINAL_OUTPUT")).split()) or frozenset({"gfxterm"})
        serial = serial_settings(tuple(self.text("GRUB_SERIAL_COMMAND").split()[1:]))
        return Terminals(inputs, outputs, serial).serve(console)


def reads_drop_ins(grub_mkconfig: str) -> bool:
    """Whether a guest's grub-mkconfig (the text of the script) reads /etc/default/grub.d; upstream's does not."""
    return "/default/grub.d/" in grub_mkconfig


def reading_order(names: Iterable[str]) -> list[str]:
    """Names in the drop-in folder in the order in which they are read; those that are not read left out."""
    return sorted(name for name in names if name.endswith(".cfg") and not name.startswith("."))


def drop_in_name(names: Iterable[str]) -> str:
    """Name for a drop-in that is read after all of `names`."""
    last = max(reading_order(names), default="")
    if last.endswith(_OWN_NAME):
        return last
    return _OWN_NAME if last < _OWN_NAME else f"{last}-{_OWN_NAME}"


def facts(files: Mapping[str, str]) -> DefaultGrubFacts:
    """Effective settings of files, path → text, in the order of reading.

    Raises `ConfigError`, with `path`, for a file that is no shell file that imgkit understands.
    """
    for path, text in files.items():
        with _naming(path):
            parse(text)
    variables = evaluate(files.values(), tuple(files))
    always, normal = (variables[name].text if name in variables else "" for name in (_ALL_ENTRIES, _NORMAL_ENTRIES))
    return DefaultGrubFacts(tuple(files), variables, _arguments(f"{always} {normal}"), _arguments(always))


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Give the path to an error that does not know it yet."""
    try:
        yield
    except ConfigError as error:
        error.path = error.path or path
        raise


def _arguments(value: str) -> Arguments | None:
    try:
        return grubwords.split(value)
    except ConfigError:
        return None


def enable(
    text: str,
    console: SerialConsole,
    *,
    recovery: bool = False,
    remove: Iterable[str] = (),
    timeout: int | None = None,
) -> str:
    """/etc/default/grub alone, with the console. Parameters and errors as for `enable_files`."""
    return enable_files({MAIN: text}, console, recovery=recovery, remove=remove, timeout=timeout).get(MAIN, text)


def enable_files(
    files: Mapping[str, str],
    console: SerialConsole,
    *,
    drop_in: str | None = None,
    recovery: bool = False,
    remove: Iterable[str] = (),
    timeout: int | None = None,
) -> dict[str, str]:
    """The files that change, path → new text, so that update-grub keeps the console.

    `files` are path → text in the order of reading, the main file first. `drop_in` is the path of the drop-in to
    write (`drop_in_name`) where the guest reads drop-ins; without it the main file is edited. In all files what
    contradicts the console, and what `remove` names, goes out of the kernel arguments. Recovery entries get the
    console with `recovery` only. `timeout` is the menu's time in seconds.

    Raises `ConfigError` where a file is not understood, or its own conditions undo the change.
    """
    patterns = tuple(remove)
    current = {}
    for path, text in files.items():
        with _naming(path):
            current[path] = _without_conflicts(text, console, patterns)
    target = drop_in if drop_in is not None else next(iter(files))
    settings = _wanted_settings(facts(current), console, timeout)
    arguments = _wanted_arguments(facts(current), console, recovery=recovery)
    if settings or arguments:
        text = current.get(target, _HEADER)
        for name, value in settings:
            text = set_variable(text, name, value)
        for name, words in arguments:
            text = _append(text, name, words, is_drop_in=drop_in is not None)
        current[target] = text
    changed = {path: text for path, text in current.items() if files.get(path) != text}
    result = facts(current)
    if not (result.keeps_console(console, recovery=recovery) and result.keeps_terminal(console)):
        raise ConfigError(
            "what is set here is undone by the file's own conditions or by a later one",
            path=target,
            hint="Set GRUB_CMDLINE_LINUX, GRUB_TERMINAL and GRUB_SERIAL_COMMAND on plain lines.",
        )
    return changed


def _without_conflicts(text: str, console: SerialConsole, patterns: tuple[str, ...]) -> str:
    """`text` whose kernel arguments do not contradict the console: no other setting of its port."""

    def edit(arguments: Arguments) -> Arguments:
        arguments = kernelargs.remove(arguments, patterns)
        drop = {
            found.index
            for found in kernelargs.consoles(arguments)
            if (found.port == console.port and not found.is_for(console)) or (found.is_vga and not console.wants_vga)
        }
        return tuple(argument for i, argument in enumerate(arguments) if i not in drop)

    return splice(
        text,
        (
            change
            for assignment in parse(text)
            if assignment.name in (_ALL_ENTRIES, _NORMAL_ENTRIES)
            for change in edit_arguments(assignment, edit, grubwords.split, grubwords.quote)
        ),
    )


def _wanted_settings(now: DefaultGrubFacts, console: SerialConsole, timeout: int | None) -> list[tuple[str, str]]:
    """(name, value) of the variables that have to change."""
    wanted = {}
    if not now.keeps_terminal(console):
        # GRUB_TERMINAL overrides GRUB_TERMINAL_INPUT and GRUB_TERMINAL_OUTPUT.
        wanted["GRUB_TERMINAL"] = " ".join(console.grub_terminals())
        if (command := console.grub_serial_command()) is not None:
            wanted["GRUB_SERIAL_COMMAND"] = command
    if timeout is not None:
        wanted["GRUB_TIMEOUT"] = str(timeout)
        wanted["GRUB_RECORDFAIL_TIMEOUT"] = str(timeout)
        if now.text("GRUB_TIMEOUT_STYLE") or now.text("GRUB_HIDDEN_TIMEOUT"):
            wanted["GRUB_TIMEOUT_STYLE"] = "menu"
    return [
        (name, value)
        for name, value in wanted.items()
        if now.text(name) != value or (name in now.variables and not now.variables[name].is_certain)
    ]


def _wanted_arguments(
    now: DefaultGrubFacts, console: SerialConsole, *, recovery: bool
) -> list[tuple[str, tuple[str, ...]]]:
    """(variable, arguments to add to its end). update-grub writes GRUB_CMDLINE_LINUX first, then ..._DEFAULT."""
    if now.normal is None or now.recovery is None:
        raise ConfigError("the kernel arguments would not be one line of grub.cfg", path=now.files[-1])
    wanted = []
    line: Sequence[Argument] = now.normal
    if recovery and not kernelargs.has_console(now.recovery, console):
        words = _missing(now.recovery, console)
        wanted.append((_ALL_ENTRIES, words))
        line = (*now.recovery, *kernelargs.new(words), *now.normal[len(now.recovery) :])
    if not kernelargs.has_console(tuple(line), console):
        wanted.append((_NORMAL_ENTRIES, _missing(line, console)))
    return wanted


def _missing(line: Sequence[Argument], console: SerialConsole) -> tuple[str, ...]:
    has_vga = any(found.is_vga for found in kernelargs.consoles(line))
    return console.kernel_arguments()[1:] if has_vga and console.wants_vga else console.kernel_arguments()


def _append(text: str, name: str, words: tuple[str, ...], *, is_drop_in: bool) -> str:
    """`text` with `words` at the end of what the variable's value is when the shell reaches the end of the file."""
    assignments = [assignment for assignment in parse(text) if assignment.name == name]
    if not assignments and not is_drop_in:
        return set_variable(text, name, " ".join(words))
    if not (assignments and assignments[-1].is_certain):
        return append_lines(text, [f'{name}="${name} {" ".join(words)}"'], "\n")

    def edit(arguments: Arguments) -> Arguments:
        kept = tuple(argument for argument in arguments if argument.text not in words)
        return (*kept, *kernelargs.new(words))

    return splice(text, edit_arguments(assignments[-1], edit, grubwords.split, grubwords.quote))
