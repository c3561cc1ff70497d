"""Addresses of images: a path of the host, or a URL.

A URL may hold a password, a token in its query, or be signed; none of that is ever shown.
https://www.rfc-editor.org/rfc/rfc3986
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit

from imgkit.errors import UsageError

_URL = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9+.-]*::)*[A-Za-z][A-Za-z0-9+.-]*://"
)  # fsspec chains its file systems with ::
_LINK = re.compile(r"::(?=[A-Za-z0-9][A-Za-z0-9+.-]*(?:::|://))")  # not the :: in a host's IPv6 address


@dataclass(frozen=True, slots=True)
class Url:
    """A URL. `str()` gives it without user, password, query and fragment, for messages; `secret` is all of it."""

    secret: str = field(repr=False)

    @property
    def scheme(self) -> str:
        """`https` and the like, in lower case; the first one of a chain."""
        return re.split("::|://", self.secret, maxsplit=1)[0].lower()

    @property
    def name(self) -> str:
        """The last part of the path: what a file made of it would be called."""
        name = str(self).rstrip("/").rpartition("/")[2]
        return name if self.scheme == "s3" else unquote(name)

    def __str__(self) -> str:
        return shown(self.secret)


Address: TypeAlias = Path | Url
"""Where an image is."""


def parse_address(text: str) -> Address:
    """A path, or a URL if `text` begins like one. `file:` URLs of this host are paths.

    Raises UsageError for what can be neither.
    """
    if not _URL.match(text):
        return _path(text)
    try:
        parts = urlsplit(text)
    except ValueError as error:
        scheme = text.partition("://")[0]  # the rest may hold a password
        raise UsageError(f"{scheme}://…: not a valid URL ({error})", hint="Quote its special characters.") from error
    if parts.scheme.lower() == "file" and parts.netloc in ("", "localhost"):
        return _path(unquote(parts.path))
    return Url(text)


def shown(address: str) -> str:
    """An address for a message: without user, password, query and fragment, where tokens are kept; a path as it is."""
    return "::".join(_shown(part) for part in _LINK.split(address))


def below(address: str, path: str) -> str:
    """The address of a file below another address or a path; a query stays at the end."""
    if "://" not in address:
        return f"{address.rstrip('/')}/{path}"
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{path}", parts.query, ""))


def _path(text: str) -> Path:
    if "\0" in text:
        raise UsageError(f"{text!r}: a file name cannot contain a NUL byte", hint="Name another file.")
    return Path(text)


def _shown(part: str) -> str:
    scheme, _, rest = part.partition("://")
    if scheme == part:
        return part
    if scheme == "s3":  # a key has no query: all of it is the name
        host, slash, path = rest.partition("/")
        path = slash + path
    else:
        parts = urlsplit(part)
        host, path = parts.netloc, parts.path
    return f"{scheme}://{host.rpartition('@')[2]}{path}"
