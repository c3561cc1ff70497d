"""Fedora CoreOS and RHEL CoreOS: a live system with coreos-installer; its kernel arguments have areas of their own.

See `installers.coreos` for those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.installers.trees import Finder, InstallTree, Layout

MARKS = ("/coreos", "/images/ignition.img")
MARK_TEXTS: dict[str, re.Pattern[str]] = {}
PREFIX = ""
FIRST_PAGE = r"login: "
ANSWERS = ""
FINDERS: tuple[Finder, ...] = ()
KEPT_BEHIND = ""


def in_text(arguments: Arguments) -> Arguments:
    """It comes up with a login prompt, and needs no more."""
    return arguments


def arguments(_tree: InstallTree | None, _given: set[str]) -> list[str]:
    """None beside those of the tree."""
    return []


def answered(_tree: InstallTree | None, _answers: str, *, is_url: bool) -> tuple[str, ...]:
    """None: its Ignition files are put onto the medium by coreos-installer."""
    del is_url
    return ()


def on_medium(_kind: str, _path: str, _label: str) -> tuple[str, ...]:
    """None: coreos-installer puts its Ignition files into an area of their own."""
    return ()


def layouts(_machine: str, _location: str) -> Iterator[Layout]:
    """None: it is installed from its medium."""
    return iter(())
