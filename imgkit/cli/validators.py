"""The distributions' own validators of answer files, where they are installed on this machine."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from imgkit.errors import UsageError
from imgkit.installers import AnswerKind

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE = 60  # seconds
_SHOWN = 400
_VALIDATORS = {
    AnswerKind.PRESEED: ("debconf-set-selections", "-c"),
    AnswerKind.KICKSTART: ("ksvalidator",),
    AnswerKind.AUTOYAST: ("xmllint", "--noout", "--nonet"),
    AnswerKind.AUTOINSTALL: ("cloud-init", "schema", "--config-file"),
}


def validate(kind: AnswerKind, path: Path) -> str:
    """Have the file checked; a sentence on what came of it. Raises UsageError where the validator refuses it."""
    program, *options = _VALIDATORS.get(kind, ("",))
    if not program or shutil.which(program) is None:
        return f"{path}: not checked: {program or 'a validator'} is not installed"
    try:
        done = subprocess.run(
            [program, *options, path.absolute()], capture_output=True, text=True, check=False, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{path}: not checked: {program} did not run ({error})"
    told = " ".join((done.stderr or done.stdout).split())[:_SHOWN]
    if done.returncode != 0 or "error:" in done.stderr:
        raise UsageError(f"{path}: {program} rejects it: {told}", hint="Correct the file, or omit --check.")
    return f"{path}: {program} accepts it"
