"""A person, or a pipe, at the serial line of a running machine: bytes go to and fro as they are.

    standard input ── keys ──▶ line ──▶ guest ──▶ line ── outlet ──▶ standard output
                                                             └──▶ log

One thread waits for all of it; libvirt's own fills the outlet. A serial line has no window size, and nothing is ever
typed unasked: a key has the size typed for a shell that is there to read it. Characters are the terminal's affair.

Not here: waiting for text and answering it (`dialogue`).
"""

from __future__ import annotations

import errno
import os
import select
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from imgkit.errors import OutputError
from imgkit.vm.serial.keys import Command, Keyboard, Keys, help_lines, spoken
from imgkit.vm.serial.lasting import LastingLine, Now
from imgkit.vm.serial.line import LineClosed
from imgkit.vm.serial.outlet import opened_log, opened_outlet
from imgkit.vm.serial.terminal import raw_terminal, window_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgkit.vm.serial.outlet import Log, Outlet
    from imgkit.vm.serial.terminal import Terminal

RECONNECT = 10.0  # seconds for a machine that went off to be on again

_BLOCK = 4096  # bytes; a pipe with room takes as many at once
_TYPED_AHEAD = 1 << 20  # bytes that a person may be ahead of a guest that does not read
_PIPED_AHEAD = 1 << 16  # likewise a pipe, which can wait
_SOON, _OFTEN, _SELDOM = 0.02, 0.1, 1.0  # seconds until the next look, if nothing happens
_QUIET = 1.0  # seconds of silence after the end of the input that end it all
_GRACE = 10.0  # seconds after which it ends although the guest goes on to talk, or does not read


class End(Enum):
    """Why it ended."""

    LEFT = "detached by the escape key"
    OFF = "the machine was powered off"
    INPUT = "the input ended"
    READER = "the reader of standard output closed it"
    TERMINAL = "the terminal was closed"


@dataclass(frozen=True, slots=True)
class Attachment:
    """How to attach: the keys, whether to take the console from another user, seconds for a reboot, a log.

    `source` and `target` are the descriptors of what is typed and what is shown. If the source is a terminal, it is
    raw meanwhile; if not, all its bytes are the guest's, the keys' too.
    """

    keys: Keys = field(default_factory=Keys)
    force: bool = False
    reconnect: float = RECONNECT
    log: Path | None = None
    source: int = 0
    target: int = 1


def attach(
    connection: Any,
    name: str,
    how: Attachment,
    *,
    notify: Callable[[str], None],
    on_open: Callable[[], None] | None = None,
) -> End:
    """Connect this process's input and output with the console of a running machine, until one of them ends.

    `on_open` is called when nothing of what the guest says can be lost any more: start a machine paused, and let it go
    there. `notify` gets sentences for the person. For the main thread only.

    Raises MachineError where there is no such machine, or it is off, or libvirt goes; InUseError where its console is
    another's, from the beginning or later; OutputError where the log or the output cannot be written.
    """
    with ExitStack() as stack:
        log = stack.enter_context(opened_log(how.log))
        outlet = stack.enter_context(opened_outlet())

        def hear(data: bytes) -> None:
            log.put(data)
            outlet.put(data)

        line = stack.enter_context(
            LastingLine(connection, name, on_output=hear, on_close=outlet.wake, force=how.force, keep=_BLOCK)
        )
        terminal = None
        if os.isatty(how.source):
            notify(_greeting(name, how.keys))
            terminal = stack.enter_context(raw_terminal(how.source))
        if on_open is not None:
            on_open()
        return _Relay(line, outlet, log, terminal, how, notify).run()


def _greeting(name: str, keys: Keys) -> str:
    leaving = f"{spoken(keys.escape)} leaves" if keys.escape else "no key detaches"
    more = f", {spoken(keys.prefix)} ? tells more" if keys.prefix else ""
    return f"attached to {name}: {leaving}{more}; press Enter if nothing shows"


class _Relay:
    """The loop: what waits in both directions, and what ended when."""

    def __init__(
        self,
        line: LastingLine,
        outlet: Outlet,
        log: Log,
        terminal: Terminal | None,
        how: Attachment,
        notify: Callable[[str], None],
    ) -> None:
        self._line = line
        self._out = outlet
        self._log = log
        self._terminal = terminal
        self._how = how
        self._notify = notify
        self._keyboard = Keyboard(how.keys)
        self._typed = bytearray()
        self._input_ended: float | None = None
        self._off_since: float | None = None
        self._last_word = time.monotonic()
        self._next_look = 0.0

    def run(self) -> End:
        """Relay until something ends."""
        while True:
            end = self._turn()
            if end is not None:
                return end

    def _turn(self) -> End | None:
        ready = self._wait()
        end = None
        if self._how.target in ready:
            end = self._show(ready[self._how.target])
        if end is None and self._how.source in ready:
            end = self._read()
        if end is None:
            self._type()
            self._log.check()
            if dropped := self._out.news():
                self._notify(f"{dropped} bytes were not shown: they arrived faster than the terminal took them")
            end = self._look() or self._grace()
        return end

    def _wait(self) -> dict[int, int]:
        poll = select.poll()
        poll.register(self._out.fd, select.POLLIN)
        poll.register(self._how.target, 0 if self._out.is_empty else select.POLLOUT)
        if self._input_ended is None and (self._terminal or len(self._typed) < _PIPED_AHEAD):
            poll.register(self._how.source, select.POLLIN)
        pause = _SELDOM
        if self._line.line.is_closed or self._input_ended is not None:
            pause = _OFTEN
        elif self._typed:
            pause = _SOON
        return dict(poll.poll(pause * 1000))

    def _show(self, events: int) -> End | None:
        if not events & select.POLLOUT:
            return self._target_gone()
        data = self._out.take(_BLOCK)
        try:
            written = os.write(self._how.target, data)
        except BlockingIOError:
            written = 0
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.EIO):
                return self._target_gone()
            raise OutputError(f"standard output cannot be written ({error.strerror})") from error
        self._out.give_back(data[written:])
        self._last_word = time.monotonic()
        return None

    def _target_gone(self) -> End:
        return End.READER if self._terminal is None else End.TERMINAL

    def _read(self) -> End | None:
        try:
            data = os.read(self._how.source, _BLOCK)
        except BlockingIOError:
            return None
        except OSError:  # EIO: the terminal hung up; EBADF: there never was an input
            data = b""
        if not data and self._terminal is not None:
            return End.TERMINAL
        if not data:
            self._input_ended = time.monotonic()
        if self._terminal is None:
            self._typed += data
            return None
        for item in self._keyboard.typed(data):
            if isinstance(item, bytes):
                self._typed += item[: _TYPED_AHEAD - len(self._typed)]
            elif item is Command.LEAVE:
                self._type()
                return End.LEFT
            else:
                self._obey(item, self._terminal)
        return None

    def _obey(self, command: Command, terminal: Terminal) -> None:
        if command is Command.HELP:
            self._notify("\n".join(help_lines(self._how.keys)))
        elif command is Command.SUSPEND:
            terminal.suspend()
        elif size := window_size(terminal.fd):
            # The space keeps it out of the history of shells that are told so.
            self._typed += f" stty rows {size[0]} cols {size[1]}\r".encode()

    def _type(self) -> None:
        if self._line.line.is_closed and self._terminal is not None:
            self._typed.clear()  # it was meant for what is not there any more
        if not self._typed or self._line.line.is_closed:
            return
        with suppress(LineClosed):
            taken = self._line.line.offer(bytes(self._typed[:_BLOCK]))
            del self._typed[:taken]
            if taken and self._input_ended is not None:
                self._input_ended = time.monotonic()

    def _look(self) -> End | None:
        """Whether the machine is on; its line is opened anew if need be."""
        now = time.monotonic()
        if not self._line.line.is_closed and now < self._next_look:
            return None
        self._next_look = now + _SELDOM
        state = self._line.look()
        if state is Now.OFF:
            return self._off(now)
        if state is Now.ANEW and self._off_since is not None:
            self._notify(f"{self._line.name} is running again")
        self._off_since = None
        return None

    def _off(self, now: float) -> End | None:
        if not self._out.is_empty:
            return None  # its last words first
        if self._off_since is None:
            self._off_since = now
            if self._how.reconnect > 0:
                self._notify(f"{self._line.name} is off; waiting {self._how.reconnect:g} seconds for it to start again")
        return End.OFF if now - self._off_since >= self._how.reconnect else None

    def _grace(self) -> End | None:
        """After the end of the input: until the guest has answered, as far as one can tell."""
        if self._input_ended is None:
            return None
        now = time.monotonic()
        is_quiet = now - max(self._input_ended, self._last_word) >= _QUIET
        is_done = not self._typed and self._out.is_empty and is_quiet
        return End.INPUT if is_done or now - self._input_ended >= _GRACE else None
