"""This process's terminal: raw as long as a block, and what it was after, however the block or the process ends.

Raw means that all bytes pass as they are, also what would be Ctrl-C and Ctrl-Z here. An exception and a signal that
raises one leave the block; SIGTSTP is answered here; for what leaves no time to answer there is `guard`.

Not here: what the bytes mean (`keys`), and where they go (`attach`).
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_GUARD = Path(__file__).with_name("guard.py")
_ABOVE_STANDARD = 3  # the first descriptor that is not standard input, output or error
_BRIEFLY = 2.0  # seconds for the guard to end; a loaded machine's are long
_HELD_BACK = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTOU}

# What a program of the guest may have left behind: colours, a hidden cursor, line-drawing letters, keys of an
# application, reports of the mouse, brackets around what is pasted. Harmless where it did not.
SOFT_RESET = b"\x1b[m\x1b[?25h\x0f\x1b(B\x1b[?1l\x1b>\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l"


class Terminal:
    """A terminal and two settings of it, those that it had and those of raw, as `termios` has them."""

    def __init__(self, fd: int) -> None:
        self.before = termios.tcgetattr(fd)
        self.raw = _made_raw(self.before)
        self.fd = fd
        self.is_over = False  # nothing makes it raw any more

    def make_raw(self) -> None:
        """Raw, unless this process is in the background: it may not touch the terminal then."""
        if self.is_over or not self._is_ours():
            return
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(self.fd, termios.TCSANOW, self.raw)

    def restore(self) -> None:
        """As it was. No signal comes between."""
        held = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
        try:
            with suppress(termios.error):
                termios.tcsetattr(self.fd, termios.TCSANOW, self.before)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def suspend(self) -> None:
        """Stop this process, as Ctrl-Z does, with the terminal as it was; raw again when it goes on."""
        self.restore()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.pthread_kill(threading.get_ident(), signal.SIGTSTP)  # sent to this thread, it stops us at once
        signal.signal(signal.SIGTSTP, handler)
        self.make_raw()

    def _is_ours(self) -> bool:
        try:
            return os.tcgetpgrp(self.fd) == os.getpgrp()
        except OSError:
            return True  # not the terminal that signals come from, or gone


@contextmanager
def raw_terminal(fd: int) -> Iterator[Terminal]:
    """The terminal `fd`, raw as long as the block. For the main thread only: signals come to it."""
    terminal = Terminal(fd)
    with _guarded(terminal), _stopped_and_continued(terminal):
        try:
            terminal.make_raw()
            yield terminal
        finally:
            terminal.is_over = True
            terminal.restore()


def window_size(fd: int) -> tuple[int, int] | None:
    """Rows and columns of a terminal; None if it has none, or does not tell."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        return None
    return (rows, columns) if rows and columns else None


def _made_raw(settings: list[Any]) -> list[Any]:
    """The settings with the changes of cfmakeraw(3)."""
    iflag, oflag, cflag, lflag, input_speed, output_speed, characters = settings
    iflag &= ~(termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP)
    iflag &= ~(termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON)
    oflag &= ~termios.OPOST
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    characters = list(characters)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, input_speed, output_speed, characters]


@contextmanager
def _stopped_and_continued(terminal: Terminal) -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        terminal.suspend()

    def go_on(_number: int, _frame: FrameType | None) -> None:
        terminal.make_raw()  # a shell that had the terminal meanwhile has changed it

    before = {signal.SIGTSTP: signal.signal(signal.SIGTSTP, stop), signal.SIGCONT: signal.signal(signal.SIGCONT, go_on)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _guarded(terminal: Terminal) -> Iterator[None]:
    """With a guard that knows the settings; should it not start, it is missing only after a SIGKILL."""
    inherited = fcntl.fcntl(terminal.fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE_STANDARD)
    try:
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), str(inherited)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=(inherited,),
            start_new_session=True,  # what ends all processes of the terminal does not end it
        )
    except OSError:
        yield
        return
    finally:
        os.close(inherited)
    assert guard.stdin is not None
    try:
        with suppress(BrokenPipeError):
            guard.stdin.write(json.dumps([terminal.before, terminal.raw], default=ord).encode() + b"\n")
        yield
    finally:
        guard.stdin.close()
        try:
            guard.wait(_BRIEFLY)
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.wait()
