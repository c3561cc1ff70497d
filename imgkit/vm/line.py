"""The serial line of a running machine: everything that came over it, waiting for text, typing.

libvirt's thread of events reads; whoever waits sleeps on a condition. One user at a time: libvirt has one console a
machine, and opening it anew takes it from the one before.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from imgkit.errors import MachineError
from imgkit.vm.connection import binding, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK = 65536
_QUOTED = 200  # bytes of the line's end in an error
_NO_ROOM = -2  # a non-blocking stream's answer for "not now"


class ExpectTimeout(MachineError):  # noqa: N818  -- named as pexpect's TIMEOUT is
    """The text that was waited for did not come in time."""


class LineSilent(ExpectTimeout):
    """Nothing at all came over the line in time."""


class LineClosed(MachineError):  # noqa: N818  -- an event, not a fault
    """The line ended before the text that was waited for: the machine is off, or another user took its console."""


class Line:
    """What came over a serial line, and how far `expect` has consumed it.

    `on_output` gets all new bytes, on libvirt's thread of events.
    """

    def __init__(self, stream: Any, on_output: Callable[[bytes], None] | None = None) -> None:
        self.on_output = on_output
        self._stream = stream
        self._received = bytearray()
        self._consumed = 0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def transcript(self) -> bytes:
        """Everything that came so far."""
        with self._changed:
            return bytes(self._received)

    @property
    def is_closed(self) -> bool:
        """Whether no more will come."""
        return self._closed

    def expect(self, pattern: str, timeout: float) -> re.Match[bytes]:
        """Wait up to `timeout` seconds for the regular expression, behind what the last call found.

        Raises ExpectTimeout (LineSilent if nothing ever came), LineClosed when the machine goes off before.
        """
        wanted = re.compile(pattern.encode())
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                found = wanted.search(bytes(self._received), self._consumed)
                if found:
                    self._consumed = found.end()
                    return found
                if self._closed:
                    raise LineClosed(f"the serial line ended before {pattern!r} came{self._end()}")
                if not self._changed.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    raise self._late(pattern, timeout)

    def wait_closed(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the line's end; whether it came."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, timeout)

    def send(self, text: str | bytes) -> None:
        """Type. Raises LineClosed when nobody is there to read it, MachineError when libvirt refuses."""
        data = text.encode() if isinstance(text, str) else text
        while data:
            if self._closed:
                raise LineClosed("the serial line has ended")
            with translated("the serial line takes nothing"):
                taken = self._stream.send(data)
            if taken == _NO_ROOM:
                time.sleep(0.01)  # the guest reads at its own pace
            else:
                data = data[taken:]

    def receive(self) -> None:
        """Take what the stream has; called by libvirt's thread when there is something."""
        libvirt = binding()
        try:
            data = self._stream.recv(_CHUNK)
        except libvirt.libvirtError:  # the machine is gone: the line's end, however it comes
            data = b""
        if data == _NO_ROOM:
            return
        with self._changed:
            self._received += data
            self._closed = self._closed or not data
            self._changed.notify_all()
        if data and self.on_output is not None:
            self.on_output(data)

    def close(self) -> None:
        """Note that no more will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _late(self, pattern: str, timeout: float) -> ExpectTimeout:
        if not self._received:
            return LineSilent(f"nothing came over the serial line in {timeout:g} seconds")
        return ExpectTimeout(f"{pattern!r} did not come over the serial line in {timeout:g} seconds{self._end()}")

    def _end(self) -> str:
        tail = bytes(self._received[-_QUOTED:]).decode(errors="replace").strip()
        return f"; its last words: {tail!r}" if tail else ""


@contextmanager
def open_line(domain: Any, *, on_output: Callable[[bytes], None] | None = None, force: bool = False) -> Iterator[Line]:
    """The serial line of a running (or paused) domain, as long as the block. `force` takes it from another user.

    Raises MachineError where libvirt refuses, as when the console is taken.
    """
    libvirt = binding()
    with translated(f"the console of {domain.name()} cannot be opened"):
        stream = domain.connect().newStream(libvirt.VIR_STREAM_NONBLOCK)
        domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else libvirt.VIR_DOMAIN_CONSOLE_SAFE)
    line = Line(stream, on_output)

    def happened(_stream: Any, events: int, _nothing: None) -> None:
        if events & libvirt.VIR_STREAM_EVENT_READABLE:
            line.receive()
        elif events & (libvirt.VIR_STREAM_EVENT_HANGUP | libvirt.VIR_STREAM_EVENT_ERROR):
            line.close()
        if line.is_closed:
            _without_events(stream)

    interesting = libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_HANGUP | libvirt.VIR_STREAM_EVENT_ERROR
    stream.eventAddCallback(interesting, happened, None)
    try:
        yield line
    finally:
        _without_events(stream)
        _abort(stream)


def _without_events(stream: Any) -> None:
    libvirt = binding()
    try:
        stream.eventRemoveCallback()
    except libvirt.libvirtError:
        return  # removed before, or the stream went with its machine


def _abort(stream: Any) -> None:
    libvirt = binding()
    try:
        stream.abort()
    except libvirt.libvirtError:
        return  # it ended by itself
