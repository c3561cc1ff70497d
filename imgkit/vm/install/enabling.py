"""Serial consoles for what machines start from, where they lack one: a disk is edited in place, an ISO copied.

A disk keeps an undo file beside it; the copy of an ISO is in the user's cache, named by what it was made from.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import imgkit
from imgkit.configtext.serial import default_console
from imgkit.console.contents import architecture, status
from imgkit.console.enabling import console_status, enable_console
from imgkit.console.judge import judge
from imgkit.editing import ImageSource, clock, open_file, opened
from imgkit.errors import ConfigError, EngineError, GuestError, OutputError, UnclassifiedImageError, UnsupportedError
from imgkit.iso.medium import find_medium
from imgkit.storage import commit
from imgkit.storage.copy import no_progress
from imgkit.storage.output import InPlace, NewFile
from imgkit.vm.install.storage import check_room

if TYPE_CHECKING:
    from contextlib import ExitStack

    from imgkit.console.judge import Judgement
    from imgkit.storage.copy import Progress

_AS_IT_IS = "--no-enable starts it as it is."


@dataclass(frozen=True, slots=True)
class EnabledDisk:
    """A disk whose console was enabled, how far, and the file with which `imgkit undo` takes that back."""

    path: Path
    undo: Path
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class EnabledIso:
    """An ISO to start from, which has a console, and how it differs from the one that was given.

    `path` is that one itself, or a copy; `judgement` is that of the copy, None where the ISO was enabled.
    """

    path: Path
    judgement: Judgement | None = None


def has_console(image: Path) -> bool:
    """Whether the serial console of what is on a disk or an ISO is enabled, on the port that a machine of ours has.

    Raises UnsupportedError where that cannot be told, and what opening the image raises.
    """
    try:
        with opened(ImageSource(image)) as (_, contents):
            found = status(contents, None)
            return found.enabled and found.console.port == default_console(architecture(contents)).port
    except (ConfigError, EngineError, GuestError, UnsupportedError) as error:
        raise _not_understood(image, error) from error


def enable_disk(image: Path, undo: ExitStack) -> EnabledDisk | None:
    """Enable the serial console in a disk, in place; None where it was enabled. `undo` takes it back.

    Raises UnsupportedError where the disk is not understood, InUseError where it is in use, OutputError where it may
    not be written.
    """
    record = _free_name(image)
    try:
        enabled = enable_console(image, InPlace(), console=default_console, undo=record)
    except (ConfigError, EngineError, GuestError, UnsupportedError) as error:
        raise _not_understood(image, error) from error
    if not enabled.changes:
        return None

    def take_back() -> None:
        commit.undo(image, record, mtime_ns=clock())
        record.unlink()

    undo.callback(take_back)
    return EnabledDisk(image, record, enabled.judgement)


def enabled_iso(image: Path, progress: Progress = no_progress, *, dry_run: bool = False) -> EnabledIso:
    """The ISO itself if its serial console is enabled, else a copy in the user's cache with an enabled one.

    With `dry_run` the copy is not made, and its path is where it would be.

    Raises UnclassifiedImageError for what is not an ISO, UnsupportedError where its installer is not understood,
    OutputError where the cache cannot be written.
    """
    with open_file(ImageSource(image)) as opened_image:
        if find_medium(opened_image, now=0) is None:
            raise UnclassifiedImageError(f"{image}: is not an ISO", hint="Start from a disk with --import.")
    if has_console(image):
        return EnabledIso(image)
    copy = _cache() / f"{_digest(image)}.iso"
    if dry_run and not copy.exists():
        return EnabledIso(copy)
    if copy.exists():
        return EnabledIso(copy, judge(console_status(copy, default_console)))
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{copy.parent}: cannot be made ({error.strerror})", hint="Set XDG_CACHE_HOME.") from error
    check_room(copy, image.stat().st_size)
    try:
        enabled = enable_console(
            image,
            NewFile(copy, force=True),
            console=default_console,
            progress=progress,
        )
    except (ConfigError, GuestError, UnsupportedError) as error:
        raise _not_understood(image, error) from error
    return EnabledIso(copy, enabled.judgement)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imgkit" / "iso"


def _digest(image: Path) -> str:
    """What the copy depends on: the bytes of the ISO, and this version."""
    with image.open("rb", buffering=0) as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(imgkit.__version__.encode())
    return digest.hexdigest()


def _free_name(image: Path) -> Path:
    number = 0
    while True:
        path = image.with_name(f"{image.name}.undo{number or ''}")
        if not path.exists():
            return path
        number += 1


def _not_understood(image: Path, error: Exception) -> UnsupportedError:
    return UnsupportedError(f"{image}: its serial console cannot be enabled: {error}", hint=_AS_IT_IS)
