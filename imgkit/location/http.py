"""Locations over HTTP and HTTPS, by the standard library.

The protocol: https://www.rfc-editor.org/rfc/rfc9110

Proxies and certificates are those of the environment (`http_proxy`, `no_proxy`, `SSL_CERT_FILE`), as everywhere.
"""

from __future__ import annotations

import base64
import re
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from imgkit import __version__
from imgkit.errors import LocationError
from imgkit.location.source import CHUNK, InterruptedTransferError, Stream, below, missing, shown, too_large

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from email.message import Message
    from http.client import HTTPMessage
    from typing import IO

# Stores of objects say "forbidden" for what they do not have.
_ABSENT = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.FORBIDDEN)
_NO_HEAD = (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
_TOTAL = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")
_IS_WRONG_RANGE = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


class HttpSource:
    """The files below an address."""

    def __init__(self, location: str, timeout: float) -> None:
        parts = urlsplit(location)
        user, at, host = parts.netloc.rpartition("@")
        self._base = urlunsplit((parts.scheme, host, quote(parts.path, safe="/%:+~,=!$&'()*;@"), parts.query, ""))
        self._credentials = base64.b64encode(unquote(user).encode()).decode() if at else ""
        self._timeout = timeout
        self._opener = build_opener(_Redirects)

    def read(self, path: str, limit: int) -> bytes | None:
        """As `Source.read`."""
        try:
            response = self._ask("GET", path)
        except HTTPError as error:
            if error.code in _ABSENT:
                return None
            raise self._refused(path, error) from error
        data = bytearray()
        with response:
            while chunk := self._next(path, response):
                data += chunk
                if len(data) > limit:
                    raise too_large(below(self._base, path), limit)
            told = _number(response.headers["Content-Length"])
        if told is not None and len(data) < told:
            raise self._broken(path, f"{len(data):,} of {told:,} bytes came")
        return bytes(data)

    def size(self, path: str) -> int | None:
        """As `Source.size`."""
        try:
            response = self._ask("HEAD", path)
        except HTTPError as error:
            if error.code in _ABSENT:
                return None
            if error.code not in _NO_HEAD:
                raise self._refused(path, error) from error
            return self._size_by_get(path)
        with response:
            return _number(response.headers["Content-Length"]) or 0

    def _size_by_get(self, path: str) -> int | None:
        try:
            with self._ask("GET", path) as response:
                return _number(response.headers["Content-Length"]) or 0
        except HTTPError as error:
            if error.code in _ABSENT:
                return None
            raise self._refused(path, error) from error

    @contextmanager
    def stream(self, path: str, offset: int, version: str) -> Iterator[Stream]:
        """As `Source.stream`."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and version:
            headers["If-Range"] = version
        try:
            response = self._ask("GET", path, headers)
        except HTTPError as error:
            if error.code == _IS_WRONG_RANGE and offset:
                with self.stream(path, 0, "") as whole:
                    yield whole
                return
            if error.code in _ABSENT:
                raise missing(below(self._base, path)) from error
            raise self._refused(path, error) from error
        with response:
            start, size = self._extent(path, response)
            found = _validator(response.headers)
            yield Stream(start, size, found, lambda: self._next(path, response))

    def _ask(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> HTTPResponse:
        """The answer to a request; HTTPError is the caller's, all other trouble becomes a LocationError."""
        request = Request(below(self._base, quote(path)), method=method)  # noqa: S310 - open_source chose by scheme
        request.add_header("User-Agent", f"imgkit/{__version__}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        if self._credentials:
            request.add_unredirected_header("Authorization", f"Basic {self._credentials}")
        try:
            response = self._opener.open(request, timeout=self._timeout)
        except HTTPError as error:
            error.close()
            raise
        except (URLError, OSError, HTTPException, ValueError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise self._broken(path, _words(reason)) from error
        assert isinstance(response, HTTPResponse)
        return response

    def _next(self, path: str, response: HTTPResponse) -> bytes:
        try:
            return response.read1(CHUNK)
        except (OSError, HTTPException, ValueError) as error:
            raise self._broken(path, _words(error)) from error

    def _extent(self, path: str, response: HTTPResponse) -> tuple[int, int | None]:
        """Where the answer's bytes begin in the file, and the file's size if it is told."""
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            return 0, _number(response.headers["Content-Length"])
        match = _TOTAL.fullmatch(response.headers["Content-Range"] or "")
        if match is None:
            raise self._broken(path, "the server sends a part of it and does not say which")
        return int(match[1]), _number(match[2])

    def _broken(self, path: str, why: str) -> InterruptedTransferError:
        return InterruptedTransferError(
            f"{shown(below(self._base, path))}: cannot be read ({why})",
            hint="See that the address is right and reachable from here; a proxy is taken from http_proxy.",
        )

    def _refused(self, path: str, error: HTTPError) -> LocationError:
        kind, hint = LocationError, "See whether the address is right."
        if error.code == HTTPStatus.UNAUTHORIZED:
            hint = "Give user and password in the address: https://USER:PASSWORD@HOST/…"
        elif error.code == HTTPStatus.TOO_MANY_REQUESTS or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            kind, hint = InterruptedTransferError, "Try again later, or another mirror."
        reason = _words(error.reason)
        return kind(f"{shown(below(self._base, path))}: the server answers {error.code} ({reason})", hint=hint)


class _Redirects(HTTPRedirectHandler):
    """Follows redirects to HTTP and HTTPS, and never from the safe one to the other."""

    max_redirections = 10

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme == "http"):
            fp.close()
            raise LocationError(
                f"{shown(req.full_url)}: leads to {shown(newurl)}, which is less safe",
                hint="Give that address yourself, if you trust it.",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _validator(headers: Message) -> str:
    """What names the contents in If-Range: a strong ETag, or else the date."""
    etag = headers["ETag"] or ""
    return etag if etag.startswith('"') else headers["Last-Modified"] or ""


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch("[0-9]{1,18}", text) else None


def _words(reason: object) -> str:
    """The reason in one line; urllib's own for loops of redirects has several."""
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return " ".join(str(reason).split())[:200] or type(reason).__name__
