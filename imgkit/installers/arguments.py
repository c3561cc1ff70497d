"""What installers want to hear beside `console=`, so that they ask their questions in text.

Live systems are no installers: they come up with a login prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit import bootloaders as loaders
from imgkit.installers import module_for

if TYPE_CHECKING:
    from imgkit.bootloaders.files import BootFile
    from imgkit.configtext.kernelargs import Arguments
    from imgkit.installers import Family
    from imgkit.treeedits import TreeEdits


def ask_in_text(edits: TreeEdits, boot: BootFile, family: Family | None, *, recovery: bool) -> None:
    """Put the family's arguments for a text installer on each kernel that starts one; None: a family not known."""
    edit = module_for(family).in_text if family else _anaconda_by_its_arguments

    loaders.module_for(boot).edit_arguments(
        edits,
        boot.path,
        lambda arguments: edit(arguments) if arguments and not _is_live(arguments) else arguments,
        recovery=recovery,
    )


def _anaconda_by_its_arguments(arguments: Arguments) -> Arguments:
    """Media that somebody made over may lack the family's files; its arguments give Anaconda away as well."""
    from imgkit.installers.families import anaconda  # noqa: PLC0415 - for such media only

    return anaconda.in_text(arguments) if anaconda.has_prefix(arguments) else arguments


def _is_live(arguments: Arguments) -> bool:
    return any(
        argument.name == "rd.live.image" or argument.text.startswith(("root=live:", "boot=live"))
        for argument in arguments
    )
