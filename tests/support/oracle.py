"""Reference tools as oracles. A missing oracle fails the test that needs it; only the quick lane skips (`lane`).

Debian keeps many of them in /usr/sbin, which is not in the PATH of an ordinary user's login shell.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

from tests.support import lane

_SYSTEM_PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def search_path() -> str:
    """The user's PATH, and behind it every folder where Debian puts tools."""
    return os.pathsep.join(filter(None, (os.environ.get("PATH"), _SYSTEM_PATHS)))


@functools.cache
def find(tool: str) -> str:
    """Path of a reference tool."""
    path = shutil.which(tool, path=search_path())
    lane.need(path, f"the tool {tool}", "`make test` installs it")
    assert path is not None
    return path


def run(
    tool: str, *args: str | Path, check: bool = True, text_in: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a reference tool, output captured as text. With `check`, a status other than 0 fails with its output.

    What the tool runs itself (`env`, `sh -c`) is looked for in the same places.
    """
    done = subprocess.run(
        [find(tool), *map(str, args)],
        capture_output=True,
        text=True,
        input=text_in,
        check=False,
        errors="replace",
        env=os.environ | {"PATH": search_path()},
    )
    if check:
        assert done.returncode == 0, f"{tool} {' '.join(map(str, args))}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done
