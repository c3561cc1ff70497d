"""The last net: what is said where imgkit itself is at fault."""

from __future__ import annotations

import os
import platform
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from imgkit.errors import ImgkitError

_PACKAGE = Path(__file__).parents[1]
_DEEPEST = 8  # frames that are named


def translated(error: OSError) -> ImgkitError | None:
    """What the operating system's refusal is, if it names a file or standard output takes no more."""
    from imgkit.cli.render import standard_output_failed
    from imgkit.errors import OutputError
    from imgkit.storage.host import no_such_file

    if error.filename is not None:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
        if isinstance(error, FileNotFoundError):
            return no_such_file(Path(name))
        return OutputError(f"{name}: {error.strerror}", hint=f"Look at `ls -ld {name}`, and at the folders above it.")
    if any(frame.name == "echo" for frame in traceback.extract_tb(error.__traceback__)):  # Typer's, for help
        return standard_output_failed(error)
    return None


def report_bug(error: Exception, status: int, *, as_json: bool) -> None:
    """Say that an exception that nobody expected ended the command, and what to put in a report."""
    from imgkit import __version__
    from imgkit.cli.render import print_json
    from imgkit.visible import visible_line

    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    where = _frames(error.__traceback__)
    versions = f"imgkit {__version__}, Python {platform.python_version()}, {platform.platform()}"
    hint = (
        "Please report it, with these lines and the image if you can share it. If an edit in place had started, "
        "`imgkit recover IMAGE` finishes it; all other images are unchanged."
    )
    if as_json:
        content = {"error": "Bug", "status": status, "message": what, "hint": hint}
        print_json("error", 1, content | {"details": {"frames": where, "versions": versions}})
        return
    frames = visible_line(" < ".join(where))
    sys.stderr.write(f"imgkit bug: {visible_line(what)}\n  at {frames}\n  {versions}\n  {hint}\n")


def _frames(trace: TracebackType | None) -> list[str]:
    """The places in the code, innermost first: `storage/host.py:120 read_at`."""
    frames = traceback.extract_tb(trace)[-_DEEPEST:]
    return [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames)]


def _short(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(_PACKAGE)) if path.is_relative_to(_PACKAGE) else path.name
