"""imgkit run as a process of its own whose memory is measured and whose processor time is limited.

What an image claims costs nothing: a bomb is answered or refused with less than 128 MB. The limit of the time is far
above the two seconds that it may take, so that a slow machine fails no test; what has no bound meets it all the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 20
_MEGABYTES = 128

# The command, which tells at its end how much memory it and its children had. What wait4(2) says of a process includes
# what it was before it became this program: a copy of the one that runs the tests.
_PROGRAM = f"""
import atexit, os, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, ({_SECONDS}, {_SECONDS}))
def tell(report=int(sys.argv.pop(1)), pid=os.getpid()):
    if os.getpid() == pid:
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        own = int(STATUS.read().partition("VmHWM:")[2].split()[0])
        os.write(report, str(max(children, own)).encode())
STATUS = open("/proc/self/status")  # read at the end, when nothing can be opened any more
atexit.register(tell)
from imgkit.cli.main import main
main()
"""


@dataclass
class Run:
    """How a command ended: its exit status, what it said, and the most memory that it had, in MB."""

    status: int
    output: str
    errors: str
    memory: int


def imgkit(*arguments: str | Path) -> Run:
    """Run a command; it has to end by itself within the bounds, without a traceback."""
    reading, writing = os.pipe()
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(writing), *map(str, arguments)],
        pass_fds=[writing],
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(writing)
    with os.fdopen(reading) as report:
        run = Run(ran.returncode, ran.stdout, ran.stderr, int(report.read() or 0) // 1024)
    assert run.status >= 0, f"ended by signal {-run.status}: {run}"
    assert "SIGKILL" not in run.errors, run
    assert "Traceback" not in run.errors, run.errors
    assert 0 < run.memory < _MEGABYTES, run
    return run
