"""Telling an install tree: which family's it is, and where its kernel and initial RAM disk are."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from imgkit.installers import members
from imgkit.installers.trees import InstallTree, NoTreeError, architecture_name
from imgkit.location.opening import open_source
from imgkit.location.source import EXAMPLE
from imgkit.remote.url import shown

if TYPE_CHECKING:
    from imgkit.installers.trees import Layout, TreeSource

_NOWHERE = "imgkit-asks-for-what-is-not-there"
_LOOKED_FOR = (
    ".treeinfo, content, media.1/products, .disk/info, .discinfo, Debian's MANIFEST, or a kernel where netboot "
    "folders of Debian, Ubuntu, Arch and Alpine have it"
)
_WAY_OUT = (
    f"Name the installer's kernel and initial RAM disk with --kernel and --initrd, or its ISO with --cdrom. {EXAMPLE}"
)


def find_tree(location: str, *, architecture: str | None = None) -> InstallTree:
    """The install tree at a URL, in a directory or on an ISO.

    `architecture` is any distribution's word for a machine; by default it is the tree's, and where that has several
    the address's or this host's. Raises NoTreeError where there is no tree, or none for the architecture, LocationError
    where it cannot be reached, UsageError for a scheme that is not known, and what opening an image raises for an ISO.
    """
    wanted = architecture_name(architecture) if architecture else None
    with open_source(location) as source:
        tree = _described(source, location, wanted) or _bare(source, location, wanted)
    if tree is not None:
        return tree
    raise NoTreeError(f"{shown(location)}: not an install tree: found none of {_LOOKED_FOR}", hint=_WAY_OUT)


def _described(source: TreeSource, location: str, architecture: str | None) -> InstallTree | None:
    """The tree that describes itself in the way of one of the families; None where it does not."""
    finders = (finder for _, known in members() for finder in known.finders)
    ordered = sorted(finders, key=lambda finder: finder.by)
    return next(filter(None, (finder.find(source, location, architecture) for finder in ordered)), None)


def _bare(source: TreeSource, location: str, architecture: str | None) -> InstallTree | None:
    """The tree of a netboot folder or a small ISO; None where no kernel lies at any of the usual places."""
    if source.size(_NOWHERE) is not None:
        return None  # a server that answers everything with a page for people
    machines = [architecture] if architecture else [architecture_name(platform.machine()), "x86_64"]
    for machine in dict.fromkeys(machines):
        layouts = (layout for _, known in members() for layout in known.layouts(machine, location))
        for layout in sorted(layouts, key=lambda layout: layout.clarity):
            if source.size(layout.kernel) is not None and source.size(layout.initrd) is not None:
                return _tree(source, location, layout)
    return None


def _tree(source: TreeSource, location: str, layout: Layout) -> InstallTree:
    more = layout.more(source) if layout.more else ()
    return InstallTree(
        location,
        layout.family,
        layout.name,
        "",
        layout.machine,
        layout.kernel,
        layout.initrd,
        arguments=layout.arguments + more,
        needs_iso=layout.needs_iso,
    )
