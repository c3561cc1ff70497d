"""imgkit run as a process of its own whose memory is measured and whose processor time is limited.

What an image claims costs nothing: a bomb is answered or refused with less than 128 MB. The limit of the time is far
above the two seconds that it may take, so that a slow machine fails no test; what has no bound meets it all the same.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 20
_MEGABYTES = 128


@dataclass
class Run:
    """How a command ended: its exit status, what it said, and the most memory that it had, in MB."""

    status: int
    output: str
    errors: str
    memory: int


def imgkit(*arguments: str | Path) -> Run:
    """Run a command; it has to end by itself within the bounds, without a traceback."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))  # noqa: E731
    process = subprocess.Popen(
        [sys.executable, "-m", "imgkit", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=limit,  # noqa: PLW1509 - the tests start no threads
    )
    output, errors = process.stdout.read(), process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    run = Run(process.returncode, output.decode(), errors.decode(), used.ru_maxrss // 1024)
    assert run.status >= 0, f"ended by signal {-run.status}: {run}"
    assert "Traceback" not in run.errors, run.errors
    assert run.memory < _MEGABYTES, run
    return run
