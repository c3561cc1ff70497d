"""The user's editor on a temporary copy of a file's contents."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path, PurePosixPath

from imgkit.errors import UsageError

_SET_EDITOR = "Set EDITOR, such as EDITOR=nano."


def edit_bytes(before: bytes, path: str) -> bytes:
    """What the user makes of `before`. The copy bears the file's name, by which editors choose their mode."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        command = shlex.split(editor)
    except ValueError as error:
        raise UsageError(f"the editor command {editor!r} cannot be parsed ({error})", hint=_SET_EDITOR) from error
    if not command or not shutil.which(command[0]):  # exec's own answer depends on which folders of PATH may be read
        raise UsageError(f"editor {editor!r} cannot be started (no such command)", hint=_SET_EDITOR)
    with tempfile.TemporaryDirectory(prefix="imgkit-") as folder:
        copy = Path(folder) / (PurePosixPath(path).name or "file")
        copy.write_bytes(before)
        try:
            status = subprocess.run([*command, str(copy)], check=False).returncode
        except OSError as error:
            raise UsageError(f"editor {editor!r} cannot be started ({error.strerror})", hint=_SET_EDITOR) from error
        if status:
            raise UsageError(f"the editor {editor!r} exited with status {status}; nothing was changed")
        return copy.read_bytes()
