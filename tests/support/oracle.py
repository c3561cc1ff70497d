"""Reference tools as oracles. A missing oracle fails the test that needs it; it never skips."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

_SYSTEM_PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@functools.cache
def find(tool: str) -> str:
    """Path of a reference tool, also of those in /sbin, which a user's PATH may lack."""
    path = shutil.which(tool) or shutil.which(tool, path=_SYSTEM_PATHS)
    assert path is not None, f"oracle {tool} is missing; `make test` installs it"
    return path


def run(
    tool: str, *args: str | Path, check: bool = True, text_in: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a reference tool, output captured as text. With `check`, a status other than 0 fails with its output."""
    done = subprocess.run(
        [find(tool), *map(str, args)], capture_output=True, text=True, input=text_in, check=False, errors="replace"
    )
    if check:
        assert done.returncode == 0, f"{tool} {' '.join(map(str, args))}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done
