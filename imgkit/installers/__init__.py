"""Installers: the recipe for the tree of an installer's ISO, its status, and what is known of each family.

`recipe.enable` makes the changes, `status.status` tells how things stand, `detection.find_installer` what installer it
is. The boot loaders are those of `imgkit.bootloaders`, and what boots by default is decided in `bootloaders.bootmenu`;
what an installer needs beyond them has a module each:

    menufiles        which files the boot loaders of an ISO read, and what they lead to
    arguments        what an installer wants to hear beside `console=`
    commandline      the whole command line that starts an installer from an install tree
    trees            what an install tree is; `imgkit.location` reads one
    coreos           the places of Fedora CoreOS's kernel arguments, which have to stay known
    families/        a module for each family, with a value of `InstallerFamily`

A new family is a module in `families` with a value `FAMILY` (`InstallerFamily`), and one line in `INSTALLERS`.
`tests/installers/test_conformance.py` runs over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.installers.trees import Finder, InstallTree, Layout


class Family(StrEnum):
    """Installers that take the same arguments; derivatives count with what they are made from."""

    COREOS = "coreos"
    SUSE = "suse"
    UBUNTU = "ubuntu"
    ANACONDA = "anaconda"
    FEDORA = "fedora"
    RHEL = "rhel"
    ARCH = "arch"
    ALPINE = "alpine"
    DEBIAN = "debian"


INSTALLERS = {
    Family.COREOS: "coreos",
    Family.SUSE: "suse",
    Family.UBUNTU: "ubuntu",
    Family.ANACONDA: "anaconda",
    Family.FEDORA: "anaconda",
    Family.RHEL: "anaconda",
    Family.ARCH: "arch",
    Family.ALPINE: "alpine",
    Family.DEBIAN: "debian",
}
"""The module of each family, in the order in which their marks are looked for.

Fedora CoreOS and openSUSE have marks of Anaconda's, Ubuntu Debian's. An install tree tells Fedora from RHEL, a medium
does not: there they are Anaconda's.
"""


class AnswerKind(StrEnum):
    """What an answer file is written for."""

    PRESEED = "preseed"
    KICKSTART = "kickstart"
    AUTOYAST = "AutoYaST profile"
    AUTOINSTALL = "autoinstall"
    AGAMA = "Agama profile"
    IGNITION = "Ignition config"


def _unchanged(arguments: Arguments) -> Arguments:
    return arguments


def _nothing(*_: object) -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True)
class InstallerFamily:
    """What is known of a family: the contract of its module, whose value `FAMILY` is one of these.

    What is left out is that of a live system, which comes up with a login prompt and needs nothing more. A `tree` is an
    install tree, None where only the family is known. None of the functions looks at anything but what it is given.
    """

    marks: tuple[str, ...]
    """Absolute paths on the family's media, any of which gives it away; the most telling first."""

    mark_texts: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    """What a file has to hold to be the family's mark, by those of the paths that media of others have too."""

    prefix: str = ""
    """How the names of arguments begin that its installer alone has, for media without its marks; "" for none."""

    first_page: str = r"login: "
    """A regular expression for what its medium shows first on the serial line."""

    kept_behind: str = ""
    """The kernel argument behind which the installed system inherits all others; "" without such a one."""

    answers: str = ""
    """The absolute path in the initial RAM disk where its answer file is put; "" if it looks for none there."""

    finders: tuple[Finder, ...] = ()
    """What finds install trees that say what they are in the family's way; none for those that do not."""

    layouts: Callable[[str, str], Iterable[Layout]] = _nothing
    """Where it keeps kernel and initial RAM disk in folders without a description, for a machine and a location.

    Of all families' layouts, the clearer come first; among those of one clarity, the order is that of `INSTALLERS`.
    """

    in_text: Callable[[Arguments], Arguments] = _unchanged
    """The kernel arguments of a menu entry, so that the installer asks in text."""

    arguments: Callable[[InstallTree | None, set[str]], Sequence[str]] = _nothing
    """What the kernel has to hear to install from the tree in text; not what the names given already are."""

    answered: Callable[[InstallTree | None, str, bool], tuple[str, ...]] = _nothing
    """The kernel arguments for an answer file, a URL or not; none if it takes none. May raise UnsupportedError."""

    on_medium: Callable[[AnswerKind, str, str], tuple[str, ...]] = _nothing
    """The kernel arguments for an answer file of its own medium, by kind, absolute path and volume label; or none."""


def family_of(family: Family) -> InstallerFamily:
    """What is known of a family."""
    return cast("InstallerFamily", import_module(f"{__name__}.families.{INSTALLERS[family]}").FAMILY)


def members() -> Iterator[tuple[Family, InstallerFamily]]:
    """What each module knows, with the first family that it serves."""
    seen: set[str] = set()
    for family, name in INSTALLERS.items():
        if name not in seen:
            seen.add(name)
            yield family, family_of(family)
