"""A file on a web server, read with range requests (https://www.rfc-editor.org/rfc/rfc9110#name-range-requests).

`web` does the talking. Here is what reading a file in ranges takes: a range that breaks off is asked for again from
where it broke, and every answer has to come from the same file, by its ETag, Last-Modified and length. Servers are
asked with GET only: HEAD is often refused or wrong, and a signed URL is signed for one method.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import requests

from imgkit.errors import StaleImageError, UnclassifiedImageError
from imgkit.remote import web

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.remote.object import RetryPolicy
    from imgkit.remote.url import Url

_PIECE = 64 << 10  # what of a piece has come is lost when the connection breaks
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_PARTIAL, _OK, _EMPTY = 206, 200, 416
_EXPIRED = frozenset({401, 403, 404, 410})
_DOWNLOAD = "Download it with another tool, and use the file."


@dataclass(frozen=True, slots=True)
class _Version:
    """What tells one file under a URL from the next."""

    etag: str | None
    modified: str | None
    size: int | None


class HttpObject:
    """A file on a web server; see RemoteObject. Raises UnclassifiedImageError if it cannot be had."""

    def __init__(self, url: Url, retry_policy: RetryPolicy) -> None:
        self._url = url
        self._policy = retry_policy
        self._session = web.WebSession()
        # A mirror redirector may name another mirror each time: stay with the first one.
        self._address = url.secret
        try:
            self._version, self._has_ranges = self._look()
        except BaseException:
            self._session.close()
            raise

    @property
    def size(self) -> int | None:
        """Length in bytes; None if the server does not say."""
        return self._version.size

    @property
    def has_ranges(self) -> bool:
        """Whether the server answers range requests with ranges."""
        return self._has_ranges

    @property
    def version(self) -> str:
        """The ETag, or what there is instead."""
        found = self._version
        return found.etag or f"{found.size}-{found.modified}"

    def stream(self, start: int, stop: int | None) -> Iterator[bytes]:
        """The bytes [start, stop). A connection that breaks is taken up again where ranges allow it."""
        position, failures, heard = start, 0, time.monotonic()
        while stop is None or position < stop:
            before = position
            try:
                for piece in self._pieces(position, stop):
                    position += len(piece)
                    yield piece
                if stop is None or position == stop:
                    return
                why = "the connection ended early"
            except _BrokenError as error:
                why = str(error)
            if position > before:
                failures, heard = 0, time.monotonic()
            failures += 1
            if not self._has_ranges or self._policy.is_over(failures, heard):
                raise UnclassifiedImageError(
                    f"{self._url}: {why}, at byte {position:,}", hint=f"Try again later. {_DOWNLOAD}"
                )
            self._policy.wait(failures)

    def check_unchanged(self) -> None:
        """Ask for the first byte again, for the sake of what comes with it."""
        if self._has_ranges:
            for _ in self.stream(0, 1):
                pass

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _look(self) -> tuple[_Version, bool]:
        """Which file is there, and whether the server gives ranges of it. Raises as `stream` does."""
        failures, began = 0, time.monotonic()
        while True:
            try:
                with self._answer(0, 1) as response:
                    self._address = response.url
                    return _version_of(response), response.status_code != _OK
            except _BrokenError as error:
                failures += 1
                if self._policy.is_over(failures, began):
                    raise UnclassifiedImageError(
                        f"{self._url}: {error}", hint=f"Try again later. {_DOWNLOAD}"
                    ) from error
                self._policy.wait(failures)

    def _pieces(self, start: int, stop: int | None) -> Iterator[bytes]:
        with self._answer(start, stop) as response:
            if _version_of(response) != self._version:
                raise StaleImageError(
                    f"{self._url}: the file was replaced on the server since it was opened",
                    hint="Nothing was written. Run the command again.",
                )
            if _start_of(response) != start:
                self._refuse("the server sent a different range than requested")
            left = None if stop is None else stop - start
            for piece in _received(response):
                if left is not None and len(piece) > left:
                    if response.status_code == _PARTIAL:
                        self._refuse("the server sent more than was requested")
                    yield piece[:left]  # one that sends all of the file after all
                    return
                left = None if left is None else left - len(piece)
                yield piece

    @contextmanager
    def _answer(self, start: int, stop: int | None) -> Iterator[requests.Response]:
        """The server's answer to a request for [start, stop): a range, or all of the file where it has no ranges."""
        wanted = f"bytes={start}-{'' if stop is None else stop - 1}"
        response = self._get(self._address, wanted)
        if response.status_code in _EXPIRED and self._address != self._url.secret:
            response.close()  # where a redirect led to may be signed, and its time over
            response = self._get(self._url.secret, wanted)
            self._address = response.url
        with response:
            status = response.status_code
            if status == _EMPTY:
                self._refuse("the file is empty, or shorter than the server said")
            if status not in (_OK, _PARTIAL):
                self._fail(web.refusal(response))
            try:
                web.check_encoding(response)
            except web.WebError as error:
                self._fail(error)
            if status == _PARTIAL and not _CONTENT_RANGE.match(response.headers.get("Content-Range", "")):
                self._refuse("the server sent a part of the file without saying which")
            yield response

    def _get(self, address: str, wanted: str) -> requests.Response:
        try:
            return web.ask(self._session, address, self._policy, headers={"Range": wanted})
        except web.WebError as error:
            self._fail(error)

    def _fail(self, error: web.WebError) -> NoReturn:
        if error.passing:
            raise _BrokenError(error.why) from error
        raise UnclassifiedImageError(f"{self._url}: {error}", hint=error.remedy or _DOWNLOAD) from error

    def _refuse(self, why: str) -> NoReturn:
        raise UnclassifiedImageError(f"{self._url}: {why}", hint=_DOWNLOAD)


class _BrokenError(Exception):
    """Something went wrong that may go right the next time."""


def _version_of(response: requests.Response) -> _Version:
    headers = response.headers
    found = _CONTENT_RANGE.match(headers.get("Content-Range", ""))
    if found:
        size: int | None = int(found[3])
    else:
        length = headers.get("Content-Length", "")
        size = int(length) if length.isascii() and length.isdigit() else None
    return _Version(headers.get("ETag"), headers.get("Last-Modified"), size)


def _start_of(response: requests.Response) -> int:
    """The first byte that an answer holds: servers may answer a range with all of the file, at any time."""
    found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    return int(found[1]) if found and response.status_code == _PARTIAL else 0


def _received(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_content(_PIECE)
    except requests.RequestException as error:
        raise _BrokenError("the connection broke or timed out") from error
