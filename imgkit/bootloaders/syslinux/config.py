"""Configuration of SYSLINUX, ISOLINUX, PXELINUX and EXTLINUX, and the subset of it that U-Boot reads.

One file at a time: files that it includes are named by the facts, and are edited by calls of their own with
`included=True`. Keywords are matched in any case; lines whose keyword is unknown are left alone, as SYSLINUX does.

The format: https://wiki.syslinux.org/wiki/index.php?title=Config and ?title=Menu
U-Boot's subset: https://docs.u-boot.org/en/latest/develop/bootstd/extlinux.html
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.bootloaders.syslinux.lines import (
    DEVICE_TREES,
    INCLUDES,
    LOADS,
    Directive,
    Section,
    indent_of,
    line_behind,
    read_directives,
    set_value,
    split_sections,
    value_of,
    whole_line,
)
from imgkit.configtext import kernelargs
from imgkit.configtext.text import Setting, Splice, append_lines, insert_lines, line_start, splice

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.configtext.serial import SerialConsole

# What KERNEL takes for something else than Linux, by its name alone: boot sectors, disk images, COM32 modules.
_NOT_A_KERNEL = re.compile(r"\.(?:bin|bss?|0|c32|com|cbt|img)$", re.IGNORECASE)
_UNITS = 4
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Label:
    """What can be booted. `kind` is the keyword that loads it ("kernel", "linux", "com32", "localboot", ...).

    `append_line` is 0 where the label has no APPEND of its own, and `arguments` are then the global ones. `is_default`
    says that it has MENU DEFAULT; what boots is known only with all files together (see `syslinuxmenu`).
    """

    line: int
    name: str
    title: str
    kind: str
    path: str
    append_line: int
    arguments: tuple[str, ...]
    initrds: tuple[str, ...]
    is_linux: bool
    is_recovery: bool
    is_default: bool


@dataclass(frozen=True, slots=True)
class SyslinuxFacts:
    """What one file sets, with line numbers. `settings` are the directives outside labels, in order."""

    settings: tuple[Setting, ...]
    labels: tuple[Label, ...]
    includes: tuple[Setting, ...]
    is_u_boot: bool

    def last(self, name: str) -> Setting | None:
        """The setting of this name that is in effect."""
        return next((setting for setting in reversed(self.settings) if setting.name == name), None)

    def shows_menu_on(self, console: SerialConsole) -> bool:
        """Whether SYSLINUX talks on the serial console (U-Boot's own console is its firmware's business)."""
        serial, vga = self.last("serial"), self.last("console")
        if self.is_u_boot or _serial_operands(console) is None:
            return True
        return (
            serial is not None
            and _serial_settings(serial.value) == (console.unit, console.baud)
            and (vga is None or vga.value != "0") == console.keep_vga
        )


@functools.lru_cache(maxsize=32)  # a menu is many small files, and each question goes over all of them
def facts(text: str) -> SyslinuxFacts:
    """What the file sets. Raises `ConfigError` where no line of it is a directive."""
    directives = tuple(read_directives(text))
    sections = tuple(split_sections(directives))
    outside = _outside(directives)
    shared = next((d for d in reversed(outside) if d.keyword == "append"), None)
    common = kernelargs.texts(kernelargs.split(text, shared.start, shared.stop)) if shared else ()
    return SyslinuxFacts(
        settings=tuple(_setting(text, d) for d in outside),
        labels=tuple(_label(text, section, common) for section in sections if section.label),
        includes=tuple(_setting(text, d) for d in directives if d.keyword in INCLUDES),
        is_u_boot=any(d.keyword in DEVICE_TREES for d in directives),
    )


def enable(
    text: str,
    console: SerialConsole,
    *,
    included: bool = False,
    recovery: bool = False,
    remove: Iterable[str] = (),
    timeout: int | None = None,
    installer: bool = False,
) -> str:
    """`text` with the console on the kernels' command lines and, unless `included`, SERIAL as its first directive.

    Recovery labels keep their arguments unless `recovery`. `remove` names arguments to take out. `timeout` is in
    seconds. `installer` says that "---" marks what the installed system inherits. Raises `ConfigError` where no
    line is a directive, or a quote on a changed line is not closed.
    """
    patterns = tuple(remove)

    def edit(arguments: Arguments, _label: Label | None) -> Arguments:
        return kernelargs.set_console(kernelargs.remove(arguments, patterns), console, installer=installer)

    text = edit_arguments(text, edit, recovery=recovery)
    if not included:
        text = set_serial(text, console)
    return text if timeout is None else set_timeout(text, timeout, add=not included)


def edit_arguments(text: str, edit: Callable[[Arguments, Label | None], Arguments], *, recovery: bool = False) -> str:
    """`text` with `edit` applied to the arguments of each label that boots Linux, and, with None, to a global APPEND.

    Those of recovery labels only with `recovery`.
    """
    sections = tuple(split_sections(read_directives(text)))
    changes: list[Splice] = []
    shared = [d for section in sections if not section.label for d in section.directives if d.keyword == "append"]
    for directive in shared:
        before = _arguments(text, directive)
        changes += _line_splices(directive, before, edit(before, None))
    for section in sections:
        load, append = section.last(*LOADS), section.last("append")
        if section.label is None or load is None or not _is_linux(text, load):
            continue
        if _is_recovery(text, section) and not recovery:
            continue
        label = _label(text, section, ())
        if append is not None:
            before = _arguments(text, append)
            after = edit(before, label)
            if before and not after and not shared:
                changes.append(whole_line(text, append))
            else:
                changes += _line_splices(append, before, after)
        elif not shared and (new := edit((), label)):
            changes.append(line_behind(text, load, indent_of(text, load), f"append {kernelargs.join(new)}"))
    return splice(text, changes)


def set_serial(text: str, console: SerialConsole) -> str:
    """`text` with SERIAL as its first directive, as SYSLINUX wants it, and CONSOLE as `console.keep_vga` says.

    Unchanged for U-Boot and for ports that SYSLINUX has no driver for. It knows no parity and no 7 bits.
    """
    operands = _serial_operands(console)
    found = facts(text)
    directives = tuple(read_directives(text))
    if operands is None or found.is_u_boot:
        return text
    if not directives:
        return _set_vga(append_lines(text, [f"serial {operands}"]), keep=console.keep_vga)
    serial = [d for d in directives if d.keyword == "serial"]
    if [d.line for d in serial] != [directives[0].line] or not found.shows_menu_on(console):
        first = directives[0]
        if [d.line for d in serial] == [first.line]:
            changes = set_value(text, first, operands)
        else:
            changes = [whole_line(text, d) for d in serial]
            changes.append(insert_lines(text, line_start(text, first.start), [f"serial {operands}"]))
        text = splice(text, changes)
    return _set_vga(text, keep=console.keep_vga)


def set_timeout(text: str, seconds: int, *, add: bool = True) -> str:
    """`text` whose menu waits for `seconds`, in each TIMEOUT outside labels; with `add`, also where there is none.

    TIMEOUT counts tenths of a second, and 0 means for ever, so that no time at all becomes one tenth.
    """
    value = str(max(seconds * 10, 1))
    return _set_global(text, "timeout", value, add=add)


def remove_directives(text: str, *keywords: str) -> str:
    """`text` without the lines of these keywords that belong to no label, such as "ontimeout"."""
    return splice(text, [whole_line(text, d) for d in _outside(read_directives(text)) if d.keyword in keywords])


def set_default(text: str, old: str, new: str) -> str:
    """`text` in which each DEFAULT that names the label `old` names `new`; with "" for `old`, a DEFAULT is added."""
    if not old:
        return _set_global(text, "default", new, add=True)
    found = (d for d in _outside(read_directives(text)) if d.keyword == "default")
    named = (d for d in found if value_of(text, d).split()[:1] == [old])
    return splice(text, [change for d in named for change in set_value(text, d, new)])


def set_on_timeout(text: str, new: str) -> str:
    """`text` in which each ONTIMEOUT names the label `new`."""
    found = [d for d in _outside(read_directives(text)) if d.keyword == "ontimeout"]
    return splice(text, [change for d in found for change in set_value(text, d, new)])


def move_menu_default(text: str, *, gain: Collection[int], lose: Collection[int]) -> str:
    """`text` with MENU DEFAULT in the labels of lines `gain`, and without it in those of lines `lose`."""
    changes: list[Splice] = []
    for section in split_sections(read_directives(text)):
        if section.label is None:
            continue
        marks = [d for d in section.directives if d.keyword == "menu default"]
        if section.label.line in lose:
            changes += [whole_line(text, mark) for mark in marks]
        elif section.label.line in gain and not marks:
            inner = section.directives[0] if section.directives else section.label
            changes.append(line_behind(text, section.label, indent_of(text, inner), "menu default"))
    return splice(text, changes)


def _outside(directives: Iterable[Directive]) -> list[Directive]:
    return [d for section in split_sections(directives) if section.label is None for d in section.directives]


def _set_vga(text: str, *, keep: bool) -> str:
    last = facts(text).last("console")
    if (last is None or last.value != "0") == keep:
        return text
    return _set_global(text, "console", "1" if keep else "0", add=True)


def _set_global(text: str, keyword: str, value: str, *, add: bool) -> str:
    directives = tuple(read_directives(text))
    found = [d for d in _outside(directives) if d.keyword == keyword]
    if found:
        return splice(text, [change for d in found for change in set_value(text, d, value)])
    if not add:
        return text
    # Behind SERIAL, which has to stay the first.
    behind = next((d for d in directives if d.keyword != "serial"), None)
    start = len(text) if behind is None else line_start(text, behind.start)
    return splice(text, [insert_lines(text, start, [f"{keyword} {value}"])])


def _label(text: str, section: Section, common: tuple[str, ...]) -> Label:
    assert section.label is not None
    load, append, title = section.last(*LOADS), section.last("append"), section.last("menu label")
    arguments = kernelargs.texts(_arguments(text, append)) if append else common
    return Label(
        line=section.label.line,
        name=value_of(text, section.label),
        title=value_of(text, title).replace("^", "") if title else "",
        kind=load.keyword if load else "kernel",
        path=value_of(text, load) if load else value_of(text, section.label),
        append_line=append.line if append else 0,
        arguments=arguments,
        initrds=_initrds(text, section, arguments),
        is_linux=load is not None and _is_linux(text, load),
        is_recovery=_is_recovery(text, section),
        is_default=section.last("menu default") is not None,
    )


def _initrds(text: str, section: Section, arguments: tuple[str, ...]) -> tuple[str, ...]:
    own = section.last("initrd")
    given = [value_of(text, own)] if own else [a.partition("=")[2] for a in arguments if a.startswith("initrd=")]
    return tuple(path for value in given for path in value.split(","))


def _is_linux(text: str, load: Directive) -> bool:
    path = value_of(text, load)
    if load.keyword == "linux":
        return kernelargs.is_linux(path)
    return load.keyword == "kernel" and kernel_is_linux(path)


def kernel_is_linux(path: str) -> bool:
    """Whether KERNEL, or a command line, starts this file as Linux."""
    return kernelargs.is_linux(path) and not _NOT_A_KERNEL.search(path)


def _is_recovery(text: str, section: Section) -> bool:
    append = section.last("append")
    return append is not None and kernelargs.is_recovery(_arguments(text, append))


def _arguments(text: str, append: Directive) -> Arguments:
    """Arguments of an APPEND line; a lone hyphen means none, not even the global ones."""
    return () if value_of(text, append) == "-" else kernelargs.split(text, append.start, append.stop)


def _line_splices(append: Directive, before: Arguments, after: Arguments) -> list[Splice]:
    if before and not after:
        return [Splice(append.start, append.stop, "-")]  # Without any word the global APPEND would come back.
    if not before and after:
        return [Splice(append.key_stop, append.stop, f" {kernelargs.join(after)}")]
    return kernelargs.splices(before, after, append.start, follows=False)


def _setting(text: str, directive: Directive) -> Setting:
    return Setting(directive.line, directive.keyword, value_of(text, directive))


def _serial_operands(console: SerialConsole) -> str | None:
    if not console.port.startswith("ttyS") or console.unit >= _UNITS:
        return None
    return f"{console.unit} {console.baud}"


def _serial_settings(value: str) -> tuple[int, int]:
    """(port, baud) of SERIAL's operands; (-1, baud) for an I/O address."""
    port, baud, *_ = [*value.split(), "", ""]
    return (int(port) if _NUMBER.fullmatch(port) else -1, int(baud) if _NUMBER.fullmatch(baud) else 9600)
