"""What an install tree is: the family of its installer, its kernel and initial RAM disk, and their checksums."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from imgkit.errors import LocationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ARCHITECTURES = {
    "amd64": "x86_64",
    "x64": "x86_64",
    **dict.fromkeys(("i386", "i486", "i586", "i686", "x86"), "i686"),
    "arm64": "aarch64",
    "ppc64el": "ppc64le",
    **dict.fromkeys(("armhf", "armhfp", "armv7hl"), "armv7l"),
}
_CHECKSUM = re.compile(r"(md5|sha1|sha256|sha512):([0-9a-f]{32,128})")


class NoTreeError(LocationError):
    """The location can be read, but holds no install tree that imgkit knows."""


class TreeFamily(StrEnum):
    """Installers that take the same arguments; derivatives count with what they are made from."""

    DEBIAN = "debian"
    UBUNTU = "ubuntu"
    FEDORA = "fedora"
    RHEL = "rhel"
    SUSE = "suse"
    ARCH = "arch"
    ALPINE = "alpine"


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
    family: TreeFamily
    distribution: str
    version: str
    architecture: str
    kernel: str
    initrd: str
    checksums: Mapping[str, str] = field(default_factory=dict)
    checksums_from: str = ""
    arguments: tuple[str, ...] = ()
    needs_iso: bool = False


@dataclass(frozen=True, slots=True)
class BootFiles:
    """Kernel and initial RAM disk on this host, and their SHA-256.

    `verified` says that both agree with checksums that were at hand.
    """

    kernel: Path
    initrd: Path
    kernel_sha256: str
    initrd_sha256: str
    verified: bool


def architecture_name(word: str) -> str:
    """A machine as `uname -m` names it, from any distribution's word for it."""
    return _ARCHITECTURES.get(word, word)


def checksum(text: str) -> str:
    """A checksum in its one form, "sha256:…" in lower case. Raises LocationError for anything else."""
    lowered = text.strip().lower()
    if _CHECKSUM.fullmatch(lowered) is None:
        raise LocationError(
            f"{text[:80]!r} is not a checksum that imgkit knows",
            hint="Write it as sha256:DIGITS; md5, sha1 and sha512 are known too.",
        )
    return lowered


def inner_path(path: str, *, named_by: str) -> str:
    """A path that a tree's file gives, relative and normal. Raises LocationError where it leads out of the tree."""
    normal = posixpath.normpath(path.strip())
    if normal.startswith(("/", "../")) or normal in ("..", ".") or not normal.isprintable():
        raise LocationError(
            f"{named_by} names {path[:80]!r}, which is not a file inside the tree",
            hint="Give kernel and initial RAM disk yourself: --kernel and --initrd.",
        )
    return normal
