"""GRUB 2 as a boot loader: grub.cfg, and every script that it leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.bootloaders import menu_message
from imgkit.bootloaders.grub2 import config, terminal
from imgkit.bootloaders.grub2.follow import follow
from imgkit.bootloaders.grub2.menu import shown_menus
from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind, KernelLine
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits


def enable(edits: TreeEdits, path: str, console: SerialConsole, options: EnableOptions) -> None:
    """Put menus and kernels on the console. A file that only looks for the real one has neither and stays."""
    shown = [menu.file for menu in shown_menus(follow(edits, path))]
    config.enable(edits, path, console, options, shown)


def edit_arguments(edits: TreeEdits, path: str, edit: Callable[[Arguments], Arguments], *, recovery: bool) -> None:
    """Edit the arguments of each kernel that the script leads to."""
    config.edit_arguments(edits, path, lambda arguments, _kernel: edit(arguments), recovery=recovery)


def menu_console(edits: TreeEdits, path: str) -> SerialConsole | None:
    """The serial console that the first of the menus to show on one shows on; None where none does."""
    found = (terminal.in_use(menu.states) for menu in follow(edits, path).menus if menu.shows)
    return next(filter(None, found), None)


def only_leads_to(edits: TreeEdits, path: str, others: Collection[str]) -> bool:
    """Whether the script at `path` does nothing itself but find one of the scripts `others` and go on there."""
    try:
        journey = follow(edits, path)
    except ConfigError:  # told by those who read it
        return False
    steps = [step.source.file for menu in journey.menus for step in menu.switches]
    steps += [setting.source.file for menu in journey.menus for setting in menu.settings]
    items = [entry.file for menu in journey.menus for entry in menu.entries]
    is_bare = path not in (*steps, *items) and not journey.problems
    return (
        is_bare
        and not any(kernel.file == path for kernel in config.all_kernels(journey))
        and any(file in others for file in journey.files)
    )


def kernels(edits: TreeEdits, path: str) -> Iterator[KernelLine]:
    """The command lines of all entries, those of submenus and of other files too."""
    journey = follow(edits, path)
    titles: dict[tuple[str, int], str] = {}
    for menu in journey.menus:
        for entry, kernel in menu.kernels():
            titles.setdefault((kernel.file, kernel.line), entry.title)
    for kernel in config.all_kernels(journey):
        title = titles.get((kernel.file, kernel.line), kernel.path)
        arguments = kernelargs.new(kernel.arguments)
        yield KernelLine(kernel.file, kernel.line, title, arguments, kernel.is_recovery, kernel.hypervisor)


def checks(edits: TreeEdits, path: str, console: SerialConsole) -> Iterator[Check]:
    """Where each menu is, and what could not be followed to others."""
    journey = follow(edits, path)
    for menu in journey.menus:
        if menu.shows:
            shown = config.shows_on(menu, console)
            last = menu.switches[-1] if menu.switches else None
            file, line = (last.source.file, last.line) if last else (menu.file, 0)
            yield Check(CheckKind.LOADER, shown, file, line, menu_message(console, shown=shown))
    for problem in journey.problems:
        yield Check(CheckKind.LOADER, False, problem.file, problem.line, problem.message, problem.hint)
