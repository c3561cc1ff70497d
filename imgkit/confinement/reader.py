"""A confined copy of this process that reads an image, while this one does for it what it may not do itself.

`fork_reader` forks in the middle of a command. The child goes on, confined: it parses, edits and prints. The parent has
what needs rights (the output's folder, the journal, an editor) and does of it what the child asks for, by name:

    parent  image opened ── serve: "commit", "editor" ────────────┬─ ReaderEnded(status), which unwinds the command
    child                └─ confined: parse, edit, status ─ ask ──┘

A service takes bytes and returns bytes, and trusts neither. An error in a service ends the child and is raised in the
parent, so that whoever unwinds reports it once. A signal that ends the parent ends the child; the child itself ignores
the terminal's.
"""

from __future__ import annotations

import gc
import os
import re
import signal
import struct
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from imgkit.confinement import READER, confine_self
from imgkit.confinement.kernel import end_with_parent
from imgkit.errors import EngineError, ReaderEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from typing import NoReturn

_HEADER = struct.Struct("=BQ")  # length of the name, length of what is sent
_MOST = 8 << 30
_RESULT, _MODULES = "result", "modules"
_OWN_MODULE = re.compile(r"imgkit(?:\.[a-z][a-z0-9_]*)+")
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_HOSTILE = "Treat the image as malicious, unless you killed that process yourself."
_REASONS: dict[int, str] = {
    signal.SIGSYS: "it tried something that only malicious code does, such as starting a program",
    signal.SIGSEGV: "libext2fs crashed",
    signal.SIGKILL: "it was killed by another process, or memory ran out",
}


class Supervisor:
    """In the child: the process that has what this one may not reach."""

    def __init__(self, requests: int, replies: int) -> None:
        self._requests = requests
        self._replies = replies

    def ask(self, service: str, data: bytes = b"") -> bytes:
        """Have a service done. Where it fails this process is ended."""
        sys.stdout.flush()  # the service may print
        name = service.encode()
        _write(self._requests, _HEADER.pack(len(name), len(data)) + name)
        _write(self._requests, data)
        length = struct.unpack("=Q", _read(self._replies, 8))[0]
        return _read(self._replies, length)


class Child:
    """In the parent: the confined child."""

    def __init__(self, pid: int, requests: int, replies: int) -> None:
        self._pid = pid
        self._requests = requests
        self._replies = replies
        self._result: bytes | None = None
        self._served: list[str] = []

    def serve(self, services: Mapping[str, Callable[[bytes], bytes]]) -> NoReturn:
        """Do what the child asks for until it ends, then raise ReaderEnded; EngineError where it was killed."""
        try:
            while (request := self._next()) is not None:
                reply = self._serve(services, *request)
                _write(self._replies, struct.pack("=Q", len(reply)) + reply)
        except BrokenPipeError:
            pass
        except BaseException:
            self._end()
            raise
        status = self._wait()
        if status < 0:
            raise _killed(-status, self._served)
        raise ReaderEnded(status, self._result)

    def _serve(self, services: Mapping[str, Callable[[bytes], bytes]], name: str, data: bytes) -> bytes:
        if name == _RESULT:
            self._result = data
            return b""
        if name == _MODULES:
            _import_again(data)
            return b""
        if name not in services:
            raise EngineError(f"the confined process that reads the image asked for {name!r}", hint=_HOSTILE)
        reply = services[name](data)
        self._served.append(name)
        return reply

    def _next(self) -> tuple[str, bytes] | None:
        head = _read_or_end(self._requests, _HEADER.size)
        if len(head) < _HEADER.size:
            return None
        name_length, length = _HEADER.unpack(head)
        if length > _MOST:
            raise EngineError(f"the confined process that reads the image sent {length:,} bytes", hint=_HOSTILE)
        name = _read_or_end(self._requests, name_length)
        data = _read_or_end(self._requests, length)
        return (name.decode(errors="replace"), data) if len(data) == length else None

    def _end(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._wait()

    def _wait(self) -> int:
        os.close(self._requests)
        os.close(self._replies)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def fork_reader(*, keep: Iterable[int], read: Iterable[Path] = (), write: Iterable[Path] = ()) -> Child | Supervisor:
    """Fork; a Child in the parent, a Supervisor in the child, which is confined from then on.

    The child keeps standard input, output and error and the descriptors in `keep`, and reaches the given paths.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    down, up = os.pipe(), os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(up[1])
        os.close(down[0])
        return Child(pid, up[0], down[1])
    gc.freeze()  # what the parent has loaded is no garbage: looking for some would copy its pages, for each image anew
    end_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    _close_all_but({0, 1, 2, up[1], down[0], *keep})
    confine_self(read=read, write=write)
    READER[:] = [Supervisor(up[1], down[0])]
    return READER[0]


def supervised(run: Callable[[], bytes]) -> bytes:
    """The value of `run`, wherever it comes from: from a confined child if `run` forks one, else from here.

    What modules of ours the child has loaded this process loads too, so that the next child has them from the start.
    """
    before, loaded = len(READER), set(sys.modules)
    try:
        value = run()
    except ReaderEnded as ended:
        if ended.result is None:
            raise EngineError(
                f"the confined process that reads the image ended with status {ended.status} and no result",
                hint="Please report it, with the image if you can share it.",
            ) from ended
        return ended.result
    if len(READER) > before:
        READER[-1].ask(_MODULES, "\n".join(set(sys.modules) - loaded).encode())
        READER[-1].ask(_RESULT, value)
        sys.stdout.flush()
        os._exit(0)
    return value


def _import_again(names: bytes) -> None:
    """Load modules of this package; a name that is no module's is passed over."""
    for name in names.decode(errors="replace").split("\n"):
        if _OWN_MODULE.fullmatch(name) and name not in sys.modules:
            with suppress(ImportError):
                import_module(name)


def _close_all_but(kept: set[int]) -> None:
    with os.scandir("/proc/self/fd") as entries:
        numbers = [int(entry.name) for entry in entries]
    for number in numbers:
        if number not in kept:
            with suppress(OSError):  # that of the listing itself
                os.close(number)


def _killed(number: int, served: list[str]) -> EngineError:
    why = _REASONS.get(number, "")
    done = f"Done before: {', '.join(served)}." if served else "Nothing was written."
    return EngineError(
        f"the confined process that reads the image was ended by {signal.Signals(number).name}{why and f': {why}'}",
        hint=f"{done} {_HOSTILE}",
    )


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read(fd: int, length: int) -> bytes:
    data = _read_or_end(fd, length)
    if len(data) < length:
        os._exit(128 + signal.SIGPIPE)  # the parent is gone, and takes us with it
    return data


def _read_or_end(fd: int, length: int) -> bytes:
    pieces = []
    while length:
        piece = os.read(fd, min(length, 1 << 20))
        if not piece:
            break
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)
