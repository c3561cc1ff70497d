"""The kernel command line as tokens, and edits that keep order, duplicates and every byte that they do not change.

An edit takes a tuple of arguments and returns another one: arguments that stay are the same objects, so `splices`
can tell what to take out of the text and what to put in. The container of the command line (a line of grub.cfg, an
APPEND line, a shell value) splits by its own quoting rules and gives the arguments as the kernel would see them.

This is no interpreter of arguments: beyond `console=` it knows only the words that mark a recovery entry.

The kernel's quoting: `next_arg` in https://github.com/torvalds/linux/blob/master/lib/cmdline.c
Consoles: `console_setup` and `add_preferred_console` in kernel/printk/printk.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from imgkit.configtext.text import Splice, line_number
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from imgkit.configtext.serial import SerialConsole

_SPACE = " \t\n\v\f\r"
# Atomic groups here and nearby: Python 3.11.2, of Debian 12, takes a possessive repeat of a group too far.
_TOKEN = re.compile(rf'(?>(?:[^{_SPACE}"]++|"[^"]*+")+)')
_OPTIONS = re.compile(r"([0-9]{1,9})(?:([noe])(?:([5-8])(r)?)?)?")
_VIRTUAL_TERMINAL = re.compile(r"tty\d*")
_BARE_UART = (9600, "n", 8)

_RECOVERY_WORDS = {
    *("single", "recovery", "emergency", "S", "s", "1"),
    *("systemd.unit=rescue.target", "systemd.unit=emergency.target"),
}
# Boot loaders' kernel commands start these too; they would not know what to do with kernel arguments.
_NOT_LINUX = re.compile(r"memtest|mt86|memdisk|[ig]pxe|wimboot|grub\.exe$|\.lkrn$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: `text` as the kernel sees it, quotes resolved, and its range in the source.

    An argument that an edit adds has no range yet: `start` and `stop` are -1.
    """

    text: str
    start: int = -1
    stop: int = -1

    @property
    def name(self) -> str:
        """What stands before the first "=", or the whole."""
        return self.text[: self._equals()]

    @property
    def value(self) -> str | None:
        """What follows the first "=", or None."""
        equals = self._equals()
        return self.text[equals + 1 :] if equals < len(self.text) else None

    def _equals(self) -> int:
        # The kernel looks from the second character on: "=x" is a name.
        equals = self.text.find("=", 1)
        return equals if equals > 0 else len(self.text)


Arguments = tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class ConsoleArgument:
    """A `console=` argument: the device, its options ("115200n8" or ""), and its place among the arguments."""

    port: str
    options: str
    index: int

    @property
    def is_vga(self) -> bool:
        """Whether it names a virtual terminal; `console=tty` is the same as tty0."""
        return _VIRTUAL_TERMINAL.fullmatch(self.port) is not None

    def is_for(self, console: SerialConsole) -> bool:
        """Whether it sets `console` up as asked; "115200", "115200n" and "115200n8" are one setting."""
        if self.port != console.port:
            return False
        if not console.has_speed:
            return True
        if not self.options:
            return (console.baud, console.parity, console.data_bits) == _BARE_UART
        match = _OPTIONS.fullmatch(self.options)
        if match is None:
            return False
        setting = (int(match[1]), match[2] or "n", int(match[3] or 8))
        return setting == (console.baud, console.parity, console.data_bits)


def split(text: str, start: int = 0, stop: int | None = None) -> Arguments:
    """Arguments in `text[start:stop]`, by the kernel's rules: double quotes protect spaces, nothing escapes.

    Raises `ConfigError` where a quote is not closed: what is added after it would become part of the quoted value.
    """
    stop = len(text) if stop is None else stop
    arguments = []
    at = start
    for match in _TOKEN.finditer(text, start, stop):
        _check_closed(text, at, match.start())
        arguments.append(Argument(_unquote(match[0]), match.start(), match.end()))
        at = match.end()
    _check_closed(text, at, stop)
    return tuple(arguments)


def _check_closed(text: str, start: int, stop: int) -> None:
    quote = text.find('"', start, stop)
    if quote >= 0:
        raise ConfigError("a double quote is not closed", line=line_number(text, quote), hint="Close the quote.")


def _unquote(token: str) -> str:
    quoted = token.startswith('"')
    body = token[1:] if quoted else token
    equals = body.find("=", 1)
    if equals > 0 and body.startswith('"', equals + 1):
        body = body[: equals + 1] + body[equals + 2 :]
        quoted = True
    return body.removesuffix('"') if quoted else body


def quote(text: str) -> str:
    """An argument as it is written on a kernel command line. Raises `ConfigError` for what the kernel cannot read."""
    if '"' in text:
        raise ConfigError(f"the kernel command line cannot hold a double quote inside an argument: {text}")
    if not any(character in _SPACE for character in text):
        return text
    argument = Argument(text)
    return f'"{text}"' if argument.value is None else f'{argument.name}="{argument.value}"'


def texts(arguments: Iterable[Argument]) -> tuple[str, ...]:
    """The arguments as plain strings."""
    return tuple(argument.text for argument in arguments)


def join(arguments: Iterable[Argument]) -> str:
    """The arguments as a kernel command line."""
    return " ".join(quote(argument.text) for argument in arguments)


def new(words: Iterable[str]) -> Arguments:
    """Arguments to add."""
    return tuple(Argument(word) for word in words)


# -- edits ------------------------------------------------------------------------------------------------------------


def remove(arguments: Arguments, patterns: Iterable[str]) -> Arguments:
    """Without those that match a pattern: "quiet" and "vga" match by name, "root=/dev/*" by name and value.

    Names and values may hold the wildcards of a shell. "-" and "_" are the same in a name, as for the kernel.
    """
    wanted = [Argument(pattern) for pattern in patterns]
    return tuple(argument for argument in arguments if not any(_matches(argument, pattern) for pattern in wanted))


def _matches(argument: Argument, pattern: Argument) -> bool:
    if not fnmatchcase(argument.name.replace("-", "_"), pattern.name.replace("-", "_")):
        return False
    return pattern.value is None or (argument.value is not None and fnmatchcase(argument.value, pattern.value))


def add(arguments: Arguments, words: Iterable[str]) -> Arguments:
    """With those of `words` at the end that are not there yet, name and value."""
    present = {argument.text for argument in arguments}
    return (*arguments, *new(word for word in dict.fromkeys(words) if word not in present))


def replace(arguments: Arguments, words: Iterable[str]) -> Arguments:
    """With each of `words` in the place of the first argument of its name, or at the end where there is none.

    A name that comes twice in `words` replaces two arguments, or replaces one and adds one (grubby's rule).
    """
    result, taken = list(arguments), set[int]()
    for word in map(Argument, words):
        places = (i for i, old in enumerate(result) if i not in taken and old.name == word.name)
        place = next(places, len(result))
        if place == len(result):
            result.append(word)
        elif result[place].text != word.text:
            result[place] = word
        taken.add(place)
    return tuple(result)


def consoles(arguments: Sequence[Argument]) -> tuple[ConsoleArgument, ...]:
    """The `console=` arguments in order; the last becomes /dev/console."""
    found = []
    for index, argument in enumerate(arguments):
        if argument.name == "console":
            port, _, options = (argument.value or "").partition(",")
            found.append(ConsoleArgument(port.removeprefix("/dev/"), options, index))
    return tuple(found)


def has_console(arguments: Arguments, console: SerialConsole, *, installer: bool = False) -> bool:
    """Whether the kernel would use `console` as asked: /dev/console, right speed, VGA console kept or not."""
    first, last = _scope(arguments, installer=installer)
    found = [argument for argument in consoles(arguments) if argument.index < last]
    if not found or not found[-1].is_for(console) or found[-1].index < first:
        return False
    # Where a port comes twice, the kernel keeps the options of the first.
    if not all(argument.is_for(console) for argument in found if argument.port == console.port):
        return False
    return any(argument.is_vga for argument in found) == console.wants_vga


def set_console(arguments: Arguments, console: SerialConsole, *, installer: bool = False) -> Arguments:
    """With `console` as the last console, so that it becomes /dev/console; unchanged where it is so already.

    Replaces the arguments of the same port, also a bare `console=ttyS0`, which means 9600 baud. Other serial
    consoles stay. The VGA console is added where none is named, or taken out, as `console.keep_vga` says.

    What follows "--" goes to init and is none of the kernel's, so the arguments come before it. On the command line
    of an `installer`, "---" marks what the installed system inherits: there they come at the end.
    """
    if has_console(arguments, console, installer=installer):
        return arguments
    _, last = _scope(arguments, installer=installer)
    found = [argument for argument in consoles(arguments) if argument.index < last]
    drop = {c.index for c in found if c.port == console.port or (c.is_vga and not console.wants_vga)}
    words = [console.kernel_argument()]
    if console.wants_vga and not any(c.is_vga for c in found):
        words.insert(0, "console=tty0")
    kept = tuple(argument for i, argument in enumerate(arguments[:last]) if i not in drop)
    return (*kept, *new(words), *arguments[last:])


def _scope(arguments: Arguments, *, installer: bool) -> tuple[int, int]:
    """Half-open range of indexes in which the serial console's argument has to stand."""
    words = texts(arguments)
    last = words.index("--") if "--" in words else len(words)
    return (words.index("---", 0, last) + 1 if installer and "---" in words[:last] else 0, last)


def is_last_console(port: str, lines: Iterable[Sequence[Argument]]) -> bool:
    """Whether the kernel's console, /dev/console, is this port on every command line; there has to be one."""
    last = [found[-1].port if (found := consoles(arguments)) else "" for arguments in lines]
    return bool(last) and all(name == port for name in last)


def is_recovery(arguments: Iterable[Argument]) -> bool:
    """Whether they start a rescue system: a single user shell, or systemd's rescue or emergency target."""
    return any(argument.text in _RECOVERY_WORDS for argument in arguments)


def is_linux(path: str) -> bool:
    """Whether a boot loader's kernel path looks like a Linux kernel: no memory test, no network loader.

    A kernel's name may end in anything: "vmlinuz-6.8.0", "kernel.img".
    """
    return not _NOT_LINUX.search(path.rpartition("/")[2])


# -- back into the text -----------------------------------------------------------------------------------------------


def splices(
    before: Arguments, after: Arguments, start: int, *, follows: bool, write: Callable[[str], str] = quote
) -> list[Splice]:
    """Splices that turn the text of `before` into that of `after`.

    `after` holds arguments of `before` in their order, and new ones, which `write` quotes. `start` is the offset at
    which the command line starts. With `follows`, that is the end of a word that the first argument follows.
    """
    if before == after:
        return []
    if follows:
        return _splices_behind(before, after, start, write)
    kept = [argument for argument in after if argument.start >= 0]
    if not kept:
        written = " ".join(write(argument.text) for argument in after)
        return [Splice(before[0].start, before[-1].stop, written) if before else Splice(start, start, written)]
    first = after.index(kept[0])
    lead = "".join(write(argument.text) + " " for argument in after[:first])
    changes = [Splice(before[0].start, kept[0].start, lead)]
    rest = before[before.index(kept[0]) + 1 :]
    return changes + _splices_behind(rest, after[first + 1 :], kept[0].stop, write)


def _splices_behind(before: Arguments, after: Arguments, start: int, write: Callable[[str], str]) -> list[Splice]:
    kept = {argument.start for argument in after}
    changes, at = [], start
    for argument in before:
        if argument.start not in kept:
            changes.append(Splice(at, argument.stop, ""))
        at = argument.stop
    at = start
    for argument in after:
        if argument.start >= 0:
            at = argument.stop
        else:
            changes.append(Splice(at, at, " " + write(argument.text)))
    return changes
