"""The recipe for an installer: its menus on the serial line, a text installer that boots by itself, and its kernels.

What is said to the kernel behind "---" the installed system hears as well, so that the console outlives installation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imgkit import bootloaders as loaders
from imgkit.bootloaders import menus as defaults
from imgkit.configtext.options import EnableOptions
from imgkit.configtext.serial import SerialConsole
from imgkit.errors import UnsupportedError
from imgkit.installers import coreos
from imgkit.installers.answers import Answers, answer_file
from imgkit.installers.arguments import ask_in_text
from imgkit.installers.detection import find_installer
from imgkit.installers.foreign import recognise, why_no_linux
from imgkit.installers.menufiles import boots_normally, find_menus, read_kernels
from imgkit.treeedits import TreeEdits, named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgkit.bootloaders.files import BootFile
    from imgkit.configtext.checks import KernelLine
    from imgkit.tree import Change, Tree


def enable(
    tree: Tree | TreeEdits,
    console: SerialConsole,
    options: EnableOptions | None = None,
    *,
    roots: Sequence[str] = (),
    announce: Callable[[str], None] | None = None,
) -> list[Change]:
    """The changes that give an installer a serial console; none where it has it.

    `roots` are directories of the tree that firmware or a boot loader takes for a root of its own, such as a place
    where a FAT boot image is mounted. `announce` is told of each change in what the medium does by itself. Raises
    UnsupportedError where no boot menu is known, or all are sealed or signed; ConfigError where a configuration file
    cannot be understood; UsageError where `options.default` names no entry.
    """
    edits = TreeEdits.of(tree)
    installer = find_installer(edits.tree)
    boots, areas = list(find_menus(edits, roots)), coreos.find_areas(edits)
    groups, errors = read_kernels(edits, boots)
    kernels = [kernel for group in groups for kernel in group]
    if errors and not kernels:
        raise errors[0]
    options = _for_installer(options or EnableOptions(), kernels)
    if not areas:
        _require_kernels(edits, boots, kernels, roots)
        files = (*(boot.path for boot in boots), *(kernel.file for kernel in kernels))
        coreos.check_unlisted(edits, tuple(dict.fromkeys(files)))
    unreadable = [error.path for error in errors]
    boots = [boot for boot in boots if boot.path not in unreadable]
    before = defaults.all_menus(edits, boots)
    defaults.check_title(before, options.default)
    answers = Answers(edits, answer_file(edits, before))
    coreos.enable(edits, areas, console, options)
    held = coreos.contents(edits, areas)
    for boot in boots:
        with named(boot.path):
            loaders.module_for(boot).enable(edits, boot.path, console, options)
            ask_in_text(edits, boot, installer.family if installer else None, recovery=options.recovery)
            defaults.improve(edits, boot, default=options.default, answered=answers.serve)
    defaults.announce(edits, before, defaults.all_menus(edits, boots), default=options.default)
    coreos.follow(edits, areas, held)
    changes = edits.changes()
    _refuse_signed(edits, changes)
    if announce is not None:
        for sentence in edits.announcements:
            announce(sentence)
    return changes


def _for_installer(options: EnableOptions, kernels: Sequence[KernelLine]) -> EnableOptions:
    return replace(options, installer=True, recovery=options.recovery or not boots_normally(kernels))


def _require_kernels(
    edits: TreeEdits, boots: Sequence[BootFile], kernels: Sequence[KernelLine], roots: Sequence[str]
) -> None:
    if kernels:
        return
    why = why_no_linux(edits, boots, roots)
    checks = (check for boot in boots for check in loaders.module_for(boot).checks(edits, boot.path, SerialConsole()))
    lost = next((check for check in checks if check.hint and not check.ok and not why.file), None)
    if lost is not None and recognise(edits) is None:
        where = f"{lost.file}:{lost.line}" if lost.line else lost.file
        raise UnsupportedError(
            f"no boot menu that could be followed boots Linux: {where}: {lost.message}", hint=lost.hint
        )
    raise UnsupportedError(why.message, hint=why.hint)


def _refuse_signed(edits: TreeEdits, changes: Sequence[Change]) -> None:
    """GRUB with check_signatures reads no file whose signature is wrong: the medium would not boot any more."""
    for change in changes:
        if edits.is_there(f"{change.path}.sig"):
            raise UnsupportedError(
                f"{change.path} is signed: {change.path}.sig would not fit any more",
                hint="Remove the signature from the image if its GRUB does not check it, or sign the changed file.",
            )
