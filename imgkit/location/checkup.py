"""What install trees need on this machine, beside what Python brings: the tools for NFS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.guest.finding import look_for_tool

if TYPE_CHECKING:
    from imgkit.guest.finding import Finding

_REMEDY = (
    "apt install libnfs-utils; without root: apt download libnfs-utils libnfs13, "
    "unpack both with dpkg-deb -x, and set PATH and LD_LIBRARY_PATH"
)


def check_tools() -> list[Finding]:
    """Look for the tools that read install trees over NFS."""
    return [look_for_tool(tool, "install trees over NFS", _REMEDY) for tool in ("nfs-cat", "nfs-ls")]
