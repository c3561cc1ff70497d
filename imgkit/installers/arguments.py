"""What installers want to hear beside `console=`, so that they ask their questions in text.

Anaconda: https://anaconda-installer.readthedocs.io/en/latest/user-guide/boot-options.html
YaST, by linuxrc: https://en.opensuse.org/SDB:Linuxrc

Debian's installer, Ubuntu's and those of Arch and Alpine look at the console and need nothing more. Live systems are no
installers: they come up with a login prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit import bootloaders as loaders
from imgkit.configtext import kernelargs
from imgkit.installers.detection import Family

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgkit.bootloaders.files import BootFile
    from imgkit.configtext.kernelargs import Arguments
    from imgkit.treeedits import TreeEdits

# Where a person chose another way to talk to Anaconda, that stays.
_ANACONDA_MODES = {
    *("inst.text", "inst.cmdline", "inst.vnc", "inst.rdp", "inst.sshd"),
    *("text", "cmdline", "vnc"),
}


def ask_in_text(edits: TreeEdits, boot: BootFile, family: Family | None, *, recovery: bool) -> None:
    """Put the family's arguments for a text installer on each kernel that starts one; None: a family not known."""
    edit = _EDITS.get(family, _anaconda_by_its_arguments)

    loaders.module_for(boot).edit_arguments(
        edits,
        boot.path,
        lambda arguments: edit(arguments) if arguments and not _is_live(arguments) else arguments,
        recovery=recovery,
    )


def _anaconda(arguments: Arguments) -> Arguments:
    arguments = kernelargs.remove(arguments, ("inst.graphical",))
    if any(argument.name in _ANACONDA_MODES for argument in arguments):
        return arguments
    # Before Fedora 17 and RHEL 7 its arguments had no prefix; from then on its menus have at least inst.stage2.
    return kernelargs.add(arguments, ("inst.text" if _has_prefix(arguments) else "text",))


def _anaconda_by_its_arguments(arguments: Arguments) -> Arguments:
    """Media that somebody made over may lack the family's files; its arguments give Anaconda away as well."""
    return _anaconda(arguments) if _has_prefix(arguments) else arguments


def _has_prefix(arguments: Arguments) -> bool:
    return any(argument.name.startswith("inst.") for argument in arguments)


def _suse(arguments: Arguments) -> Arguments:
    return kernelargs.replace(arguments, ("textmode=1",))


def _is_live(arguments: Arguments) -> bool:
    return any(
        argument.name == "rd.live.image" or argument.text.startswith(("root=live:", "boot=live"))
        for argument in arguments
    )


_EDITS: dict[Family | None, Callable[[Arguments], Arguments]] = {Family.ANACONDA: _anaconda, Family.SUSE: _suse}
