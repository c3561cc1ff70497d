"""The command itself, as a user's shell starts it, and what it must not do when it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

# Settings of the user's that change what imgkit does; a test sets those that it is about.
_PERSONAL = ("EDITOR", "VISUAL", "NO_COLOR", "SOURCE_DATE_EPOCH", "COLUMNS")


@dataclass(frozen=True)
class Run:
    """What came of a command."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.stdout)


def script() -> Path:
    """The installed command."""
    path = Path(sys.executable).with_name("imgkit")
    assert path.exists(), "imgkit is not installed beside the Python that runs the tests"
    return path


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _PERSONAL}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1"} | settings


def imgkit(
    *words: str | Path,
    stdin: bytes = b"",
    stdout: int | IO[bytes] = subprocess.PIPE,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    through: Sequence[str] = (),
    command: Path | None = None,
    timeout: float = 120,
) -> Run:
    """Run imgkit; `through` is a program that starts it, `command` another installation of it.

    `timeout` is in seconds; what takes longer is killed.
    """
    done = subprocess.run(
        [*through, str(command or script()), *map(str, words)],
        input=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment(**(env or {})),
        cwd=cwd,
        check=False,
        timeout=timeout,
    )
    return Run(done.returncode, done.stdout or b"", done.stderr.decode())


def snapshot(folder: Path) -> dict[str, str]:
    """Every name below a folder, with what tells whether it is still the same."""
    return {str(path.relative_to(folder)): _identity(path) for path in sorted(folder.rglob("*"))}


def _identity(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return "directory" if path.is_dir() else "special"


def assert_refused(folder: Path, *words: str | Path, status: int, says: str, hint: str = "", **options: Any) -> Run:
    """The command fails with this status, one message and the way out on stderr; nothing in `folder` changes."""
    before = snapshot(folder)
    done = imgkit(*words, **options)
    told = f"status {done.status}: {done.stderr}"
    assert "Traceback" not in done.stderr, told
    assert done.status == status, told
    assert done.stdout == b""
    message, *more = [line for line in done.stderr.splitlines() if line]
    assert message.startswith("imgkit: error: "), told
    assert says in message, told
    assert all(line.startswith("  ") for line in more), told
    assert hint in " ".join(more), told
    assert bool(hint) == bool(more), told
    assert snapshot(folder) == before
    return done
