"""Locations over FTP, by the standard library, in passive mode.

The protocol: https://www.rfc-editor.org/rfc/rfc959

REST, with which a transfer goes on in the middle, and SIZE: https://www.rfc-editor.org/rfc/rfc3659
"""

from __future__ import annotations

import ftplib
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from imgkit.errors import LocationError
from imgkit.location.source import InterruptedTransferError, Stream, missing, too_large
from imgkit.remote.url import below, shown

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

_CHUNK = 1 << 18
_ABSENT = "550"
_LOGIN = "530"


@contextmanager
def open_ftp(location: str, timeout: float) -> Iterator[FtpSource]:
    """The files below an address. Raises LocationError where the server cannot be reached or takes no login."""
    source = FtpSource(location, timeout)
    try:
        yield source
    finally:
        source.close()


class FtpSource:
    """The files below an address. One connection serves all questions; a transfer that breaks costs it."""

    def __init__(self, location: str, timeout: float) -> None:
        self._location = location
        self._timeout = timeout
        self._folder = unquote(urlsplit(location).path).rstrip("/")
        self._session: ftplib.FTP | None = None

    def read(self, path: str, limit: int) -> bytes | None:
        """As `Source.read`."""
        if self.size(path) is None:
            return None
        data = bytearray()
        with self.stream(path, 0, "") as stream:
            while chunk := stream.read():
                data += chunk
                if len(data) > limit:
                    raise too_large(below(self._location, path), limit)
        if stream.size is not None and len(data) < stream.size:
            raise self._broken(path, f"{len(data):,} of {stream.size:,} bytes came")
        return bytes(data)

    def size(self, path: str) -> int | None:
        """As `Source.size`."""
        try:
            return self._connected(path).size(f"{self._folder}/{path}") or 0
        except ftplib.error_perm as error:
            if str(error).startswith(_ABSENT):
                return None
            raise self._refused(path, error) from error
        except (ftplib.Error, OSError, EOFError, ValueError) as error:
            raise self._broken(path, _words(error)) from error

    @contextmanager
    def stream(self, path: str, offset: int, _version: str) -> Iterator[Stream]:
        """As `Source.stream`."""
        size = self.size(path)
        if size is None:
            raise missing(below(self._location, path))
        try:
            data = self._connected(path).transfercmd(f"RETR {self._folder}/{path}", rest=offset or None)
        except ftplib.error_perm as error:
            raise self._refused(path, error) from error
        except (ftplib.Error, OSError, EOFError, ValueError) as error:
            raise self._broken(path, _words(error)) from error
        try:
            with data:
                yield Stream(offset, size or None, "", lambda: self._next(path, data))
        finally:
            self.close()  # what the server says about the end of a transfer depends on how it ended

    def close(self) -> None:
        """End the session."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _connected(self, path: str) -> ftplib.FTP:
        """The session, begun with the first question."""
        if self._session is None:
            parts = urlsplit(self._location)
            session = ftplib.FTP(timeout=self._timeout)  # noqa: S321 - what the user asked for
            try:
                session.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
                session.login(unquote(parts.username or ""), unquote(parts.password or ""))
                session.voidcmd("TYPE I")
            except BaseException as error:
                session.close()
                if isinstance(error, ftplib.error_perm):
                    raise self._refused(path, error) from error
                raise
            self._session = session
        return self._session

    def _next(self, path: str, data: socket.socket) -> bytes:
        try:
            return data.recv(_CHUNK)
        except OSError as error:
            raise self._broken(path, _words(error)) from error

    def _refused(self, path: str, error: ftplib.Error) -> LocationError:
        hint = "Check the address."
        if str(error).startswith(_LOGIN):
            hint = "Give user and password in the address: ftp://USER:PASSWORD@HOST/…"
        return LocationError(f"{shown(below(self._location, path))}: the server answers {_words(error)}", hint=hint)

    def _broken(self, path: str, why: str) -> InterruptedTransferError:
        self.close()
        return InterruptedTransferError(
            f"{shown(below(self._location, path))}: cannot be read ({why})",
            hint="Check that the address is right and can be reached from here.",
        )


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:200] or "the server ended the connection"
