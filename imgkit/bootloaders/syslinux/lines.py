"""The lines of a SYSLINUX configuration: directives, the sections that they form, and how one is rewritten.

This finds where things stand; what they mean is in `syslinux`.

The format: https://wiki.syslinux.org/wiki/index.php?title=Config and ?title=Menu
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.configtext.text import Splice, insert_lines, line_start, lines
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_KEYWORD = re.compile(
    r"[ \t\ufeff]*(menu[ \t]+[A-Za-z]+|text[ \t]+help|[A-Za-z][A-Za-z0-9-]*)(?=[ \t]|$)[ \t]*", re.IGNORECASE
)
KERNELS = ("kernel", "linux")
LOADS = (*KERNELS, "boot", "bss", "pxe", "fdimage", "comboot", "com32", "config", "localboot")
INCLUDES = ("include", "menu include")
DEVICE_TREES = ("fdt", "fdtdir", "devicetree", "devicetreedir", "devicetree-overlay", "fdtoverlays")
_KNOWN = {
    *(*LOADS, *INCLUDES, *DEVICE_TREES, "label", "append", "initrd", "default", "ui", "timeout", "totaltimeout"),
    *("ontimeout", "onerror", "prompt", "serial", "console", "noescape", "nocomplete", "allowoptions", "implicit"),
    *("display", "say", "font", "kbdmap", "ipappend", "sysappend", "text help", "path", "noboot"),
}
_MOST = 20_000  # directives of one file; a menu of a thousand entries has a fifth of that
_SUBMENU = ("menu begin", "menu end", "menu separator")  # each ends the label before it
# These set the whole menu, also behind a label, where Debian has its TIMEOUT and ONTIMEOUT.
_GLOBAL = {
    *("default", "ui", "gfxboot", "timeout", "totaltimeout", "ontimeout", "onerror", "prompt", "serial", "console"),
    "menu autoboot",
}


@dataclass(frozen=True, slots=True)
class Directive:
    """One line: its keyword in lower case ("menu label", "append"), and where its value starts and stops."""

    line: int
    keyword: str
    key_stop: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Section:
    """The directives of a label, or, with `label` None, those that belong to no label wherever they stand."""

    label: Directive | None
    directives: tuple[Directive, ...]

    def last(self, *keywords: str) -> Directive | None:
        """The directive of these keywords that is in effect."""
        return next((d for d in reversed(self.directives) if d.keyword in keywords), None)


def read_directives(text: str) -> Iterator[Directive]:
    """The directives in order, also lines with an unknown keyword. Raises `ConfigError` where none is known."""
    is_known = in_help = False
    content = False
    count = 0
    for line in lines(text):
        body = line.body.strip()
        match = _KEYWORD.match(line.body)
        keyword = " ".join(match[1].lower().split()) if match else ""
        if in_help:
            in_help = keyword != "endtext"
            continue
        if not body or body.startswith("#"):
            continue
        content = True
        if match is None:
            continue
        in_help = keyword == "text help"
        is_known |= keyword in _KNOWN or keyword.startswith("menu ")
        start = line.start + match.end()
        count += 1
        if count > _MOST:
            raise ConfigError(f"more than {_MOST:,} directives", line=line.number)
        yield Directive(line.number, keyword, line.start + match.end(1), start, line.start + len(line.body.rstrip()))
    if content and not is_known:
        raise ConfigError("no line is a directive of SYSLINUX", hint="Name a configuration of SYSLINUX or EXTLINUX.")


def split_sections(found: Iterable[Directive]) -> Iterator[Section]:
    """The sections in order. A label's goes up to the next label or submenu."""
    label: Directive | None = None
    inside: list[Directive] = []
    loose: list[Directive] = []
    for directive in found:
        if directive.keyword == "label" or directive.keyword in _SUBMENU:
            yield from _section(label, inside, loose)
            label, inside, loose = (directive if directive.keyword == "label" else None), [], []
        if directive.keyword in _GLOBAL or (label is None and directive.keyword != "label"):
            loose.append(directive)
        elif directive.keyword != "label":
            inside.append(directive)
    yield from _section(label, inside, loose)


def _section(label: Directive | None, inside: list[Directive], loose: list[Directive]) -> Iterator[Section]:
    if label is not None:
        yield Section(label, tuple(inside))
    if loose:
        yield Section(None, tuple(loose))


def value_of(text: str, directive: Directive) -> str:
    """What follows the keyword."""
    return text[directive.start : directive.stop].strip()


def set_value(text: str, directive: Directive, value: str) -> list[Splice]:
    """Splices that give a directive another value."""
    if value_of(text, directive) == value:
        return []
    if directive.start == directive.key_stop:
        return [Splice(directive.key_stop, max(directive.stop, directive.key_stop), f" {value}")]
    return [Splice(directive.start, max(directive.stop, directive.start), value)]


def whole_line(text: str, directive: Directive) -> Splice:
    """Splice that takes a directive's line out."""
    end = text.find("\n", directive.key_stop)
    return Splice(line_start(text, directive.key_stop), len(text) if end < 0 else end + 1, "")


def line_behind(text: str, directive: Directive, indent: str, new: str) -> Splice:
    """Splice that puts a line behind that of a directive."""
    end = text.find("\n", max(directive.key_stop, directive.stop))
    return insert_lines(text, len(text) if end < 0 else end + 1, [indent + new])


def indent_of(text: str, directive: Directive) -> str:
    """The blanks in front of a directive's keyword."""
    start = line_start(text, directive.key_stop)
    line = text[start : directive.key_stop]
    return line[: len(line) - len(line.lstrip())]
