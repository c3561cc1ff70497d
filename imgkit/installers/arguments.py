"""What installers want to hear beside `console=`, so that they ask their questions in text.

Live systems are no installers: they come up with a login prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit import bootloaders as loaders
from imgkit.installers import family_of, members

if TYPE_CHECKING:
    from imgkit.bootloaders.files import BootFile
    from imgkit.configtext.kernelargs import Arguments
    from imgkit.installers import Family
    from imgkit.treeedits import TreeEdits


def ask_in_text(edits: TreeEdits, boot: BootFile, family: Family | None, *, recovery: bool) -> None:
    """Put the family's arguments for a text installer on each kernel that starts one; None: a family not known."""
    loaders.module_for(boot).edit_arguments(
        edits,
        boot.path,
        lambda arguments: _in_text(arguments, family) if arguments and not _is_live(arguments) else arguments,
        recovery=recovery,
    )


def _in_text(arguments: Arguments, family: Family | None) -> Arguments:
    """Media that somebody made over may lack the family's files; arguments that its installer alone has tell as well.

    That counts where the family's own needs no argument to ask in text.
    """
    known = family_of(family) if family else None
    if known is None or not known.in_text(()):
        named = (other for _, other in members() if other.prefix and _has_any(arguments, other.prefix))
        known = next(named, known)
    return known.in_text(arguments) if known else arguments


def _has_any(arguments: Arguments, prefix: str) -> bool:
    return any(argument.name.startswith(prefix) for argument in arguments)


def _is_live(arguments: Arguments) -> bool:
    return any(
        argument.name == "rd.live.image" or argument.text.startswith(("root=live:", "boot=live"))
        for argument in arguments
    )
