"""Kernel and initial RAM disk of an install tree, or any two files, brought to this host and checked.

The checksums are those of the tree itself: they tell damage on the way, and over HTTPS who sent it. Signatures of
distributions are not looked at.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.location.download import LIMITS, Wanted, download
from imgkit.location.model import BootFiles, checksum
from imgkit.location.opening import open_source
from imgkit.location.source import below, parent_and_name
from imgkit.storage.copy import no_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgkit.location.download import Limits
    from imgkit.location.model import InstallTree
    from imgkit.storage.copy import Progress


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
    with open_source(tree.location, timeout=limits.timeout) as source:
        both = [
            Wanted(source, path, below(tree.location, path), _known(tree.checksums.get(path)))
            for path in (tree.kernel, tree.initrd)
        ]
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
            source = stack.enter_context(open_source(folder, timeout=limits.timeout))
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
