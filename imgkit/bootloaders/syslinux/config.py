"""Configuration of SYSLINUX, ISOLINUX, PXELINUX and EXTLINUX, and the subset of it that U-Boot reads.

One file at a time: files that it includes are named by the facts, and are edited by calls of their own with
`included=True`. Keywords are matched in any case; lines whose keyword is unknown are left alone, as SYSLINUX does.

The format: https://wiki.syslinux.org/wiki/index.php?title=Config and ?title=Menu
U-Boot's subset: https://docs.u-boot.org/en/latest/develop/bootstd/extlinux.html
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imgkit.bootloaders.syslinux.labels import (
    Label,
    append_arguments,
    find_kernel,
    is_menu_module,
    looks_like_linux,
    read_label,
)
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
from imgkit.configtext import kernelargs, xen
from imgkit.configtext.serial import SerialConsole
from imgkit.configtext.text import Setting, Splice, append_lines, insert_lines, line_start, splice
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from imgkit.bootloaders.syslinux.labels import Kernel
    from imgkit.configtext.kernelargs import Arguments

_UNITS = 4
_NUMBER = re.compile(r"[0-9]{1,9}")
_SPEED = 9600  # of SERIAL that names none


@dataclass(frozen=True, slots=True)
class SyslinuxFacts:
    """What one file sets, with line numbers. `settings` are the directives outside labels, in order.

    `commands` are DEFAULT and ONTIMEOUT where they name a kernel instead of a label of the file.
    """

    settings: tuple[Setting, ...]
    labels: tuple[Label, ...]
    commands: tuple[Label, ...]
    includes: tuple[Setting, ...]
    is_u_boot: bool

    def last(self, name: str) -> Setting | None:
        """The setting of this name that is in effect."""
        return next((setting for setting in reversed(self.settings) if setting.name == name), None)

    def console(self) -> SerialConsole | None:
        """The serial console that SYSLINUX talks on; None where it talks on none that Linux calls ttyS.

        The default speed is what nobody chose: then it is the usual one of a console.
        """
        serial = self.last("serial")
        port, baud = _serial_settings(serial.value) if serial else (-1, 0)
        try:
            usual = SerialConsole(f"ttyS{port}")
            return usual if baud == _SPEED else replace(usual, baud=baud)
        except UsageError:
            return None

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
    common = kernelargs.texts(append_arguments(text, shared))
    labels = tuple(read_label(text, section, common) for section in sections if section.label)
    return SyslinuxFacts(
        settings=tuple(_setting(text, d) for d in outside),
        labels=labels,
        commands=tuple(_command(text, d, common) for d in _commands(text, outside, {label.name for label in labels})),
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
    labels: Collection[str] = (),
) -> str:
    """`text` with the console on the kernels' command lines and, unless `included`, SERIAL as its first directive.

    Recovery labels keep their arguments unless `recovery`. `remove` names arguments to take out. `timeout` is in
    seconds. `installer` says that "---" marks what the installed system inherits. `labels` are those of other files of
    the menu. Raises `ConfigError` where no line is a directive, or a quote on a changed line is not closed.
    """
    patterns = tuple(remove)

    def edit(arguments: Arguments, label: Label | None) -> Arguments:
        target = xen.dom0_console(label.hypervisor if label else None, console)
        return kernelargs.set_console(kernelargs.remove(arguments, patterns), target, installer=installer)

    text = edit_arguments(text, edit, recovery=recovery, labels=labels)
    text = splice(text, _hypervisor_splices(text, console, recovery=recovery))
    text = _rewrite_serial(text, console) if included else set_serial(text, console)
    return text if timeout is None else set_timeout(text, timeout, add=not included)


def without(text: str, keywords: tuple[str, ...]) -> str:
    """`text` without the directives of these names."""
    return remove_directives(text, *keywords)


def edit_arguments(
    text: str,
    edit: Callable[[Arguments, Label | None], Arguments],
    *,
    recovery: bool = False,
    labels: Collection[str] = (),
) -> str:
    """`text` with `edit` applied to the arguments of each label that boots Linux, and, with None, to a global APPEND.

    Those of recovery labels only with `recovery`. A DEFAULT or ONTIMEOUT that names a kernel, and none of `labels`, is
    edited as well.
    """
    sections = tuple(split_sections(read_directives(text)))
    changes: list[Splice] = []
    outside = _outside(read_directives(text))
    shared = [directive for directive in outside if directive.keyword == "append"]
    for directive in shared:
        before = append_arguments(text, directive)
        changes += _line_splices(directive, before, edit(before, None))
    for section in sections:
        kernel = find_kernel(text, section) if section.label else None
        if kernel is None or (kernelargs.is_recovery(kernel.arguments) and not recovery):
            continue
        changes += _section_splices(text, section, kernel, edit, has_shared=bool(shared))
    own = {value_of(text, section.label) for section in sections if section.label}
    for directive in _commands(text, outside, {*own, *labels}):
        start, arguments = _command_arguments(text, directive)
        if not shared or kernelargs.consoles(arguments):  # else those of the global APPEND do
            after = edit(arguments, _command(text, directive, ()))
            changes += kernelargs.splices(arguments, after, start, follows=True)
    return splice(text, changes)


def _section_splices(
    text: str,
    section: Section,
    kernel: Kernel,
    edit: Callable[[Arguments, Label | None], Arguments],
    *,
    has_shared: bool,
) -> Iterator[Splice]:
    load, append = section.last(*LOADS) or section.label, section.last("append")
    label = read_label(text, section, ())
    after = edit(kernel.arguments, label)
    if kernel.start is not None:
        yield from kernelargs.splices(kernel.arguments, after, kernel.start, follows=True)
    elif append is not None and kernel.arguments and not after and not has_shared:
        yield whole_line(text, append)
    elif append is not None:
        yield from _line_splices(append, kernel.arguments, after)
    elif load is not None and not has_shared and after:
        yield line_behind(text, load, _inner_indent(text, section), f"append {kernelargs.join(after)}")


def _inner_indent(text: str, section: Section) -> str:
    inner = section.last(*LOADS) or next(iter(section.directives), section.label)
    return indent_of(text, inner) if inner else ""


def _hypervisor_splices(text: str, console: SerialConsole, *, recovery: bool) -> Iterator[Splice]:
    """Where Xen has the port, its own console has to be there too."""
    for section in split_sections(read_directives(text)):
        kernel = find_kernel(text, section) if section.label else None
        if kernel is None or kernel.hypervisor is None:
            continue
        if recovery or not kernelargs.is_recovery(kernel.arguments):
            after = xen.set_console(kernel.hypervisor, console)
            yield from kernelargs.splices(kernel.hypervisor, after, kernel.hypervisor_start, follows=True)


def _commands(text: str, outside: Iterable[Directive], labels: Collection[str]) -> Iterator[Directive]:
    """The directives that start a kernel without a label."""
    for directive in outside:
        if directive.keyword in ("default", "ontimeout"):
            name = next(iter(value_of(text, directive).split()), "")
            if name and name not in labels and not is_menu_module(name) and looks_like_linux(name):
                yield directive


def _command_arguments(text: str, directive: Directive) -> tuple[int, Arguments]:
    """Where the arguments of such a directive start, behind the kernel's name, and what they are."""
    words = kernelargs.split(text, directive.start, directive.stop)
    return words[0].stop, words[1:]


def _command(text: str, directive: Directive, common: tuple[str, ...]) -> Label:
    path = value_of(text, directive).split()[0]
    arguments = _command_arguments(text, directive)[1]
    words = (*common, *kernelargs.texts(arguments))
    initrds = [word.partition("=")[2] for word in words if word.startswith("initrd=")]
    return Label(
        line=directive.line,
        name="",
        title=directive.keyword.upper(),
        kind="kernel",
        path=path,
        append_line=directive.line,
        arguments=words,
        initrds=tuple(path for value in initrds for path in value.split(",")),
        is_linux=True,
        is_recovery=kernelargs.is_recovery(arguments),
        is_default=False,
    )


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


def _rewrite_serial(text: str, console: SerialConsole) -> str:
    """`text` of a file that another one leads to: it needs no SERIAL, and no other port or screen than the first's."""
    operands = _serial_operands(console)
    serial = [d for d in read_directives(text) if d.keyword == "serial"]
    if operands is None or not serial or facts(text).shows_menu_on(console):
        return text
    wrong = (d for d in serial if _serial_settings(value_of(text, d)) != (console.unit, console.baud))
    return splice(text, [change for d in wrong for change in set_value(text, d, operands)])


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


def set_on_timeout(text: str, new: str, *, add: bool = False) -> str:
    """`text` in which each ONTIMEOUT names the label `new`; with `add`, also where there is none."""
    return _set_global(text, "ontimeout", new, add=add)


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
    return (int(port) if _NUMBER.fullmatch(port) else -1, int(baud) if _NUMBER.fullmatch(baud) else _SPEED)
