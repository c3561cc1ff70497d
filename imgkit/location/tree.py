"""Telling an install tree: which family's it is, and where its kernel and initial RAM disk are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.location.anaconda import find_discinfo, find_treeinfo
from imgkit.location.debian import find_cd, find_netboot
from imgkit.location.model import NoTreeError, architecture_name
from imgkit.location.netboot import find_bare
from imgkit.location.opening import open_source
from imgkit.location.source import EXAMPLE, shown
from imgkit.location.suse import find_suse

if TYPE_CHECKING:
    from imgkit.location.model import InstallTree

# A tree with .treeinfo has said all; Debian's mirrors have many places, so that they come last.
_FAMILIES = (find_treeinfo, find_suse, find_cd, find_discinfo, find_netboot, find_bare)
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
        for find in _FAMILIES:
            tree = find(source, location, wanted)
            if tree is not None:
                return tree
    raise NoTreeError(f"{shown(location)}: not an install tree: found none of {_LOOKED_FOR}", hint=_WAY_OUT)
