"""A tree: a namespace of files, whatever serves it, and the changes that a recipe makes to it.

Paths are absolute, "/"-separated `str`; bytes that are not UTF-8 are carried as surrogate escapes (PEP 383).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from io import StringIO
from typing import TYPE_CHECKING, Protocol

from imgkit.errors import TreeError
from imgkit.visible import visible_line

if TYPE_CHECKING:
    from collections.abc import Iterator

READ_LIMIT = 8 << 20
"""Bytes of the longest file that is read as a whole: configuration. Anything larger is read in pieces."""

_SHOWN = 1 << 20

_SHADOW = re.compile(r"(?:/.*)?/etc/g?shadow-?")
_HASH = re.compile(rb"^([^:\n]*:)([!*]*)([^:!*\n][^:\n]*)", re.MULTILINE)


class FileType(StrEnum):
    """What a directory entry is."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    DEVICE = "device"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Stat:
    """Metadata of one file: permission bits, owner, size in bytes, modification time in seconds since the epoch."""

    type: FileType
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """One name in a directory, what it is, and where it leads if it is a link ("" otherwise)."""

    name: str
    stat: Stat
    target: str = ""


@dataclass(frozen=True, slots=True)
class Attributes:
    """Permission bits, owner and group of a file or directory.

    `label` is the type that a SELinux label gets, as `ssh_home_t`, where the file has one; "" leaves it as it is.
    """

    mode: int
    uid: int
    gid: int
    label: str = ""


class Tree(Protocol):
    """The verbs that recipes and commands use. All raise `TreeError` or its subclasses.

    `read`, `write`, `exists`, `listdir` and `mkdir` follow symbolic links, always inside the tree. `stat` follows
    unless told otherwise; `readlink`, `symlink` and `remove` never follow the last component.

    The same protocol serves a single file system, where no link is followed at all: a caller that joins file
    systems resolves paths itself, component by component, because a link may lead from one into another.
    """

    def read(self, path: str, /) -> bytes:
        """Contents of a regular file. TreeError for one of more than READ_LIMIT bytes, be they a hole."""
        ...

    def read_chunks(self, path: str, /) -> Iterator[bytes]:
        """Contents of a regular file of any size in pieces of at most 1 MiB."""
        ...

    def write(self, path: str, data: bytes, /) -> None:
        """Replace the contents of a regular file, keeping owner, mode and extended attributes; or create it.

        A new file belongs to its directory's owner, with mode 0644, and takes a sibling's SELinux label.
        """
        ...

    def exists(self, path: str, /) -> bool:
        """Whether the path leads to anything."""
        ...

    def listdir(self, path: str, /) -> list[str]:
        """Sorted names in a directory, without "." and ".."."""
        ...

    def stat(self, path: str, /, *, follow: bool = True) -> Stat:
        """Metadata of what is at the path."""
        ...

    def readlink(self, path: str, /) -> str:
        """Target of a symbolic link, as stored."""
        ...

    def symlink(self, target: str, path: str, /) -> None:
        """Make a symbolic link at `path`."""
        ...

    def mkdir(self, path: str, /) -> None:
        """Make one directory, mode 0755."""
        ...

    def remove(self, path: str, /) -> None:
        """Remove a file, a link, or an empty directory."""
        ...

    def set_attributes(self, path: str, attributes: Attributes, /) -> None:
        """Set mode, owner and label of a file or directory; nothing where the file system has none of them."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """One file of a tree, before and after; None means that it does not exist.

    With `link` set it is a symbolic link, which is made or removed; the bytes are its target. With `directory` set it
    is an empty directory, made or removed, and the bytes are none. `attributes` are those that it gets, None those that
    it has. Contents that are a `secret` are not shown in the diff; nor are the password hashes of any shadow file.
    """

    path: str
    before: bytes | None
    after: bytes | None
    link: bool = False
    directory: bool = False
    attributes: Attributes | None = None
    secret: bool = False

    def diff(self) -> str:
        """Unified diff, or one line where the contents are no text."""
        label = visible_line(self.path.lstrip("/"))
        old, new = self.before or b"", self.after or b""
        if self.directory:
            return f"{'make' if self.after is not None else 'remove'} directory {visible_line(self.path)}\n"
        if self.link:
            verb, target = ("remove ", old) if self.after is None else ("", new)
            return f"{verb}link {visible_line(self.path)} -> {visible_line(target.decode(errors='replace'))}\n"
        if self.secret:
            return f"Files a/{label} and b/{label} differ; contents not shown ({len(new):,} bytes)\n"
        if b"\0" in old + new:
            return f"Binary files a/{label} and b/{label} differ\n"
        if _SHADOW.fullmatch(self.path):
            old, new = _mask_hashes(old, old), _mask_hashes(new, old)
        from difflib import unified_diff  # noqa: PLC0415  only what is shown is compared

        lines = unified_diff(
            list(StringIO(old.decode(errors="replace"), newline="\n")),
            list(StringIO(new.decode(errors="replace"), newline="\n")),
            f"a/{label}" if self.before is not None else "/dev/null",
            f"b/{label}" if self.after is not None else "/dev/null",
        )
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def refuse_large(size: int, path: str) -> None:
    """TreeError for a file of `size` bytes that is too long to be read as a whole."""
    if size > READ_LIMIT:
        raise TreeError(
            f"{size:,} bytes are more than the {READ_LIMIT:,} that a configuration file may have",
            path=path,
            hint=f"`imgkit cat IMAGE {path}` reads a file of any size.",
        )


def read_head(tree: Tree, path: str, length: int) -> bytes:
    """The first `length` bytes of a file, of at most 1 MiB, however long it is."""
    return next(tree.read_chunks(path), b"")[:length]


def replaced(tree: Tree, path: str, data: bytes) -> list[Change]:
    """The change that gives a file these contents, or makes it; none where it has them.

    Of a file of more than READ_LIMIT bytes the change has only the beginning: that much is shown of it, and the rest
    is not kept in memory.
    """
    if not tree.exists(path):
        return [Change(path, None, data)]
    if _holds(tree, path, data):
        return []
    size = tree.stat(path).size
    return [Change(path, tree.read(path) if size <= READ_LIMIT else read_head(tree, path, _SHOWN), data)]


def _holds(tree: Tree, path: str, data: bytes) -> bool:
    """Whether a file consists of these bytes, compared piece by piece."""
    if tree.stat(path).size != len(data):
        return False
    position = 0
    for chunk in tree.read_chunks(path):
        if data[position : position + len(chunk)] != chunk:
            return False
        position += len(chunk)
    return position == len(data)


def list_entries(tree: Tree, path: str) -> list[DirectoryEntry]:
    """The entries of a directory, sorted by name; of anything else, that one entry."""
    if tree.stat(path).type is not FileType.DIRECTORY:
        return [_entry(tree, path, path)]
    return [_entry(tree, name, f"{path.rstrip('/')}/{name}") for name in tree.listdir(path)]


def _entry(tree: Tree, name: str, path: str) -> DirectoryEntry:
    stat = tree.stat(path, follow=False)
    return DirectoryEntry(name, stat, tree.readlink(path) if stat.type is FileType.LINK else "")


def apply_changes(tree: Tree, changes: list[Change]) -> None:
    """Make `changes` in `tree`, creating missing parent directories."""
    for change in changes:
        if change.after is None:
            tree.remove(change.path)
            continue
        _make_parents(tree, change.path)
        if change.directory:
            tree.mkdir(change.path)
        elif change.link:
            tree.symlink(change.after.decode(errors="surrogateescape"), change.path)
        else:
            tree.write(change.path, change.after)
        if change.attributes is not None:
            tree.set_attributes(change.path, change.attributes)


def _make_parents(tree: Tree, path: str) -> None:
    parent = path.rsplit("/", 1)[0]
    if parent and not tree.exists(parent):
        _make_parents(tree, parent)
        tree.mkdir(parent)


def _mask_hashes(text: bytes, others: bytes) -> bytes:
    """A shadow file without its password hashes; one that `others` does not have is called new."""
    kept = {match[3] for match in _HASH.finditer(others)}

    def masked(match: re.Match[bytes]) -> bytes:
        told = b"(hash)" if match[3] in kept else b"(another hash)"
        return match[1] + match[2] + told

    return _HASH.sub(masked, text)


def relabelled(label: bytes, kind: str) -> bytes:
    """A SELinux label (user:role:type:level) with another type; one that has no type is left as it is."""
    parts = label.split(b":", 3)
    return b":".join((*parts[:2], kind.encode(), *parts[3:])) if len(parts) > 3 else label  # noqa: PLR2004
