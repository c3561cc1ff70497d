"""What reads a location, whatever serves it: a URL, a directory or an ISO. Paths below it are relative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit, urlunsplit

from imgkit.errors import LocationError
from imgkit.installers.trees import TreeSource
from imgkit.remote.url import shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

CHUNK = 1 << 20

EXAMPLE = (
    "An install tree is, for example, https://deb.debian.org/debian/dists/stable/main/installer-amd64/, the folder "
    "with .treeinfo of a Fedora mirror, a directory with the files of an installer's CD, or its ISO."
)


class InterruptedTransferError(LocationError):
    """The connection broke, or the server is busy: the same again may help."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A file on its way. Its bytes begin at `offset`, which is 0 where the source cannot go on in the middle.

    `size` is that of the whole file, None where nobody tells; `version` is the server's name for these contents, ""
    without one. `read` gives the next bytes, none at the end; it raises InterruptedTransferError.
    """

    offset: int
    size: int | None
    version: str
    read: Callable[[], bytes]


class Source(TreeSource, Protocol):
    """A location that is open. All raise LocationError where the location cannot be reached."""

    def stream(self, path: str, offset: int, version: str, /) -> AbstractContextManager[Stream]:
        """A file from `offset` on, if it is still `version` ("" is any). Raises LocationError where there is none."""
        ...


def parent_and_name(location: str) -> tuple[str, str]:
    """The location of the folder that a file is in, and the file's name there."""
    if "://" not in location:
        folder, slash, name = location.rpartition("/")
        return (folder or ("/" if slash else "."), name)
    parts = urlsplit(location)
    folder, _, name = parts.path.rpartition("/")
    return urlunsplit((parts.scheme, parts.netloc, folder + "/", parts.query, "")), name


def too_large(address: str, limit: int) -> LocationError:
    """What a file is that goes on beyond any use."""
    return LocationError(
        f"{shown(address)}: is larger than {limit:,} bytes, too large for such a file",
        hint="Check the address.",
    )


def missing(address: str) -> LocationError:
    """What a file is that should be there."""
    return LocationError(f"{shown(address)}: there is no such file", hint=EXAMPLE)
