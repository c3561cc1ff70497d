"""A web server on loopback that serves one file with ranges, and misbehaves as it is told to."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Manners:
    """How the server behaves. The numbers of `sent` are the bytes of each answer's body, in order."""

    file: Path
    ranges: bool = True
    ranges_until: int | None = None  # number of the request from which on it gives none
    etag: str = '"first"'
    length: bool = True
    breaks_after: int | None = None  # bytes of each answer
    claims: int | None = None  # the length that it gives instead of the right one
    redirects: int = 0
    leads_to: str = ""  # a redirect to somewhere else
    fails: dict[int, int] = field(default_factory=dict)  # number of the request: its status
    password: bool = False
    silent: bool = False
    endless: bool = False
    changes_at: int | None = None  # number of the request from which on the file is another one
    shifted: int = 0  # ranges begin so much later than asked
    requests: list[str] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        manners = self.server.manners
        number = len(manners.requests)
        manners.requests.append(self.headers.get("Range", ""))
        manners.sent.append(0)
        if manners.silent:
            time.sleep(3)
            self.close_connection = True
        elif number in manners.fails:
            self._brief(manners.fails[number])
        elif manners.password and self.headers.get("Authorization") != "Basic YW5uZTpzZWNyZXQ=":
            self._brief(401)
        elif (hops := re.match(r"/hop(\d+)/", self.path)) and int(hops[1]):
            self._brief(302, Location=f"/hop{int(hops[1]) - 1}/image.iso?token=hush")
        elif manners.leads_to:
            self._brief(302, Location=manners.leads_to)
        elif manners.redirects and not hops:
            self._brief(302, Location=f"/hop{manners.redirects - 1}/image.iso?token=hush")
        else:
            self._serve(manners, number)

    def _brief(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _serve(self, manners: Manners, number: int) -> None:
        size = manners.file.stat().st_size
        start, stop = 0, size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if manners.ranges and asked and (manners.ranges_until is None or number < manners.ranges_until):
            start, stop = int(asked[1]), int(asked[2] or size - 1) + 1
            if start >= size:
                self._brief(416)
                return
            self.send_response(206)
            total = manners.claims or size
            shifted = start + manners.shifted
            self.send_header("Content-Range", f"bytes {shifted}-{stop - 1}/{total}")
        else:
            self.send_response(200)
        changed = manners.changes_at is not None and number >= manners.changes_at
        self.send_header("ETag", '"second"' if changed else manners.etag)
        if manners.length:
            self.send_header("Content-Length", str((stop - start) if manners.ranges else (manners.claims or size)))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        with suppress(OSError):
            self._body(manners, number, start, stop)

    def _body(self, manners: Manners, number: int, start: int, stop: int) -> None:
        limit = manners.breaks_after if manners.breaks_after is not None and stop - start > 1 else None
        with manners.file.open("rb") as file:
            file.seek(start)
            while start < stop or manners.endless:
                piece = file.read(min(1 << 18, max(stop - start, 0))) or bytes(manners.endless << 18)
                if not piece:
                    self.close_connection = True
                    return
                if limit is not None:
                    piece, limit = piece[:limit], limit - len(piece[:limit])
                self.wfile.write(piece)
                manners.sent[number] += len(piece)
                start += len(piece)
                if limit == 0:
                    self.close_connection = True
                    return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    manners: Manners

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""


@contextmanager
def serving(manners: Manners, *, user: str = "", tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve; the value is the file's URL."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.manners = manners
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            at = f"{user}@" if user else ""
            yield f"{'https' if tls else 'http'}://{at}127.0.0.1:{server.server_port}/image.iso"
        finally:
            server.shutdown()
            thread.join()
