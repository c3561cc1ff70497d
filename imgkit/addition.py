"""Host files that go into an image's tree, and files of the tree that go: as changes, for the one flow of edits.

As `cp -r` and `rm -r` do it, but nothing that exists is replaced unasked, and special files are refused.
"""

from __future__ import annotations

import os
import stat as unix
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.errors import PathNotFoundError, TreeError, UnsupportedError, UsageError
from imgkit.iso.medium import IsoImage
from imgkit.storage.host import unreadable
from imgkit.tree import Change, FileType, replaced
from imgkit.units import GIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from imgkit.editing import Contents
    from imgkit.iso.tree import IsoTree

_LARGEST = GIB  # of all that is added at once: it is held in memory until it is written


def add(sources: Sequence[Path], at: str, *, replace: bool = False) -> Callable[[Contents], list[Change]]:
    """The edit that puts host files and directories into an ISO.

    `at` is a directory that they go into if it ends in "/", or is one; else it is the new name of the only source.
    Raises UsageError for sources that cannot be read, TreeError for what exists (unless `replace`).
    """

    def edit(contents: Contents) -> list[Change]:
        tree = _iso_tree(contents)
        into = at.endswith("/") or (tree.exists(at) and tree.stat(at).type is FileType.DIRECTORY)
        if len(sources) > 1 and not into:
            raise UsageError(f"{at} is not a directory to put several files into", hint=f"Write it as {at}/.")
        changes: list[Change] = []
        for source in sources:
            name = source.name or source.resolve().name
            changes += _added(tree, source, f"{at.rstrip('/')}/{name}" if into else at, replace=replace)
        if sum(len(change.after or b"") for change in changes) > _LARGEST:
            raise UnsupportedError(
                "more than 1 GiB to add at once",
                hint="Add less at a time, or use `xorriso -dev ISO -map FILE PATH`.",
            )
        return changes

    return edit


def remove(paths: Sequence[str], *, recursive: bool = False) -> Callable[[Contents], list[Change]]:
    """The edit that removes files and links of an ISO, and with `recursive` directories with all they hold."""

    def edit(contents: Contents) -> list[Change]:
        tree = _iso_tree(contents)
        return [change for path in paths for change in _removed(tree, path, recursive=recursive)]

    return edit


def _iso_tree(contents: Contents) -> IsoTree:
    if isinstance(contents, IsoImage):
        return contents.tree
    raise UnsupportedError("the image is a disk, not an ISO", hint="Use `imgkit write` and `imgkit edit` for disks.")


def _added(tree: IsoTree, source: Path, path: str, *, replace: bool) -> Iterator[Change]:
    try:
        mode = source.stat().st_mode
        if unix.S_ISDIR(mode):
            yield from _added_directory(tree, source, path, replace=replace)
        elif unix.S_ISREG(mode) and source.stat().st_size <= _LARGEST:
            yield from _added_file(tree, source.read_bytes(), path, replace=replace)
        elif unix.S_ISREG(mode):
            raise UnsupportedError(f"{source}: larger than 1 GiB", hint=f"Use `xorriso -dev ISO -map {source} {path}`.")
        else:
            raise UsageError(f"{source}: neither a file nor a directory", hint="Leave it out.")
    except OSError as error:
        raise unreadable(source, error) from error


def _added_directory(tree: IsoTree, source: Path, path: str, *, replace: bool) -> Iterator[Change]:
    if not tree.exists(path):
        yield Change(path, None, b"", directory=True)
    elif tree.stat(path).type is not FileType.DIRECTORY:
        raise TreeError("exists, and is not a directory", path=path, hint="Remove it first: `imgkit iso rm`.")
    with os.scandir(source) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        below = f"{path.rstrip('/')}/{entry.name}"
        if entry.is_symlink():
            yield from _added_link(tree, os.fsencode(Path(entry.path).readlink()), below)
        else:
            yield from _added(tree, Path(entry.path), below, replace=replace)


def _added_file(tree: IsoTree, data: bytes, path: str, *, replace: bool) -> Iterator[Change]:
    if tree.exists(path) and not replace:
        raise TreeError("exists", path=path, hint="Use --replace to overwrite it, or choose another path.")
    yield from replaced(tree, path, data)


def _added_link(tree: IsoTree, target: bytes, path: str) -> Iterator[Change]:
    try:
        found = tree.stat(path, follow=False)
    except PathNotFoundError:
        yield Change(path, None, target, link=True)
        return
    if found.type is not FileType.LINK or os.fsencode(tree.readlink(path)) != target:
        raise TreeError("exists", path=path, hint="Remove it first: `imgkit iso rm`.")


def _removed(tree: IsoTree, path: str, *, recursive: bool) -> Iterator[Change]:
    found = tree.stat(path, follow=False)
    if found.type is FileType.DIRECTORY:
        if not recursive:
            raise TreeError("is a directory", path=path, hint="Use -r to remove it with all that it holds.")
        for name in tree.listdir(path):
            yield from _removed(tree, f"{path.rstrip('/')}/{name}", recursive=True)
        yield Change(path, b"", None, directory=True)
    elif found.type is FileType.LINK:
        yield Change(path, os.fsencode(tree.readlink(path)), None, link=True)
    else:
        # A diff shows as much of what goes as is reasonable; the rest is not read.
        yield Change(path, next(tree.read_chunks(path), b""), None)
