"""A process that clears away what an embedded libvirt leaves when its process was killed: SIGKILL runs no code.

Run by path, as it starts in a few milliseconds that way: `python -I -S sweeper.py`. Standard input names folders, each
with a NUL behind it, and ends with its writer. Machines whose process identifiers libvirt has noted in one of them are
killed, and the folders removed; a process that ended in order has done both before.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

_PATIENCE = 50  # looks at a machine that was killed, a tenth of a second apart


def main() -> None:
    """Wait for the end of standard input, and clear away."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # what ends our process by a whole group has us work still
    folders = [Path(os.fsdecode(name)) for name in sys.stdin.buffer.read().split(b"\0")[:-1]]
    for folder in folders:
        for noted in folder.glob("run/qemu/*.pid"):
            _kill(noted, folder)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _kill(noted: Path, folder: Path) -> None:
    """Kill the machine of a file with its process identifier, if that is still the machine's."""
    with suppress(OSError, ValueError):
        process = int(noted.read_text())
        if os.fsencode(folder) not in Path(f"/proc/{process}/cmdline").read_bytes():
            return
        os.kill(process, signal.SIGKILL)
        for _ in range(_PATIENCE):
            os.kill(process, 0)  # raises when it is gone
            time.sleep(0.1)


if __name__ == "__main__":
    main()
