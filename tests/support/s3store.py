"""A store that speaks S3's language on loopback: a server process whose objects are files, behind a proxy that counts.

The server is localbucket: it has ranges, multipart uploads with part copy, the conditions on the source of a copy and
on new objects, and S3's least size of parts. It lacks credentials, and the user's metadata, which the proxy keeps;
`answer` lets a test put in an answer of its own, as another store would give it, `loses` have one lost on its way.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BUCKET = "images"
_UNFORWARDED = {"expect", "connection", "transfer-encoding", "date", "server"}


@dataclass
class Request:
    """One request as it passed: bytes of both bodies, and the header's names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    received: int = 0
    sent: int = 0

    @property
    def kind(self) -> str:
        """The name that S3's documentation has for it, as far as tests ask."""
        copies = "x-amz-copy-source" in self.headers
        if "partNumber=" in self.path:
            return "UploadPartCopy" if copies else "UploadPart"
        if "uploads" in self.path.partition("?")[2]:
            return "CreateMultipartUpload"
        if "uploadId=" in self.path:
            return "AbortMultipartUpload" if self.method == "DELETE" else "CompleteMultipartUpload"
        return self.method


@dataclass
class Store:
    """A running store. `folder` holds the bucket's objects, `env` leads the command there."""

    folder: Path
    env: dict[str, str]
    requests: list[Request] = field(default_factory=list)
    answer: Callable[[Request], tuple[int, str] | None] = lambda _: None
    loses: Callable[[Request], bool] = lambda _: False
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def moved(self) -> int:
        """Bytes of all bodies, in and out."""
        return sum(request.received + request.sent for request in self.requests)

    def objects(self) -> list[str]:
        """All there is: keys of the bucket, and what is left of uploads."""
        root = self.folder.parent
        names = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
        return sorted(name.removeprefix(f"{BUCKET}/") for name in names)

    def kinds(self) -> list[str]:
        return [request.kind for request in self.requests]

    def forget(self) -> None:
        self.requests.clear()
        self.answer = lambda _: None
        self.loses = lambda _: False
        self.metadata.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def log_message(self, *_: object) -> None:
        pass

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, len(body))
        self.server.store.requests.append(request)
        own = self.server.store.answer(request)
        if own is not None:
            self._say(request, *own)
            return
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream)
        kept = {name: value for name, value in headers.items() if name not in _UNFORWARDED}
        upstream.request(self.command, self.path, body, kept)
        answer = upstream.getresponse()
        metadata = self.server.store.metadata
        key = self.path.partition("?")[0]
        if request.kind == "CreateMultipartUpload":
            metadata[f"{key} begun"] = {
                name: value for name, value in headers.items() if name.startswith("x-amz-meta-")
            }
        if request.kind == "CompleteMultipartUpload" and answer.status == HTTPStatus.OK:
            metadata[key] = metadata[f"{key} begun"]
        if self.server.store.loses(request):
            self.close_connection = True
            upstream.close()
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _UNFORWARDED:
                self.send_header(name, value)
        for name, value in metadata.get(key, {}).items() if request.kind == "HEAD" else ():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            while piece := answer.read(1 << 18):
                self.wfile.write(piece)
                request.sent += len(piece)
        upstream.close()

    def _say(self, request: Request, status: int, code: str) -> None:
        if status == 0:  # hang up
            self.close_connection = True
            return
        body = b"" if self.command == "HEAD" else f"<Error><Code>{code}</Code><Message>x</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        request.sent += len(body)


for _method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler._forward)


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    store: Store
    upstream: int

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""


@contextmanager
def serving_s3(folder: Path) -> Iterator[Store]:
    """Run a store with one empty bucket; its files go into `folder`."""
    (folder / BUCKET).mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "localbucket", folder, "--port", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, server)
        with _Proxy(("127.0.0.1", 0), _Handler) as proxy:
            env = {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.server_port}",
                "AWS_ACCESS_KEY_ID": "anne",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_REGION": "eu-central-1",
                "AWS_MAX_ATTEMPTS": "2",
            }
            proxy.store, proxy.upstream = Store(folder / BUCKET, env), port
            thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            try:
                yield proxy.store
            finally:
                proxy.shutdown()
                thread.join()
    finally:
        server.kill()
        server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    while True:
        assert server.poll() is None, "localbucket did not start"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
