"""What an install tree is, and what the detection of every family asks of the place where one may be.

`sha256sum` and `md5sum` write "DIGITS  ./path"; SUSE's CHECKSUMS is the same, and its older file `content` has lines
"HASH SHA256 DIGITS  path".
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from imgkit.errors import LocationError
from imgkit.remote.url import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from imgkit.installers import Family

_MAX_TEXT = 8 << 20
# No two repetitions of the same characters meet in these: a list may be made to take for ever.
_SUM = re.compile(r"^([0-9a-f]{32,128}) [ *](?:\./)?(.+)$", re.MULTILINE)
_HASH = re.compile(r"^HASH[ \t]+(MD5|SHA1|SHA256|SHA512)[ \t]+([0-9a-f]{32,128})[ \t]+(\S+)", re.MULTILINE)
_BY_DIGITS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
_ARCHITECTURES = {
    "amd64": "x86_64",
    "x64": "x86_64",
    **dict.fromkeys(("i386", "i486", "i586", "i686", "x86"), "i686"),
    "arm64": "aarch64",
    "ppc64el": "ppc64le",
    **dict.fromkeys(("armhf", "armhfp", "armv7hl"), "armv7l"),
}


class NoTreeError(LocationError):
    """The location can be read, but holds no install tree that imgkit knows."""


class TreeSource(Protocol):
    """The files of a place where an install tree may be. All raise LocationError where it cannot be reached."""

    def read(self, path: str, limit: int, /) -> bytes | None:
        """A small file; None where there is none. Raises LocationError where it is larger than `limit` bytes."""
        ...

    def size(self, path: str, /) -> int | None:
        """Bytes of a file, 0 where the server does not tell; None where there is no such file."""
        ...


@dataclass(frozen=True, slots=True)
class InstallTree:
    """An install tree.

    `distribution` and `version` are as the tree gives them, "" where it does not; `architecture` is as `uname -m` has
    it. `kernel` and `initrd` are paths below the location. `checksums` are those that the tree gives for these two
    ("sha256:…", by path), and `checksums_from` is the file that gives them, "" for none. `arguments` are what the
    kernel has to hear to find the rest of its system, where nothing but this tree knows them; `needs_iso` says that
    this rest is in an ISO, as that of Ubuntu's live installer, which a directory or an address cannot replace.
    """

    location: str
    family: Family
    distribution: str
    version: str
    architecture: str
    kernel: str
    initrd: str
    checksums: Mapping[str, str] = field(default_factory=dict)
    checksums_from: str = ""
    arguments: tuple[str, ...] = ()
    needs_iso: bool = False


class Evidence(IntEnum):
    """What a tree says of itself, from what tells most to what takes most requests of a server to find."""

    TREEINFO = 1
    PRODUCTS = 2
    DISK_INFO = 3
    DISCINFO = 4
    MANIFEST = 5


@dataclass(frozen=True, slots=True)
class Finder:
    """Looks for a tree by one kind of evidence: in these files, at this location, for a machine, None for any.

    None is no such tree. LocationError is raised for one that does not hold what it should, NoTreeError for one that
    has no kernel, or none for that machine.
    """

    by: Evidence
    find: Callable[[TreeSource, str, str | None], InstallTree | None]


class Clarity(IntEnum):
    """How much places alone tell: the name of the folder, those of kernel and initial RAM disk, or next to nothing."""

    FOLDER = 1
    NAMES = 2
    LITTLE = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a family keeps a kernel and an initial RAM disk in a folder without a description, and for which machine.

    `arguments` are what this kernel has to hear to find the rest of its system; `more` are those that only other files
    of the folder tell; `needs_iso` as for `InstallTree`.
    """

    family: Family
    name: str
    machine: str
    kernel: str
    initrd: str
    arguments: tuple[str, ...] = ()
    needs_iso: bool = False
    clarity: Clarity = Clarity.NAMES
    more: Callable[[TreeSource], tuple[str, ...]] | None = None


def architecture_name(word: str) -> str:
    """A machine as `uname -m` names it, from any distribution's word for it."""
    return _ARCHITECTURES.get(word, word)


def address(tree: InstallTree | None) -> str:
    """The tree's address, which the installer needs too; "" where it has none, or one with a password or a token.

    A kernel's command line is open to all: those are for `extra`, if somebody wants that.
    """
    if tree is None or "://" not in tree.location or tree.location.startswith("file:"):
        return ""
    parts = urlsplit(tree.location)
    secret = "@" in parts.netloc or (parts.query and parts.scheme != "nfs")
    return "" if secret else parts._replace(query="").geturl()


def text(source: TreeSource, path: str) -> str | None:
    """A text file of the tree; None where there is none, or a server's page for people in its place."""
    data = source.read(path, _MAX_TEXT)
    if data is None or is_web_page(data):
        return None
    return data.decode(errors="replace")


def is_web_page(data: bytes) -> bool:
    """Whether a file begins as HTML does, which servers send with status 200 for what is not there."""
    return data[:512].lstrip().lower().startswith((b"<!doctype html", b"<html", b"<?xml", b"<head"))


def first_pair(source: TreeSource, location: str, pairs: Sequence[tuple[str, str]]) -> tuple[str, str]:
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
    source: TreeSource, wanted: Sequence[str], lists: Sequence[tuple[str, Callable[[str], dict[str, str]]]]
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


def sums(text: str, *, folder: str = "") -> dict[str, str]:
    """Checksums ("sha256:…") by path below the tree; `folder`, ending in "/", is where the list itself is."""
    found = _SUM.findall(text)
    return {
        folder + path.rstrip(): f"{_BY_DIGITS[len(digits)]}:{digits}"
        for digits, path in found
        if len(digits) in _BY_DIGITS
    }


def content_hashes(text: str) -> dict[str, str]:
    """Checksums of SUSE's `content`, by path."""
    return {path: f"{algorithm.lower()}:{digits}" for algorithm, digits, path in _HASH.findall(text)}


def inner_path(path: str, *, named_by: str) -> str:
    """A path that a tree's file gives, relative and normal. Raises LocationError where it leads out of the tree."""
    normal = posixpath.normpath(path.strip())
    if normal.startswith(("/", "../")) or normal in ("..", ".") or not normal.isprintable():
        raise LocationError(
            f"{named_by} names {path[:80]!r}, which is not a file inside the tree",
            hint="Give kernel and initial RAM disk yourself: --kernel and --initrd.",
        )
    return normal
