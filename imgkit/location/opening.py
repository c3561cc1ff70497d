"""Which source serves a location, by the kind of its address. Each kind is imported for those who use it only."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from imgkit.errors import UsageError
from imgkit.remote.object import RetryPolicy
from imgkit.remote.url import Url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.location.source import Source


_RETRY = RetryPolicy()


@contextmanager
def open_source(location: str, *, retry: RetryPolicy = _RETRY) -> Iterator[Source]:
    """Whatever reads a location. Raises UsageError for a scheme that is not known, LocationError for what is missing.

    An address that ends in ".iso" is that of an ISO, of which only what is asked for is fetched. `retry` says how long
    a server may keep silent.
    """
    scheme = _scheme(location)
    match scheme:
        case "http" | "https":
            if urlsplit(location).path.lower().endswith(".iso"):
                from imgkit.location.local import open_iso  # noqa: PLC0415

                with open_iso(Url(location)) as source:
                    yield source
                return
            from imgkit.location.http import open_http  # noqa: PLC0415

            with open_http(location, retry) as source:
                yield source
        case "ftp":
            from imgkit.location.ftp import open_ftp  # noqa: PLC0415

            with open_ftp(location, retry.silence) as source:
                yield source
        case "nfs":
            from imgkit.location.nfs import NfsSource  # noqa: PLC0415

            yield NfsSource(location, retry.silence)
        case "" | "file":
            from imgkit.location.local import open_local  # noqa: PLC0415

            with open_local(unquote(urlsplit(location).path) if scheme else location) as source:
                yield source
        case _:
            raise UsageError(
                f"{scheme}: is not a kind of location that imgkit knows",
                hint="Use http, https, ftp, nfs or file, or a path on this host.",
            )


def _scheme(location: str) -> str:
    """The kind of a location, "" for a path. Raises UsageError for an address that is none."""
    if "://" not in location:
        return ""
    try:
        parts = urlsplit(location)
        complete = bool(parts.hostname or parts.scheme == "file") and (parts.port or 1) > 0
    except ValueError:  # its text may have a password in it
        complete = False
    if not complete or not unquote(location).isprintable() or " " in location:
        raise UsageError("the location is not a valid address", hint="Write it as https://HOST/PATH; spaces as %20.")
    return parts.scheme
