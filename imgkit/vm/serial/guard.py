"""A process that puts a terminal back when the one that made it raw is gone, however it went: SIGKILL runs no code.

Run by path, as it starts in a few milliseconds that way: `python -I -S guard.py FD`. FD is the terminal. Standard input
brings one line of JSON, the terminal's settings before and while it is raw, and ends with its writer. Settings that
are not the raw ones any more were changed by somebody who came after, as a shell does, and are left alone.
"""

from __future__ import annotations

import json
import sys
import termios

_FLAGS = slice(0, 4)  # input, output, control and local flags of termios


def main() -> None:
    """Wait for the end of standard input, and put the terminal back."""
    terminal = int(sys.argv[1])
    before, raw = json.loads(sys.stdin.readline())
    sys.stdin.read()
    try:
        if termios.tcgetattr(terminal)[_FLAGS] == raw[_FLAGS]:
            termios.tcsetattr(terminal, termios.TCSANOW, before)
    except termios.error:
        return  # the terminal is gone too


if __name__ == "__main__":
    main()
