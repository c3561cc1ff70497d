"""A process that ends the kernel when the process that started it is gone, however it went: SIGKILL runs no code.

Run by path, as it starts in a few milliseconds that way: `python -I -S warden.py`. Standard input names the folder of
the kernel's files, with a NUL behind it, then the kernel's process identifier, and ends with its writer. The kernel is
several processes in a group of their own. Whoever ends in order has done all this before, and leaves nothing to do.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

_PATIENCE = 500  # looks at a kernel that was killed, a hundredth of a second apart


def main() -> None:
    """Wait for the end of standard input, and clear away."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # what ends our process by a whole group has us work still
    folder, _, kernel = sys.stdin.buffer.read().partition(b"\0")
    with suppress(OSError, ValueError):
        _kill(int(kernel), folder)
    shutil.rmtree(folder, ignore_errors=True)


def _kill(kernel: int, folder: bytes) -> None:
    """Kill the group of a kernel, if the identifier is still the kernel's."""
    if folder not in Path(f"/proc/{kernel}/environ").read_bytes():
        return
    os.killpg(kernel, signal.SIGKILL)
    for _ in range(_PATIENCE):
        os.killpg(kernel, 0)  # raises when all are gone
        time.sleep(0.01)


if __name__ == "__main__":
    main()
