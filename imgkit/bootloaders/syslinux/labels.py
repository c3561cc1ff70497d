"""What a label of SYSLINUX loads: Linux by itself, Linux through a module, another menu, or something else.

KERNEL decides by the name's extension; LINUX takes any name. Of the COM32 modules, linux.c32 starts the kernel that
APPEND names, and mboot.c32 starts Xen (or tboot) with its modules, which "---" separates.

Extensions: `file_extensions` in core/elflink/ldlinux of SYSLINUX's source, and
https://wiki.syslinux.org/wiki/index.php?title=Config; modules: ?title=Mboot.c32, Ifcpu64.c32, WhichSys.c32
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.bootloaders.syslinux.lines import LOADS, value_of
from imgkit.configtext import kernelargs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgkit.bootloaders.syslinux.lines import Directive, Section
    from imgkit.configtext.kernelargs import Arguments

_NOT_A_KERNEL = re.compile(r"\.(?:bin|bss?|0|c32|com|cbt|img)$", re.IGNORECASE)
# Versions before 5 take ".0" for PXELINUX's business alone, so that a kernel may be called so.
_VERSION_ENDS_IN_0 = re.compile(r"(?:vmlinu[xz]|bzimage|linux)-.*\.0", re.IGNORECASE)
_KERNEL_NAME = re.compile(r"vmlinu|bzimage|linux|kernel", re.IGNORECASE)
_MULTIBOOT = re.compile(r"(xen|tboot)", re.IGNORECASE)
_MENUS = ("menu", "vesamenu")


@dataclass(frozen=True, slots=True)
class Label:
    """What can be booted. `kind` is the keyword that loads it ("kernel", "linux", "com32", "localboot", ...).

    `path` is the kernel, or what is loaded instead of one, and `words` is all that APPEND says; of that, `arguments`
    are those of the kernel. `append_line` is 0 where the label has no APPEND of its own, and `arguments` are then the
    global ones. `hypervisor` holds the arguments of the Xen that starts the kernel, None where none does. `is_default`
    says that it has MENU DEFAULT; what boots is known only with all files together (see `includes`).
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
    is_hidden: bool = False
    is_disabled: bool = False
    words: tuple[str, ...] = ()
    hypervisor: tuple[str, ...] | None = None

    @property
    def module(self) -> str:
        """The COM32 module that it runs, in lower case without its extension; "" where it runs none."""
        return module_name(self.path) if self.kind in ("kernel", "com32") else ""

    @property
    def shows_menu(self) -> bool:
        """Whether it runs a module that shows labels as a menu."""
        return self.module in _MENUS


@dataclass(frozen=True, slots=True)
class Kernel:
    """A Linux that a label loads, with the places of its arguments in the text.

    `start` is the end of the word behind which its arguments stand, None where they are all of APPEND. The same holds
    for Xen's arguments in `hypervisor`, which is None where Linux starts by itself.
    """

    path: str
    arguments: Arguments
    start: int | None = None
    hypervisor: Arguments | None = None
    hypervisor_start: int = 0


def module_name(path: str) -> str:
    """A module's name in lower case, without folder and extension."""
    return path.rpartition("/")[2].lower().removesuffix(".c32")


def is_menu_module(command: str) -> bool:
    """Whether the first word of a command starts a module that shows labels as a menu."""
    return module_name(next(iter(command.split()), "")) in _MENUS


def kernel_is_linux(path: str) -> bool:
    """Whether KERNEL, or a command line, starts this file as Linux."""
    name = path.rpartition("/")[2]
    return kernelargs.is_linux(path) and (
        not _NOT_A_KERNEL.search(name) or _VERSION_ENDS_IN_0.fullmatch(name) is not None
    )


def looks_like_linux(path: str) -> bool:
    """Whether a command line that names no label means a kernel."""
    return kernel_is_linux(path) and ("/" in path or _KERNEL_NAME.search(path) is not None)


def find_kernel(text: str, section: Section) -> Kernel | None:
    """The Linux that a label's section loads; None where it loads none."""
    load, append = section.last(*LOADS), section.last("append")
    words = value_of(text, load).split() if load else []
    arguments = append_arguments(text, append)
    if load is None or not words:
        # A label without KERNEL loads the file of its own name.
        name = value_of(text, section.label) if section.label else ""
        is_meant = load is None and section.last("append", "initrd") is not None and looks_like_linux(name)
        return Kernel(name, arguments) if is_meant else None
    path = words[0]
    if load.keyword == "linux":
        return Kernel(path, arguments) if kernelargs.is_linux(path) else None
    if load.keyword not in ("kernel", "com32"):
        return None
    if load.keyword == "kernel" and kernel_is_linux(path):
        return Kernel(path, arguments)
    return _behind_module(module_name(path), arguments)


def _behind_module(module: str, words: Arguments) -> Kernel | None:
    if module == "linux" and words and kernelargs.is_linux(words[0].text):
        return Kernel(words[0].text, words[1:], words[0].stop)
    if module != "mboot":
        return None
    parts = _parts(words)
    if not all(parts[:2]) or not parts[1:]:
        return None
    first, kernel = parts[0][0], parts[1][0]
    match = _MULTIBOOT.match(first.text.rpartition("/")[2])
    if match is None or not kernelargs.is_linux(kernel.text):
        return None
    hypervisor = parts[0][1:] if match[1].lower() == "xen" else None  # tboot leaves the UART to Linux
    return Kernel(kernel.text, parts[1][1:], kernel.stop, hypervisor, first.stop)


def _parts(words: Arguments) -> list[Arguments]:
    """The modules of mboot.c32, each a file and its arguments."""
    parts: list[list[kernelargs.Argument]] = [[]]
    for word in words:
        if word.text == "---":
            parts.append([])
        else:
            parts[-1].append(word)
    return [tuple(part) for part in parts]


def read_label(text: str, section: Section, common: tuple[str, ...]) -> Label:
    """The label of a section; `common` are the arguments of a global APPEND."""
    assert section.label is not None
    load, append, title = section.last(*LOADS), section.last("append"), section.last("menu label")
    kernel, words = find_kernel(text, section), append_arguments(text, append)
    arguments = kernelargs.texts(kernel.arguments if kernel else words) if append else common
    loaded = value_of(text, load).split() if load else []
    return Label(
        line=section.label.line,
        name=value_of(text, section.label),
        title=value_of(text, title).replace("^", "") if title else "",
        kind=load.keyword if load else "kernel",
        path=kernel.path if kernel else " ".join(loaded),
        append_line=append.line if append else 0,
        arguments=(*loaded[1:], *arguments) if kernel else arguments,
        initrds=_initrds(text, section, arguments),
        is_linux=kernel is not None,
        is_recovery=kernel is not None and kernelargs.is_recovery(kernel.arguments),
        is_default=section.last("menu default") is not None,
        is_hidden=section.last("menu hide") is not None,
        is_disabled=section.last("menu disable", "menu disabled") is not None,
        words=kernelargs.texts(words),
        hypervisor=kernelargs.texts(kernel.hypervisor) if kernel and kernel.hypervisor is not None else None,
    )


def append_arguments(text: str, append: Directive | None) -> Arguments:
    """Arguments of an APPEND line; a lone hyphen means none, not even the global ones."""
    if append is None or value_of(text, append) == "-":
        return ()
    return kernelargs.split(text, append.start, append.stop)


def _initrds(text: str, section: Section, arguments: Sequence[str]) -> tuple[str, ...]:
    own = section.last("initrd")
    given = [value_of(text, own)] if own else [a.partition("=")[2] for a in arguments if a.startswith("initrd=")]
    return tuple(path for value in given for path in value.split(","))
