"""Where the images of a plan are, and where results go: paths of this host, and URLs.

Paths are resolved, so that one file has one name; a URL is taken as it is written.
"""

from __future__ import annotations

import glob
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from imgkit.errors import UsageError
from imgkit.remote import Url, parse_address
from imgkit.storage.host import real_path

if TYPE_CHECKING:
    from imgkit.remote import Address


def resolved(name: str, folder: Path) -> Address:
    """The place that a plan in `folder` calls `name`. Raises UnclassifiedImageError for a loop of links."""
    address = parse_address(name)
    return address if isinstance(address, Url) else real_path(folder / address)


def find(pattern: str, folder: Path) -> list[Address]:
    """All that a pattern matches. A name of a file that is there stands for itself, and so does one without wildcards.

    Raises UsageError if nothing matches, and what a store raises that cannot list what it has.
    """
    address = parse_address(pattern)
    if isinstance(address, Url):
        elsewhere = _find_elsewhere(address)
        if not elsewhere:
            raise UsageError(f"{address}: matches no file", hint="Check the pattern; `**` matches directories too.")
        return elsewhere
    if glob.has_magic(str(address)) and not (folder / address).exists():
        names = sorted(glob.glob(str(address), root_dir=folder, recursive=True))  # noqa: PTH207  may be absolute
    else:
        names = [str(address)]
    if not names:
        raise UsageError(f"{pattern}: matches no file", hint=f"Patterns start at {folder}.")
    # A ledger's folder, of this batch or not, may lie among the images.
    return [real_path(folder / name) for name in names if not name.endswith(".batch")]


def name_parts(address: Address) -> tuple[str, str, str]:
    """Last part of the address, that without its suffix, and the suffix."""
    name = PurePosixPath(address.name)
    return name.name, name.stem, name.suffix


def identity(address: Address) -> object:
    """What is the same for all names of a file: device and inode; the name, where there is no file or it is a URL."""
    if isinstance(address, Url):
        return str(address)
    try:
        status = address.stat()
    except OSError:
        return address
    return status.st_dev, status.st_ino


def _find_elsewhere(url: Url) -> list[Address]:
    after_scheme = url.secret.partition("://")[2]
    if url.scheme in ("http", "https"):
        if "*" in str(url):
            raise UsageError(
                f"{url}: {url.scheme} has no patterns", hint="Name each image; a list file can hold many URLs."
            )
        return [url]
    if not glob.has_magic(after_scheme):
        return [url]
    from imgkit.remote.place import open_place  # noqa: PLC0415 - few plans have images elsewhere

    return list(open_place(url).matching())
