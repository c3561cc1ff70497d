"""Locations over HTTP and HTTPS; `imgkit.remote.web` does the talking."""

from __future__ import annotations

import re
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

from urllib3.exceptions import HTTPError as TransportError
from urllib3.exceptions import ReadTimeoutError

from imgkit.errors import LocationError
from imgkit.location.source import CHUNK, InterruptedTransferError, Stream, missing, too_large
from imgkit.remote import web
from imgkit.remote.url import below, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import requests

    from imgkit.remote.object import RetryPolicy

# Stores of objects say "forbidden" for what they do not have.
_ABSENT = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.FORBIDDEN)
_NO_HEAD = (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
_TOTAL = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")
_IS_WRONG_RANGE = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


@contextmanager
def open_http(location: str, retry: RetryPolicy) -> Iterator[HttpSource]:
    """The files below an address; connections are kept as long as the block."""
    with web.WebSession() as session:
        yield HttpSource(location, session, retry)


class HttpSource:
    """The files below an address."""

    def __init__(self, location: str, session: web.WebSession, retry: RetryPolicy) -> None:
        address, self._user = web.split_user(location)
        parts = urlsplit(address)
        self._base = urlunsplit(parts._replace(path=quote(parts.path, safe="/%:+~,=!$&'()*;@"), fragment=""))
        self._session = session
        self._retry = retry

    def read(self, path: str, limit: int) -> bytes | None:
        """As `Source.read`."""
        with self._ask("GET", path) as response:
            if response.status_code in _ABSENT:
                return None
            self._check(path, response)
            data = bytearray()
            for chunk in self._chunks(path, response):
                data += chunk
                if len(data) > limit:
                    raise too_large(below(self._base, path), limit)
        return bytes(data)

    def size(self, path: str) -> int | None:
        """As `Source.size`."""
        for method in ("HEAD", "GET"):
            with self._ask(method, path) as response:
                if response.status_code in _ABSENT:
                    return None
                if method == "HEAD" and response.status_code in _NO_HEAD:
                    continue
                self._check(path, response)
                return _number(response.headers.get("Content-Length")) or 0
        return None

    @contextmanager
    def stream(self, path: str, offset: int, version: str) -> Iterator[Stream]:
        """As `Source.stream`."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and version:
            headers["If-Range"] = version
        with self._ask("GET", path, headers) as response:
            if response.status_code == _IS_WRONG_RANGE and offset:
                with self.stream(path, 0, "") as whole:
                    yield whole
                return
            if response.status_code in _ABSENT:
                raise missing(below(self._base, path))
            self._check(path, response)
            start, size = self._extent(path, response)
            chunks = self._chunks(path, response)
            yield Stream(start, size, _validator(response.headers), lambda: next(chunks, b""))

    def _ask(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        address = below(self._base, quote(path))
        try:
            return web.ask(self._session, address, self._retry, method=method, headers=headers, user=self._user)
        except web.WebError as error:
            raise self._failed(path, error) from error

    def _check(self, path: str, response: requests.Response) -> None:
        """Raise LocationError for an answer that is not the file."""
        try:
            if not response.ok:
                raise web.refusal(response)
            web.check_encoding(response)
        except web.WebError as error:
            raise self._failed(path, error) from error

    def _chunks(self, path: str, response: requests.Response) -> Iterator[bytes]:
        """The bytes of an answer, as they come. Raises LocationError where it breaks off."""
        came = 0
        try:
            while chunk := response.raw.read1(CHUNK):  # what is there: a trickle has to be seen as one
                came += len(chunk)
                yield chunk
        except ReadTimeoutError as error:
            raise self._broken(path, "the server timed out") from error
        except (TransportError, OSError) as error:
            told = _number(response.headers.get("Content-Length"))
            why = "the connection broke" if told is None else f"{came:,} of {told:,} bytes came"
            raise self._broken(path, why) from error

    def _extent(self, path: str, response: requests.Response) -> tuple[int, int | None]:
        """Where the answer's bytes begin in the file, and the file's size if it is told."""
        if response.status_code != HTTPStatus.PARTIAL_CONTENT:
            return 0, _number(response.headers.get("Content-Length"))
        match = _TOTAL.fullmatch(response.headers.get("Content-Range", ""))
        if match is None:
            raise self._broken(path, "the server sent a part of the file without saying which")
        return int(match[1]), _number(match[2])

    def _broken(self, path: str, why: str) -> LocationError:
        return self._failed(path, web.WebError(why, passing=True))

    def _failed(self, path: str, error: web.WebError) -> LocationError:
        kind = InterruptedTransferError if error.passing else LocationError
        hint = (
            error.remedy
            or "Check that the address is right and can be reached from here; a proxy is taken from http_proxy."
        )
        return kind(f"{shown(below(self._base, path))}: {error}", hint=hint)


def _validator(headers: Mapping[str, str]) -> str:
    """What names the contents in If-Range: a strong ETag, or else the date."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch("[0-9]{1,18}", text) else None
