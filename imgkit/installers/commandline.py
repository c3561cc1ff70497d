"""The kernel command line that starts an installer on a serial console, with or without answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs
from imgkit.errors import UnsupportedError, UsageError
from imgkit.installers import Family, family_of
from imgkit.installers.trees import InstallTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgkit.configtext.serial import SerialConsole


def installer_arguments(
    installer: InstallTree | Family, console: SerialConsole, extra: Sequence[str] = (), *, answers: str = ""
) -> str:
    """The command line of an installer: the console, text mode, where its packages are, and `extra` arguments.

    On Debian's kin the console follows "---": the installer gives that to the system that it installs. The packages'
    place is told only of trees at an address. `answers` is a preseed, kickstart, autoinstall or AutoYaST file: an
    absolute path that `initrd.inject` gave it, or a URL.

    Raises UsageError for an argument with an open quote, UnsupportedError for answers that the installer cannot read.
    """
    tree = installer if isinstance(installer, InstallTree) else None
    family = installer.family if isinstance(installer, InstallTree) else installer
    known = family_of(family)
    given = kernelargs.split(" ".join(extra))
    names = {argument.name for argument in given}
    words = [word for word in tree.arguments if word.partition("=")[0] not in names] if tree else []
    words += _answered(family, tree, answers) if answers else []
    words += known.arguments(tree, names)
    arguments = kernelargs.add(kernelargs.new(words), kernelargs.texts(given))
    if not known.kept_behind:
        return kernelargs.join(kernelargs.set_console(arguments, console))
    if known.kept_behind not in kernelargs.texts(arguments):
        arguments = (*arguments, *kernelargs.new([known.kept_behind]))
    return kernelargs.join(kernelargs.set_console(arguments, console, installer=True))


def answer_file(family: Family) -> str:
    """The absolute path in the initial RAM disk where a family's answer file is put. Raises UnsupportedError."""
    place = family_of(family).answers
    if not place:
        raise _no_answers(family)
    return place


def _answered(family: Family, tree: InstallTree | None, answers: str) -> tuple[str, ...]:
    is_url = "://" in answers
    if not (is_url or answers.startswith("/")):
        raise UsageError(
            f"{answers!r} is neither a URL nor an absolute path", hint="Write /preseed.cfg for an injected file."
        )
    words = family_of(family).answered(tree, answers, is_url)
    if not words:
        raise _no_answers(family)
    return words


def _no_answers(family: Family) -> UnsupportedError:
    return UnsupportedError(
        f"imgkit does not know how the installer of {family} takes its answers",
        hint="Give --inject FILE, and name the file to the installer with --extra-args.",
    )
