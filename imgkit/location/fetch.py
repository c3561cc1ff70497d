"""Kernel and initial RAM disk of an install tree, or any two files, brought to this host and checked.

The checksums are those of the tree itself: they tell damage on the way, and over HTTPS who sent it. Signatures of
distributions are not looked at.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.errors import LocationError
from imgkit.installers.trees import inner_path
from imgkit.location.download import LIMITS, Wanted, download
from imgkit.location.opening import open_source
from imgkit.location.source import missing, parent_and_name
from imgkit.remote.url import below
from imgkit.storage.copy import no_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from imgkit.installers.trees import InstallTree
    from imgkit.location.download import Limits
    from imgkit.storage.copy import Progress

_CHECKSUM = re.compile(r"(md5|sha1|sha256|sha512):([0-9a-f]{32,128})")


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


def default_cache() -> Path:
    """The folder `imgkit/boot` of the user's cache.

    Where that is: https://specifications.freedesktop.org/basedir-spec/latest/
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imgkit" / "boot"


def fetch(
    tree: InstallTree,
    cache: Path,
    *,
    insecure: bool = False,
    progress: Progress = no_progress,
    limits: Limits = LIMITS,
) -> BootFiles:
    """Bring a tree's kernel and initial RAM disk into the folder `cache`, where files are named by their contents.

    `progress` is called with the bytes of both that are there, and in all, 0 where the server does not tell.

    Raises ChecksumError where a file is not the one that the tree's checksum stands for, unless `insecure`;
    LocationError where it cannot be had; OutputError where the cache cannot be written.
    """
    return fetch_inner(
        tree.location,
        tree.kernel,
        tree.initrd,
        cache,
        checksums=tree.checksums,
        insecure=insecure,
        progress=progress,
        limits=limits,
    )


def would_fetch(kernel: str, initrd: str, cache: Path, checksums: Mapping[str, str]) -> BootFiles:
    """Where the two files would be, with nothing fetched; their names are those of their contents as far as known."""

    def place(address: str) -> Path:
        if "://" not in address and Path(address).is_file():
            return Path(address).absolute()
        return cache / (checksums.get(address, "").replace(":", "-") or parent_and_name(address)[1])

    return BootFiles(place(kernel), place(initrd), "", "", verified=False)


def fetch_inner(
    location: str,
    kernel: str,
    initrd: str,
    cache: Path,
    *,
    checksums: Mapping[str, str] | None = None,
    insecure: bool = False,
    progress: Progress = no_progress,
    limits: Limits = LIMITS,
) -> BootFiles:
    """The same for two paths below a location, whether it is an install tree or not; `checksums` are by path."""
    known = checksums or {}
    with open_source(location, retry=limits.retry) as source:
        both = [
            Wanted(source, path, below(location, path), _known(known.get(path)))
            for path in (inner_path(kernel, named_by="--kernel"), inner_path(initrd, named_by="--initrd"))
        ]
        if checksums is None:  # nobody has looked yet; a cache is not made for what is not there
            absent = next((wanted for wanted in both if source.size(wanted.path) is None), None)
            if absent is not None:
                raise missing(absent.address)
        return _fetch(both, cache, insecure=insecure, progress=progress, limits=limits)


def fetch_files(
    kernel: str,
    initrd: str,
    cache: Path,
    *,
    kernel_checksum: str | None = None,
    initrd_checksum: str | None = None,
    insecure: bool = False,
    progress: Progress = no_progress,
    limits: Limits = LIMITS,
) -> BootFiles:
    """The same for a kernel and an initial RAM disk at addresses or paths of their own.

    Checksums are written "sha256:DIGITS"; without them the files are taken as they come, and `verified` is False.
    """
    with ExitStack() as stack:
        both = []
        for address, known in ((kernel, kernel_checksum), (initrd, initrd_checksum)):
            folder, name = parent_and_name(address)
            source = stack.enter_context(open_source(folder, retry=limits.retry))
            both.append(Wanted(source, name, address, _known(known)))
        return _fetch(both, cache, insecure=insecure, progress=progress, limits=limits)


def _known(written: str | None) -> str:
    return checksum(written) if written else ""


def _fetch(both: Sequence[Wanted], cache: Path, *, insecure: bool, progress: Progress, limits: Limits) -> BootFiles:
    sizes = [wanted.source.size(wanted.path) or 0 for wanted in both] if progress is not no_progress else [0, 0]
    total = sum(sizes) if all(sizes) else 0
    kernel = download(both[0], cache, insecure=insecure, limits=limits, progress=_from(progress, 0, total))
    before = kernel.path.stat().st_size
    initrd = download(both[1], cache, insecure=insecure, limits=limits, progress=_from(progress, before, total))
    return BootFiles(kernel.path, initrd.path, kernel.sha256, initrd.sha256, kernel.verified and initrd.verified)


def _from(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    return lambda done: progress(before + done, total)


def checksum(text: str) -> str:
    """A checksum in its one form, "sha256:…" in lower case. Raises LocationError for anything else."""
    lowered = text.strip().lower()
    if _CHECKSUM.fullmatch(lowered) is None:
        raise LocationError(
            f"{text[:80]!r} is not a checksum that imgkit knows",
            hint="Write it as sha256:DIGITS; md5, sha1 and sha512 are known too.",
        )
    return lowered
