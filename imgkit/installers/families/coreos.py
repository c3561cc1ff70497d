"""Fedora CoreOS and RHEL CoreOS: a live system with coreos-installer; its kernel arguments have areas of their own.

See `installers.coreos` for those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.installers.trees import InstallTree, Layout, TreeSource

MARKS = ("/coreos", "/images/ignition.img")
FIRST_PAGE = r"login: "
ANSWERS = ""
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


def find_described(_source: TreeSource, _location: str, _architecture: str | None) -> InstallTree | None:
    """None: it is installed from its medium."""
    return None


def layouts(_machine: str, _location: str) -> Iterator[Layout]:
    """None: it is installed from its medium."""
    return iter(())
