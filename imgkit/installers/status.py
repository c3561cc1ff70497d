"""Whether an installer has a serial console, link by link, each with the file and line that decides.

The chain: the boot loader's menu is on the line, it boots by itself, what it boots asks in text, and that kernel, as
all others of the menu, has the console, where the installed system inherits it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit import bootloaders as loaders
from imgkit.bootloaders import consoles, unedited
from imgkit.bootloaders import menus as defaults
from imgkit.bootloaders.bootmenu import Behaviour
from imgkit.configtext.checks import BARE_RATE, Check, CheckKind, Status, serving
from imgkit.installers import coreos
from imgkit.installers.detection import find_installer
from imgkit.installers.foreign import why_no_linux
from imgkit.installers.menufiles import boots_normally, efi_programs, find_menus, read_kernels
from imgkit.treeedits import TreeEdits, named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imgkit.bootloaders.bootmenu import BootMenu
    from imgkit.bootloaders.files import BootFile
    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.errors import ConfigError
    from imgkit.tree import Tree

_MAX_NAMED = 5
_BY_HAND = "Add the console to what it starts with `imgkit edit`, or start the image under the other firmware."


def status(tree: Tree | TreeEdits, console: SerialConsole | None = None, *, roots: Sequence[str] = ()) -> Status:
    """The state of an installer's serial console; `roots` as for `recipe.enable`.

    Without `console`, of the one that its kernels use, or, where they use none, of the usual one for its machine.
    Raises ConfigError where a configuration file cannot be understood.
    """
    edits = TreeEdits.of(tree)
    installer = find_installer(edits.tree)
    boots = find_menus(edits, roots)
    by_menu, errors = read_kernels(edits, boots)
    kernels = _usual(edits, by_menu)
    if console is None:
        console = _suggested(edits, boots, kernels, installer.arch if installer else "")
    unreadable = [error.path for error in errors]
    links = [link for boot in boots if boot.path not in unreadable for link in _menu_checks(edits, boot, console)]
    links += [
        Check(CheckKind.LOADER, False, error.path, error.line or 0, error.message, error.hint or "") for error in errors
    ]
    links += [check for group in _once(kernels) if group for check in _kernel_checks(group, console)]
    if any(kernels):
        if not coreos.find_areas(edits):  # whose files for the mainframe are edited
            links += unedited.checks(unedited.find_unedited(edits, roots))
        links += _halves(edits, boots, by_menu, errors, roots)
    else:
        why = why_no_linux(edits, boots, roots)
        links = [link for link in links if not why.file or link.file != why.file]  # said once
        links.append(Check(CheckKind.KERNEL, False, why.file, 0, why.message, hint=why.hint))
    return Status(console, tuple(links))


def suggested_console(tree: Tree | TreeEdits, *, roots: Sequence[str] = (), bare: int = BARE_RATE) -> SerialConsole:
    """The console that an installer suggests; `bare` is the speed of a `console=` that names none."""
    edits = TreeEdits.of(tree)
    installer = find_installer(edits.tree)
    boots = find_menus(edits, roots)
    kernels = _usual(edits, read_kernels(edits, boots)[0])
    return _suggested(edits, boots, kernels, installer.arch if installer else "", bare=bare)


def _suggested(
    edits: TreeEdits,
    boots: Sequence[BootFile],
    kernels: Sequence[Sequence[KernelLine]],
    arch: str,
    *,
    bare: int = BARE_RATE,
) -> SerialConsole:
    return consoles.suggested(edits, boots, [kernel for group in kernels for kernel in group], arch, bare=bare)


def _usual(edits: TreeEdits, by_menu: Sequence[list[KernelLine]]) -> list[list[KernelLine]]:
    """The kernels of each menu, and of areas that no menu names; those for rescue where there are no others."""
    listed = {kernel.file for group in by_menu for kernel in group}
    kernels = list(by_menu)
    if boots_normally(kernel for group in kernels for kernel in group):
        kernels = [[kernel for kernel in group if not kernel.is_recovery] for group in kernels]
    return [*kernels, *([kernel] for kernel in coreos.kernels(edits) if kernel.file not in listed)]


def _halves(
    edits: TreeEdits,
    boots: Sequence[BootFile],
    kernels: Sequence[Sequence[KernelLine]],
    errors: Sequence[ConfigError],
    roots: Sequence[str],
) -> Iterator[Check]:
    """What BIOS or UEFI starts, and leads to no Linux that is known: the other one's menu does not make up for it."""
    unreadable = {error.path for error in errors}
    for boot, group in zip(boots, kernels, strict=True):
        known = loaders.places(boot.loader)
        if known.has_menu and known.has_entries and not group and boot.path not in unreadable:
            yield Check(CheckKind.LOADER, False, boot.path, 0, "has no entry that boots Linux", hint=_BY_HAND)
    program = next(efi_programs(edits, roots), None)
    if program is not None and not any(map(_is_for_uefi, boots)):
        message = "is started by UEFI firmware, and its menu was not found"
        yield Check(CheckKind.LOADER, False, program, 0, message, hint=_BY_HAND, firmware="UEFI")
    there = {boot.loader for boot in boots}
    for loader in (loader for loader in loaders.LOADERS if loader not in there):
        programs = loaders.places(loader).bios_programs
        for program in [path for place in programs if (path := edits.spelled(place))][:1]:
            message = "is started by BIOS firmware, and its configuration was not found"
            yield Check(CheckKind.LOADER, False, program, 0, message, hint=_BY_HAND, firmware="BIOS")


def _is_for_uefi(boot: BootFile) -> bool:
    """Whether a program that UEFI starts may read it: SYSLINUX has one, which looks beside itself."""
    return loaders.places(boot.loader).uefi_folder in boot.path.lower()


def _once(groups: Iterable[list[KernelLine]]) -> Iterator[list[KernelLine]]:
    """Each kernel once: several menus may lead to the same file."""
    seen: set[tuple[str, int]] = set()
    for group in groups:
        yield [kernel for kernel in group if (kernel.file, kernel.line) not in seen]
        seen |= {(kernel.file, kernel.line) for kernel in group}


def _menu_checks(edits: TreeEdits, boot: BootFile, console: SerialConsole) -> Iterator[Check]:
    with named(boot.path):
        on_medium = loaders.places(boot.loader).on_medium
        if on_medium is not None:
            yield from on_medium(edits, boot.path)
        yield from serving(partial(loaders.module_for(boot).checks, edits, boot.path), console)
        for found in defaults.boot_menus(edits, boot):
            yield _default_check(found)
            yield _timeout_check(found)


def _default_check(menu: BootMenu) -> Check:
    """What boots by itself, and whether it shows on a serial line; nothing else about it is good or bad."""
    default = menu.default
    if default is None:
        return Check(CheckKind.DEFAULT, True, menu.file, 0, "nothing boots by default")
    behaviour = default.behaviour()
    message = f"{default.title!r} boots by default and {behaviour}"
    if behaviour is Behaviour.GRAPHICAL:
        message += ", in text where there is only a serial line"
    ok = behaviour is not Behaviour.DESKTOP
    fit = [choice.full_title for choice in menu.choices if choice.name and choice.kernel and not choice.unfitness()]
    hint = f"Choose another entry with --default, such as {fit[0]!r}." if fit else "Use an image with a text installer."
    return Check(
        CheckKind.DEFAULT, ok, default.file, default.line, message, hint="" if ok else hint, entry=default.full_title
    )


def _timeout_check(menu: BootMenu) -> Check:
    """A menu that waits is on the line as well, where somebody can press the key."""
    message = "waits for a key, with no timeout" if menu.seconds is None else f"boots after {menu.seconds:g} s"
    return Check(CheckKind.TIMEOUT, True, *menu.timer, message)


def _kernel_checks(kernels: Sequence[KernelLine], console: SerialConsole) -> Iterator[Check]:
    """One check for all kernels of a menu that have the console, one for all that lack it: installers have dozens."""
    having: list[KernelLine] = []
    lacking: list[KernelLine] = []
    for kernel in kernels:
        (having if kernel.has_console(console, installer=True) else lacking).append(kernel)
    wanted = " ".join(console.kernel_arguments())
    if having:
        first, many = having[0], f"all {len(kernels)}" if not lacking else f"{len(having)} of {len(kernels)}"
        told = f"{many} kernels have" if len(kernels) > 1 else f"{_title(first)} has"
        yield Check(CheckKind.KERNEL, True, first.file, first.line, f"{told} {wanted}")
    if lacking:
        first = lacking[0]
        message = f"{_title(first)} wants {wanted}"
        if len(kernels) > 1:
            titles = ", ".join(_title(kernel) for kernel in lacking[:_MAX_NAMED])
            more = f" and {len(lacking) - _MAX_NAMED} more" if len(lacking) > _MAX_NAMED else ""
            message = f"{len(lacking)} of {len(kernels)} kernels want {wanted}: {titles}{more}"
        yield Check(CheckKind.KERNEL, False, first.file, first.line, message, first.hint, entry=first.title)


def _title(kernel: KernelLine) -> str:
    return repr(kernel.title) if kernel.title else "the kernel"
