"""Paths inside one file system, split and checked."""

from __future__ import annotations

from imgkit.errors import TreeError


def components(path: str) -> list[str]:
    """Names of an absolute path, none for the root. TreeError for one that is relative or holds ".." or NUL."""
    names = [name for name in path.split("/") if name not in ("", ".")]
    if not path.startswith("/") or ".." in names or "\0" in path:
        raise TreeError("not a resolved, absolute path", path=path)
    return names
