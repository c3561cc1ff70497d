"""A person at a terminal: a pseudo-terminal of which a program has one end, and a test the other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tests.support import oracle

PATIENCE = 120.0  # seconds; only failures wait so long


class Typist:
    """What came to the screen, and how far it has been read; the terminal outlives its program."""

    def __init__(self, rows: int = 24, columns: int = 80) -> None:
        self.master, self.slave = os.openpty()
        self.resize(rows, columns)
        self.before = self.settings
        self.shown = bytearray()
        self._read = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, words: Sequence[str], **options: Any) -> None:
        """Start a program that has this terminal as its own."""  # setsid replaces itself by it
        ends = {"stdin": self.slave, "stdout": self.slave, "stderr": self.slave}
        self.process = subprocess.Popen([oracle.find("setsid"), "--ctty", *words], **ends, **options)

    @property
    def settings(self) -> list[Any]:
        """The terminal's, as termios has them."""
        return termios.tcgetattr(self.slave)

    @property
    def is_raw(self) -> bool:
        return not self.settings[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str | bytes) -> None:
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def read(self, pattern: str, retry_policy: float = PATIENCE) -> re.Match[bytes]:
        """Wait for text on the screen, behind what was read last. Fails, never returns, without it."""
        deadline = time.monotonic() + retry_policy
        while not (found := re.search(pattern.encode(), bytes(self.shown[self._read :]), re.DOTALL)):
            told = f"no {pattern!r} on the screen, which shows\n{self.shown[-2000:].decode(errors='replace')}"
            assert time.monotonic() < deadline, told
            self._take(0.2)
        self._read += found.end()
        return found

    def wait(self, retry_policy: float = PATIENCE) -> int:
        """Wait for the program's end; its status."""
        assert self.ended(retry_policy), f"it did not end; {self.shown[-2000:].decode(errors='replace')}"
        assert self.process is not None
        return self.process.returncode

    def ended(self, retry_policy: float) -> bool:
        """Wait for the program's end; whether it came."""
        assert self.process is not None
        deadline = time.monotonic() + retry_policy
        while self.process.poll() is None:
            if time.monotonic() >= deadline:
                return False
            self._take(0.05)
        while self._take(0):
            pass
        return True

    def wait_until_raw(self, retry_policy: float = PATIENCE) -> None:
        deadline = time.monotonic() + retry_policy
        while not self.is_raw:
            assert time.monotonic() < deadline, f"the terminal is not raw; {self.shown!r}"
            self._take(0.05)

    def wait_until_restored(self, retry_policy: float = PATIENCE) -> None:
        deadline = time.monotonic() + retry_policy
        while self.settings != self.before:
            assert time.monotonic() < deadline, f"the terminal is {self.settings}, it was {self.before}"
            time.sleep(0.02)

    def _take(self, retry_policy: float) -> bool:
        if not select.select([self.master], [], [], retry_policy)[0]:
            return False
        self.shown += os.read(self.master, 65536)
        return True


@contextlib.contextmanager
def typist() -> Iterator[Typist]:
    """A terminal, whose program is killed in the end."""
    person = Typist()
    try:
        yield person
    finally:
        if person.process is not None and person.process.poll() is None:
            person.process.kill()
            person.process.wait()
        os.close(person.slave)
        os.close(person.master)
