"""Telling an install tree: which family's it is, and where its kernel and initial RAM disk are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.errors import LocationError
from imgkit.location.anaconda import find_discinfo, find_treeinfo
from imgkit.location.debian import find_cd, find_netboot
from imgkit.location.model import architecture_name
from imgkit.location.opening import open_source
from imgkit.location.source import EXAMPLE, shown
from imgkit.location.suse import find_suse

if TYPE_CHECKING:
    from imgkit.location.model import InstallTree

# A tree with .treeinfo has said all; Debian's mirrors have many places, so that they come last.
_FAMILIES = (find_treeinfo, find_suse, find_cd, find_discinfo, find_netboot)
_LOOKED_FOR = ".treeinfo, content, media.1/products, .disk/info, .discinfo, and MANIFEST as Debian's mirrors have it"


def find_tree(location: str, *, architecture: str | None = None) -> InstallTree:
    """The install tree at a URL, in a directory or on an ISO.

    `architecture` is any distribution's word for a machine; by default it is the tree's, and where that has several
    the address's or this host's. Raises LocationError where there is no tree, it is none for the architecture, or it
    cannot be reached; UsageError for a scheme that is not known; what opening an image raises for an ISO.
    """
    wanted = architecture_name(architecture) if architecture else None
    with open_source(location) as source:
        for find in _FAMILIES:
            tree = find(source, location, wanted)
            if tree is not None:
                return tree
    raise LocationError(
        f"{shown(location)}: is no install tree; there is none of {_LOOKED_FOR}", hint=_way_out(location)
    )


def _way_out(location: str) -> str:
    if "://" in location and location.endswith((".iso", ".ISO")):
        return "Download the ISO, and give its path."
    return EXAMPLE
