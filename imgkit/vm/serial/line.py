"""The serial line of a running machine: what came over it, waiting for text, typing.

libvirt's thread of events reads; whoever waits sleeps on a condition. One user at a time: libvirt has one console a
machine, and opening it anew takes it from the one before.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from imgkit.errors import InUseError, MachineError
from imgkit.vm.connection import binding, translated
from imgkit.vm.serial.transcript import KEEP, Transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK = 65536
_QUOTED = 200  # bytes of the line's end in an error
_NO_ROOM = -2  # a non-blocking stream's answer for "not now"
_PATIENCE = 60.0  # seconds for a guest to take what is typed


class ExpectTimeout(MachineError):  # noqa: N818  -- named as pexpect's TIMEOUT is
    """The text that was waited for did not come in time."""


class LineSilent(ExpectTimeout):
    """Nothing at all came over the line in time."""


class LineClosed(MachineError):  # noqa: N818  -- an event, not a fault
    """The line ended before the text that was waited for: the machine is off, or another user took its console."""


class Line:
    """What came over a serial line (the last `keep` bytes at least), and how far `expect` has consumed it.

    `on_output` gets all new bytes, before anybody who waits for them, and `on_close` is told once that no more will
    come; both on libvirt's thread of events, neither after `close`, and neither may raise.
    """

    def __init__(
        self,
        stream: Any,
        on_output: Callable[[bytes], None] | None = None,
        on_close: Callable[[], None] | None = None,
        *,
        keep: int = KEEP,
    ) -> None:
        self._stream = stream
        self._on_output = on_output
        self._on_close = on_close
        self._transcript = Transcript(keep)
        self._closed = False
        self._changed = threading.Condition()
        self._telling = threading.RLock()  # held while a callback runs; a callback may close the line

    @property
    def transcript(self) -> bytes:
        """What came so far; of very much, its end."""
        with self._changed:
            return bytes(self._transcript)

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
                is_last = self._closed or time.monotonic() >= deadline
                if found := self._transcript.find(wanted, last=is_last):
                    return found
                if self._closed:
                    raise LineClosed(f"the serial line ended before {pattern!r} came{self._end()}")
                if is_last:
                    raise self._late(pattern, timeout)
                self._changed.wait(deadline - time.monotonic())

    def send(self, text: str | bytes, timeout: float = _PATIENCE) -> None:
        """Type.

        Raises LineClosed when nobody is there to read it, MachineError when the guest does not take it in `timeout`
        seconds.
        """
        data = text.encode() if isinstance(text, str) else text
        deadline = time.monotonic() + timeout
        while data:
            taken = self.offer(data)
            if not taken and time.monotonic() >= deadline:
                raise MachineError(
                    f"the machine accepts no input: {len(data)} bytes were not sent after {timeout:g} seconds",
                    hint="It may be paused, or not read from its serial line yet.",
                )
            if not taken:
                time.sleep(0.01)  # the guest reads at its own pace
            data = data[taken:]

    def offer(self, data: bytes) -> int:
        """Type as much as fits now; how many bytes that was. Raises LineClosed when nobody is there to read it."""
        if self._closed:
            raise LineClosed("the serial line has ended")
        libvirt = binding()
        try:
            taken = int(self._stream.send(data))
        except libvirt.libvirtError as error:  # a stream that has failed once is done for
            self.end()
            raise LineClosed(f"the serial line has ended ({error})") from error
        return 0 if taken == _NO_ROOM else taken

    def receive(self) -> None:
        """Take what the stream has, if anything; called by libvirt's thread when there is something. Does not wait."""
        libvirt = binding()
        with self._telling:
            if self._closed:
                return
            try:
                data = self._stream.recv(_CHUNK)
            except libvirt.libvirtError:  # the machine is gone: the line's end, however it comes
                data = b""
            if data == _NO_ROOM:
                return
            if not data:
                self.end()
                return
            if self._on_output is not None:
                self._on_output(data)
            with self._changed:
                self._transcript.append(data)
                self._changed.notify_all()

    def end(self) -> None:
        """Note that no more will come, and tell it."""
        with self._telling:
            was_closed = self._closed
            self._note_closed()
            if not was_closed and self._on_close is not None:
                self._on_close()

    def close(self) -> None:
        """Tell nobody anything from now on. When this returns, no callback runs any more."""
        with self._telling:
            self._on_output = self._on_close = None
            self._note_closed()

    def _note_closed(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _late(self, pattern: str, timeout: float) -> ExpectTimeout:
        if not self._transcript.received:
            return LineSilent(f"nothing appeared on the serial line in {timeout:g} seconds")
        return ExpectTimeout(f"{pattern!r} did not appear on the serial line in {timeout:g} seconds{self._end()}")

    def _end(self) -> str:
        tail = self._transcript.tail(_QUOTED).decode(errors="replace").strip()
        return f"; the last output: {tail!r}" if tail else ""


@contextmanager
def open_line(
    domain: Any,
    *,
    on_output: Callable[[bytes], None] | None = None,
    on_close: Callable[[], None] | None = None,
    force: bool = False,
    keep: int = KEEP,
) -> Iterator[Line]:
    """The serial line of a running (or paused) domain, as long as the block. `force` takes it from another user.

    Raises InUseError where the console is taken, MachineError where libvirt refuses for another reason.
    """
    libvirt = binding()
    name = domain.name()
    flags = libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else libvirt.VIR_DOMAIN_CONSOLE_SAFE
    with translated(f"the console of {name} cannot be opened"):
        stream = domain.connect().newStream(libvirt.VIR_STREAM_NONBLOCK)
        try:
            domain.openConsole(None, stream, flags)
        except libvirt.libvirtError as error:
            refused = _in_use(name, str(error))
            if refused is None:
                raise
            raise refused from error
    line = Line(stream, on_output, on_close, keep=keep)

    def happened(stream: Any, events: int, _nothing: None) -> None:
        if events & libvirt.VIR_STREAM_EVENT_READABLE:
            line.receive()
        elif events & (libvirt.VIR_STREAM_EVENT_HANGUP | libvirt.VIR_STREAM_EVENT_ERROR):
            line.end()
        if line.is_closed:
            _without_events(stream)

    interesting = libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_HANGUP | libvirt.VIR_STREAM_EVENT_ERROR
    try:
        with translated(f"the console of {name} cannot be opened"):
            stream.eventAddCallback(interesting, happened, None)
        yield line
    finally:
        _without_events(stream)
        line.close()  # before the stream goes: libvirt's thread may be reading from it
        _abort(stream)


def _in_use(name: str, words: str) -> InUseError | None:
    """What libvirt's refusal means if somebody has the console; it has no codes for that."""
    if "Active console session" in words:
        return InUseError(f"the console of {name} is in use by another", hint="Take it over with --force.")
    if "lock file" in words:  # as modems' users have them; they stay when a process is killed
        return InUseError(
            f"the console of {name} is locked ({words})",
            hint="Another libvirt uses that terminal, or left a lock behind. Restart the machine, or remove the lock.",
        )
    return None


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
