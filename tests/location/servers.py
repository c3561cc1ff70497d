"""Servers on loopback: well-behaved ones for HTTP, FTP and NFS, and one that answers each request as told."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import DTPHandler, FTPHandler
from pyftpdlib.servers import FTPServer

from tests.support import oracle


@dataclass
class Server:
    """An address without the final slash, and the requests so far: method, path, range."""

    address: str
    requests: list[tuple[str, str, str]] = field(default_factory=list)

    def asked(self, method: str, path: str) -> list[str]:
        """Ranges ("" for none) of the requests for a path."""
        return [wanted for used, asked, wanted in self.requests if (used, asked) == (method, path)]


class _Files(SimpleHTTPRequestHandler):
    """The standard library's server, with byte ranges and an ETag, which every real one has."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args, server_record: Server, **kwargs) -> None:
        self.record = server_record
        super().__init__(*args, **kwargs)

    def parse_request(self) -> bool:
        parsed = super().parse_request()
        if parsed:
            self.record.requests.append((self.command, self.path.partition("?")[0], self.headers.get("Range", "")))
        return parsed

    def end_headers(self) -> None:
        self.send_header("ETag", '"one"')
        super().end_headers()

    def do_GET(self) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if match is None or not path.is_file():
            super().do_GET()
            return
        data, start = path.read_bytes(), int(match[1])
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:])

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class _Guarded(_Files):
    """The same for those who say the right word."""

    right = ""

    def send_head(self):
        if self.headers.get("Authorization") == self.right:
            return super().send_head()
        self.send_error(401)
        return None


def leading_to(address: str) -> type[_Files]:
    """A handler that sends everybody elsewhere."""

    class Elsewhere(_Files):
        def send_head(self):
            self.send_response(302)
            self.send_header("Location", address + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Elsewhere


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """A client that goes away in the middle is what some tests do."""


@contextmanager
def http_with_password(folder: Path, right: str) -> Iterator[Server]:
    """An HTTP server that wants this Authorization."""
    with http(folder, type("Handler", (_Guarded,), {"right": right})) as server:
        yield server


@contextmanager
def http(folder: Path, handler: type[_Files] = _Files, *, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    record = Server("")
    with _Quiet(("127.0.0.1", 0), partial(handler, directory=str(folder), server_record=record)) as server:
        record.address = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield record
        finally:
            server.shutdown()
            thread.join()


Answer = Callable[[socket.socket, str, str], None]


@contextmanager
def scripted(answer: Answer) -> Iterator[Server]:
    """An HTTP server that answers each request by `answer(connection, path, range)`, and then closes the connection."""
    record = Server("")
    listener = socket.create_server(("127.0.0.1", 0))
    record.address = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                more = connection.recv(65536)
                if not more:
                    return
                request += more
            method, path, _ = request.decode().splitlines()[0].split()
            match = re.search(r"^Range: (.*?)\r?$", request.decode(), re.MULTILINE)
            record.requests.append((method, path, match[1] if match else ""))
            answer(connection, path, match[1] if match else "")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield record
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def reply(connection: socket.socket, status: str, body: bytes = b"", **headers: str) -> None:
    """One whole answer; `Content_Length` may say something else than the truth."""
    fields = {"Content_Length": str(len(body)), "Connection": "close"} | headers
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    connection.sendall(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)


@contextmanager
def ftp(folder: Path, *, user: str = "", password: str = "", cut: int = 0) -> Iterator[Server]:
    """An FTP server; with `cut`, it breaks its first connection for data after that many bytes."""
    record = Server("")
    cuts = [cut] if cut else []

    class Data(DTPHandler):
        def send(self, data: bytes) -> int:
            if cuts and self.get_transmitted_bytes() >= cuts[0]:
                cuts.clear()
                self.close()
                return 0
            return super().send(data)

    class Handler(FTPHandler):
        authorizer = DummyAuthorizer()
        dtp_handler = Data
        use_sendfile = False
        auth_failed_timeout = 0

        def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
            record.requests.append((cmd, arg, ""))
            super().pre_process_command(line, cmd, arg)

    if user:
        Handler.authorizer.add_user(user, password, str(folder))
    else:
        Handler.authorizer.add_anonymous(str(folder))
    server = FTPServer(("127.0.0.1", 0), Handler)
    record.address = f"ftp://127.0.0.1:{server.socket.getsockname()[1]}"
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            server.serve_forever(timeout=0.01, blocking=False)
        server.close_all()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield record
    finally:
        stop.set()
        thread.join()


_GANESHA = """
NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = {port}; Bind_addr = 127.0.0.1; Enable_NLM = false; Enable_RQUOTA = false; }}
NFSV4 {{ Graceless = true; RecoveryBackend = fs; RecoveryRoot = {folder}/recovery; }}
EXPORT {{ Export_Id = 1; Path = /export; Pseudo = /export; Access_Type = RW; Squash = none; SecType = sys, none;
    Protocols = 4; PrivilegedPort = false; FSAL {{ Name = MEM; }} }}
MEM {{ Inode_Size = 1048576; }}
LOG {{ Default_Log_Level = EVENT; }}
"""


@contextmanager
def nfs(folder: Path, files: dict[str, bytes]) -> Iterator[Server]:
    """NFS-Ganesha, which needs no privilege with files in memory; `files` of one flat directory, up to 1 MiB each."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (folder / "recovery").mkdir(parents=True)
    (folder / "ganesha.conf").write_text(_GANESHA.format(port=port, folder=folder))
    command = [oracle.find("ganesha.nfsd"), "-F", "-f", "ganesha.conf", "-L", "log", "-p", str(folder / "pid")]
    arguments = f"?version=4&nfsport={port}"
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until_it_serves(process, folder / "log")
            _fill(f"nfs://127.0.0.1/export/{arguments}", files)
            yield Server(f"nfs://127.0.0.1/export/{arguments}")
        finally:
            process.kill()
    shutil.rmtree(folder)


_PIECE = 900  # libnfs 4.0 fails to write more at once to version 4 of NFS


def _fill(location: str, files: dict[str, bytes]) -> None:
    """Write files to an export by libnfs itself: its tools write too much at once."""
    library = ctypes.CDLL(ctypes.util.find_library("nfs"))
    library.nfs_init_context.restype = library.nfs_parse_url_dir.restype = ctypes.c_void_p
    library.nfs_get_error.restype = ctypes.c_char_p
    context = ctypes.c_void_p(library.nfs_init_context())

    def done(status: int) -> None:
        assert status >= 0, library.nfs_get_error(context).decode()

    library.nfs_parse_url_dir(context, location.encode())
    done(library.nfs_mount(context, b"127.0.0.1", b"/export"))
    for name, data in files.items():
        handle = ctypes.c_void_p()
        done(library.nfs_creat(context, f"/{name}".encode(), 0o644, ctypes.byref(handle)))
        done(library.nfs_close(context, handle))
        done(library.nfs_open(context, f"/{name}".encode(), os.O_RDWR, ctypes.byref(handle)))
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            done(library.nfs_pwrite(context, handle, ctypes.c_uint64(start), ctypes.c_uint64(len(piece)), piece))
        done(library.nfs_close(context, handle))
    library.nfs_destroy_context(context)


def _wait_until_it_serves(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while not (log.exists() and "NFS SERVER INITIALIZED" in log.read_text(errors="replace")):
        assert process.poll() is None, log.read_text(errors="replace") if log.exists() else os.strerror(0)
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.05)
