"""Boot loader entries, one file each: /boot/loader/entries/*.conf of GRUB (blscfg) and systemd-boot.

Also the two files that go with them: systemd-boot's loader.conf, and /etc/kernel/cmdline, from which kernel-install
takes the arguments of later kernels. Unified kernel images carry their command line inside and are none of this.

The entries: https://uapi-group.org/specifications/specs/boot_loader_specification/
loader.conf: https://www.freedesktop.org/software/systemd/man/latest/loader.conf.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs
from imgkit.configtext.text import Line, Setting, Splice, append_lines, lines, splice
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from imgkit.configtext.kernelargs import Argument, Arguments
    from imgkit.configtext.serial import SerialConsole

_FIELD = re.compile(r"[ \t]*([A-Za-z][A-Za-z0-9_-]*)(?:[ \t]+|$)")
_KERNEL = re.compile(r"/(?:vmlinu|bzImage|Image|linux-\d|kernel)[^/]*$")
_UKI = re.compile(r"/EFI/Linux/[^/]+\.efi$", re.IGNORECASE)
_REFERENCE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """A loader entry. `arguments` are those of all its options lines, `$variables` as they are written.

    `line` is that of the last options line, 0 without one. `linux` is the kernel, also where the key `efi` names it, as
    an EFI program; `uki` a unified kernel image.
    """

    title: str
    linux: str
    uki: str
    line: int
    arguments: tuple[str, ...]
    is_recovery: bool
    references: tuple[str, ...]

    @property
    def is_linux(self) -> bool:
        """Whether it starts a Linux kernel whose command line is in the entry."""
        return bool(self.linux) and kernelargs.is_linux(self.linux)


@dataclass(frozen=True, slots=True)
class _Field:
    """`key value`: its line, where the key stops, and where the value starts and stops."""

    line: int
    key: str
    key_stop: int
    start: int
    stop: int


def facts(text: str) -> EntryFacts:
    """What an entry sets. Raises `ConfigError` for a line that is no field."""
    fields = tuple(_fields(text))
    arguments = tuple(a for field in fields if field.key == "options" for a in _split(text, field))
    values = {field.key: text[field.start : field.stop].rstrip() for field in fields}
    title, program = values.get("title", ""), values.get("efi", "")
    return EntryFacts(
        title=title,
        linux=values.get("linux", "") or (program if _KERNEL.search(program) else ""),
        uki=values.get("uki", "") or (program if _UKI.search(program) else ""),
        line=max((field.line for field in fields if field.key == "options"), default=0),
        arguments=kernelargs.texts(arguments),
        is_recovery="(recovery mode)" in title or kernelargs.is_recovery(arguments),
        references=tuple(a or b for argument in arguments for a, b in _REFERENCE.findall(argument.text)),
    )


def enable(
    text: str,
    console: SerialConsole,
    *,
    recovery: bool = False,
    remove: Iterable[str] = (),
    variables: Mapping[str, str] | None = None,
    installer: bool = False,
) -> str:
    """An entry with the console among its options; entries that boot no Linux, and recovery ones, stay.

    `variables` are GRUB's (see `grubenv`): where `$kernelopts` brings the console already, the entry stays too.
    `installer` says that "---" marks what the installed system inherits.
    Raises `ConfigError` for a line that is no field.
    """
    found = facts(text)
    if not found.is_linux or (found.is_recovery and not recovery):
        return text
    patterns = tuple(remove)
    references = " ".join((variables or {}).get(name, "") for name in found.references)

    def edit(arguments: Arguments) -> Arguments:
        arguments = kernelargs.remove(arguments, patterns)
        referred = kernelargs.new(references.split())
        if kernelargs.has_console((*arguments, *referred), console, installer=installer):
            return arguments
        return kernelargs.set_console(arguments, console, installer=installer)

    return edit_arguments(text, edit)


def edit_arguments(text: str, edit: Callable[[Arguments], Arguments]) -> str:
    """An entry with `edit` applied to the arguments of all its options lines together."""
    options = [field for field in _fields(text) if field.key == "options"]
    if not options:
        new = edit(())
        return append_lines(text, [f"options {kernelargs.join(new)}"]) if new else text
    return _edit_fields(text, options, edit)


def cmdline_facts(text: str) -> tuple[str, ...]:
    """The arguments in /etc/kernel/cmdline."""
    return tuple(word for field in _cmdline(text) for word in kernelargs.texts(_split(text, field)))


def enable_cmdline(text: str, console: SerialConsole, *, remove: Iterable[str] = ()) -> str:
    """/etc/kernel/cmdline with the console among its arguments."""
    patterns = tuple(remove)

    def edit(arguments: Arguments) -> Arguments:
        return kernelargs.set_console(kernelargs.remove(arguments, patterns), console)

    fields = _cmdline(text)
    return _edit_fields(text, fields, edit) if fields else append_lines(text, [kernelargs.join(edit(()))])


def loader_facts(text: str) -> tuple[Setting, ...]:
    """The settings of systemd-boot's loader.conf."""
    return tuple(Setting(field.line, field.key, text[field.start : field.stop].rstrip()) for field in _fields(text))


def set_loader_timeout(text: str, seconds: int) -> str:
    """systemd-boot's loader.conf with the menu shown for `seconds`.

    Where the menu appears is the firmware's business: its console is on the serial line or not.
    """
    return set_loader_value(text, "timeout", str(seconds))


def set_loader_value(text: str, key: str, value: str) -> str:
    """systemd-boot's loader.conf with this value wherever `key` is set, or with a line for it."""
    found = [field for field in _fields(text) if field.key == key]
    if not found:
        return append_lines(text, [f"{key} {value}"])
    wrong = [field for field in found if text[field.start : field.stop].strip() != value]
    return splice(text, [Splice(field.key_stop, field.stop, f" {value}") for field in wrong])


def _edit_fields(text: str, fields: list[_Field], edit: Callable[[Arguments], Arguments]) -> str:
    """`text` with `edit` applied to the arguments of several lines as to one; new ones go where the one before is."""
    before = [_split(text, field) for field in fields]
    after: list[list[Argument]] = [[] for _ in fields]
    home = {argument: i for i, arguments in enumerate(before) for argument in arguments}
    edited = edit(tuple(argument for arguments in before for argument in arguments))
    # What comes before all that was there belongs on its line: "--" may begin it.
    last = next((home[argument] for argument in edited if argument in home), len(fields) - 1)
    for argument in edited:
        last = home.get(argument, last)
        after[last].append(argument)
    changes: list[Splice] = []
    for field, old, new in zip(fields, before, after, strict=True):
        start = field.start if old else field.key_stop
        changes += kernelargs.splices(old, tuple(new), start, follows=not old)
    return splice(text, changes)


def _split(text: str, field: _Field) -> Arguments:
    return kernelargs.split(text, field.start, field.stop)


def _fields(text: str) -> Iterator[_Field]:
    for line in _content(text):
        match = _FIELD.match(line.body)
        if match is None:
            raise ConfigError(f"not a field of a loader entry: {line.body.strip()[:40]!r}", line=line.number)
        yield _Field(line.number, match[1], line.start + match.end(1), line.start + match.end(), line.stop)


def _cmdline(text: str) -> list[_Field]:
    return [_Field(line.number, "", line.start, line.start, line.stop) for line in _content(text)]


def _content(text: str) -> Iterator[Line]:
    """Lines that are neither blank nor comments."""
    return (line for line in lines(text) if line.body.strip() and not line.body.lstrip().startswith("#"))
