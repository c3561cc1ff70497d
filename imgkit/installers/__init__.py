"""Installers: the recipe for the tree of an installer's ISO, its status, and what is known of each family.

`recipe.enable` makes the changes, `status.status` tells how things stand, `detection.find_installer` what installer it
is. The boot loaders are those of `imgkit.bootloaders`, and what boots by default is decided in `bootloaders.bootmenu`;
what an installer needs beyond them has a module each:

    menufiles        which files the boot loaders of an ISO read, and what they lead to
    arguments        what an installer wants to hear beside `console=`
    commandline      the whole command line that starts an installer from an install tree
    trees            what an install tree is; `imgkit.location` reads one
    coreos           the places of Fedora CoreOS's kernel arguments, which have to stay known
    families/        a module for each family, all with the same contents

A new family is a module in `families` that keeps the contract `InstallerFamily`, and one line in `INSTALLERS`.
`tests/installers/test_conformance.py` runs over all of them.
"""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Mapping

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


class InstallerFamily(Protocol):
    """The contract of a family's module.

    `tree` is an install tree, None where only the family is known. None of the functions looks at anything but what it
    is given.
    """

    @property
    def MARKS(self) -> tuple[str, ...]:  # noqa: N802 - a constant of each module
        """Absolute paths on the family's media, any of which gives it away; the most telling first."""
        ...

    @property
    def MARK_TEXTS(self) -> Mapping[str, re.Pattern[str]]:  # noqa: N802
        """What a file has to hold to be the family's mark, by those of the paths that media of others have too."""
        ...

    @property
    def PREFIX(self) -> str:  # noqa: N802
        """How the names of arguments begin that its installer alone has, for media without its marks; "" for none."""
        ...

    @property
    def FINDERS(self) -> tuple[Finder, ...]:  # noqa: N802
        """What finds install trees that say what they are in the family's way; none for those that do not."""
        ...

    @property
    def FIRST_PAGE(self) -> str:  # noqa: N802
        """A regular expression for what its medium shows first on the serial line."""
        ...

    @property
    def ANSWERS(self) -> str:  # noqa: N802
        """The absolute path in the initial RAM disk where its answer file is put; "" if it looks for none there."""
        ...

    @property
    def KEPT_BEHIND(self) -> str:  # noqa: N802
        """The kernel argument behind which the installed system inherits all others; "" without such a one."""
        ...

    def in_text(self, arguments: Arguments, /) -> Arguments:
        """The kernel arguments of a menu entry, so that the installer asks in text."""
        ...

    def arguments(self, tree: InstallTree | None, given: set[str], /) -> list[str]:
        """What the kernel has to hear to install from the tree in text; not what `given` names already."""
        ...

    def answered(self, tree: InstallTree | None, answers: str, /, *, is_url: bool) -> tuple[str, ...]:
        """The kernel arguments that name an answer file; none if the family has none. May raise UnsupportedError."""
        ...

    def on_medium(self, kind: str, path: str, label: str, /) -> tuple[str, ...]:
        """The kernel arguments that name an answer file of its own medium; none for a kind that it does not read.

        `kind` is an `answering.AnswerKind`, `path` absolute on the medium, and `label` the medium's volume label.
        """
        ...

    def layouts(self, machine: str, location: str, /) -> Iterator[Layout]:
        """Where the family keeps kernel and initial RAM disk in folders without a description.

        Of all families' layouts, the clearer come first; among those of one clarity, the order is that of `INSTALLERS`.
        """
        ...


def module_for(family: Family) -> InstallerFamily:
    """The module of a family."""
    return cast("InstallerFamily", import_module(f"{__name__}.families.{INSTALLERS[family]}"))


def members() -> Iterator[tuple[Family, InstallerFamily]]:
    """Each module once, with the first family that it serves."""
    seen: set[str] = set()
    for family, name in INSTALLERS.items():
        if name not in seen:
            seen.add(name)
            yield family, module_for(family)
