"""What the detection of every family asks of a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.location.model import NoTreeError
from imgkit.location.source import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from imgkit.location.source import Source

_MAX_TEXT = 8 << 20


def text(source: Source, path: str) -> str | None:
    """A text file of the tree; None where there is none, or a server's page for people in its place."""
    data = source.read(path, _MAX_TEXT)
    if data is None or is_web_page(data):
        return None
    return data.decode(errors="replace")


def is_web_page(data: bytes) -> bool:
    """Whether a file begins as HTML does, which servers send with status 200 for what is not there."""
    return data[:512].lstrip().lower().startswith((b"<!doctype html", b"<html", b"<?xml", b"<head"))


def first_pair(source: Source, location: str, pairs: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The first kernel and initial RAM disk that are both there. Raises LocationError naming all that were tried."""
    for kernel, initrd in pairs:
        if source.size(kernel) is not None and source.size(initrd) is not None:
            return kernel, initrd
    raise no_kernel(location, (kernel for kernel, _ in pairs))


def no_kernel(location: str, tried: Iterable[str]) -> NoTreeError:
    """What a tree is that has no kernel where its family has it."""
    return NoTreeError(
        f"{shown(location)}: an install tree, but without a kernel and its initial RAM disk: tried {', '.join(tried)}",
        hint="Give both with --kernel and --initrd, start from the ISO with --cdrom, or choose another --arch.",
    )


def checksums(
    source: Source, wanted: Sequence[str], lists: Sequence[tuple[str, Callable[[str], dict[str, str]]]]
) -> tuple[dict[str, str], str]:
    """The checksums of the `wanted` paths and the list they stand in, the first that has both; else none.

    `lists` are paths of lists and what reads each.
    """
    for path, parse in lists:
        listed = text(source, path)
        if listed is not None:
            found = parse(listed)
            if all(name in found for name in wanted):
                return {name: found[name] for name in wanted}, path
    return {}, ""
