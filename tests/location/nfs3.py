"""A read-only NFS server of version 3 for a folder of this host, mount protocol included, on one TCP port.

NFS-Ganesha serves without privilege from memory only, files of up to 2 MiB, less than a kernel has. What it can
serve, it does (`servers.nfs`); this one is for whole trees. Its clients are libnfs's.

RFC 1813 (NFS 3, mount 3), RFC 5531 (RPC), RFC 4506 (XDR)
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_NFS, _MOUNT = 100003, 100005
_LARGEST = 1 << 20
_NOENT, _NOTDIR = 2, 20


class _Arguments:
    """XDR, read from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def numbers(self, layout: str) -> tuple[int, ...]:
        size = struct.calcsize(f">{layout}")
        values, self._data = struct.unpack(f">{layout}", self._data[:size]), self._data[size:]
        return values

    def opaque(self) -> bytes:
        (size,) = self.numbers("I")
        value, self._data = self._data[:size], self._data[size + -size % 4 :]
        return value


def _opaque(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


class _Export:
    """The files; a handle is a number."""

    def __init__(self, folder: Path) -> None:
        self.paths = [folder, *sorted(folder.rglob("*"))]

    def handle(self, path: Path) -> bytes:
        return _opaque(struct.pack(">Q", self.paths.index(path)))

    def path(self, arguments: _Arguments) -> Path:
        return self.paths[struct.unpack(">Q", arguments.opaque())[0]]

    def attributes(self, path: Path) -> bytes:
        kind, mode = (2, 0o755) if path.is_dir() else (1, 0o644)
        size, number = path.stat().st_size, self.paths.index(path) + 1
        return struct.pack(">5IQQ2IQQ6I", kind, mode, 1, 0, 0, size, size, 0, 0, 1, number, *([1, 0] * 3))

    def after(self, path: Path) -> bytes:
        return struct.pack(">I", 1) + self.attributes(path)

    def entries(self, arguments: _Arguments, *, plus: bool) -> bytes:
        folder = self.path(arguments)
        (cookie,) = arguments.numbers("Q")
        inside = sorted(folder.iterdir())[cookie:]
        listed = bytearray(struct.pack(">I", 0) + self.after(folder) + bytes(8))
        for i, path in enumerate(inside, cookie + 1):
            listed += struct.pack(">IQ", 1, self.paths.index(path) + 1) + _opaque(path.name.encode())
            listed += struct.pack(">Q", i)
            if plus:
                listed += self.after(path) + struct.pack(">I", 1) + self.handle(path)
        return bytes(listed + struct.pack(">II", 0, 1))

    def mount(self, arguments: _Arguments) -> bytes:
        path = self.paths[0] / arguments.opaque().decode().removeprefix("/export").strip("/")
        if path not in self.paths:
            return struct.pack(">I", _NOENT)
        return struct.pack(">I", 0) + self.handle(path) + struct.pack(">II", 1, 1)

    def lookup(self, arguments: _Arguments) -> bytes:
        folder = self.path(arguments)
        name = arguments.opaque().decode()
        path = folder if name == "." else folder / name
        if not folder.is_dir() or path not in self.paths:
            return struct.pack(">I", _NOENT if folder.is_dir() else _NOTDIR) + self.after(folder)
        return struct.pack(">I", 0) + self.handle(path) + self.after(path) + self.after(folder)

    def read(self, arguments: _Arguments) -> bytes:
        path = self.path(arguments)
        offset, count = arguments.numbers("QI")
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(min(count, _LARGEST))
        is_end = offset + len(data) >= path.stat().st_size
        return struct.pack(">I", 0) + self.after(path) + struct.pack(">II", len(data), is_end) + _opaque(data)

    def access(self, arguments: _Arguments) -> bytes:
        path = self.path(arguments)
        (wanted,) = arguments.numbers("I")
        return struct.pack(">I", 0) + self.after(path) + struct.pack(">I", wanted & 0x23)  # read, look up, execute

    def answer(self, program: int, procedure: int, arguments: _Arguments) -> bytes:
        """The result of a call, after the head of its reply."""
        root = self.paths[0]
        calls: dict[tuple[int, int], Callable[[], bytes]] = {
            (_MOUNT, 1): lambda: self.mount(arguments),
            (_MOUNT, 5): lambda: struct.pack(">I", 1) + _opaque(b"/export") + struct.pack(">II", 0, 0),
            (_NFS, 1): lambda: struct.pack(">I", 0) + self.attributes(self.path(arguments)),
            (_NFS, 3): lambda: self.lookup(arguments),
            (_NFS, 4): lambda: self.access(arguments),
            (_NFS, 6): lambda: self.read(arguments),
            (_NFS, 16): lambda: self.entries(arguments, plus=False),
            (_NFS, 17): lambda: self.entries(arguments, plus=True),
            (_NFS, 19): lambda: (
                struct.pack(">I", 0) + self.after(root) + struct.pack(">7IQ3I", *([_LARGEST] * 7), 1 << 40, 0, 1, 8)
            ),
        }
        return calls.get((program, procedure), bytes)()


@contextmanager
def nfs3(folder: Path) -> Iterator[str]:
    """The address of an export of the folder, as long as the block."""
    export = _Export(folder)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := self.rfile.read(4):
                call = _Arguments(self.rfile.read(struct.unpack(">I", head)[0] & 0x7FFFFFFF))
                number, _, _, program, _, procedure = call.numbers("6I")
                for _ in range(2):  # credentials, and their proof
                    call.numbers("I")
                    call.opaque()
                reply = struct.pack(">6I", number, 1, 0, 0, 0, 0) + export.answer(program, procedure, call)
                self.wfile.write(struct.pack(">I", 0x80000000 | len(reply)) + reply)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, request, client_address) -> None:
            """A client that goes away in the middle is one that has enough."""

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        port = server.server_address[1]
        yield f"nfs://127.0.0.1/export/?version=3&nfsport={port}&mountport={port}"
        server.shutdown()
