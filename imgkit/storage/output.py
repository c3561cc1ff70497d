"""Where a plan goes: into the image, into a new file here or elsewhere, or down a pipe.

Only here is it decided how output is written.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imgkit.errors import OutputError
from imgkit.remote.url import Url
from imgkit.storage import commit, durable
from imgkit.storage.copy import no_progress
from imgkit.storage.host import HostFile, real_path
from imgkit.storage.patchfile import PatchFile
from imgkit.storage.result import Result
from imgkit.storage.signals import uninterrupted
from imgkit.storage.syscalls import rename_without_clobber
from imgkit.storage.temporary import temporary_file, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imgkit.remote.url import Address
    from imgkit.storage.copy import Progress
    from imgkit.storage.host import ImageFile
    from imgkit.storage.overlay import PatchPlan


@dataclass(frozen=True, slots=True)
class InPlace:
    """Commit to the image itself, atomically."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """Write a new file; `force` lets it replace one that exists."""

    path: Path
    force: bool = False


@dataclass(frozen=True, slots=True)
class NewObject:
    """Write a new image elsewhere, by URL; `force` lets it replace one that exists.

    `begun` is a local file that notes, while it is written, what a kill would leave there (see `Place.clear_away`).
    """

    url: Url
    force: bool = False
    begun: Path | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """Send the new image to a descriptor, such as standard output."""

    fd: int


Destination = InPlace | NewFile | NewObject | Stream


def new_image(address: Address, *, force: bool = False) -> NewFile | NewObject:
    """A new image at a path or a URL."""
    return NewObject(address, force=force) if isinstance(address, Url) else NewFile(address, force=force)


def check_destination(source: Address, destination: Destination) -> None:
    """Raise OutputError for what is already known to fail, before any work is done."""
    if isinstance(destination, Stream):
        if os.isatty(destination.fd):
            raise OutputError("refusing to write an image to a terminal", hint="Redirect it: -o - > OUT.")
        return
    if isinstance(destination, NewObject):
        _check_object(source, destination)
        return
    if isinstance(destination, InPlace):
        if isinstance(source, Url):
            raise _not_in_place(source)
        directory = real_path(source).parent
    else:
        directory = destination.path.parent
        if (status := _status(destination.path)) is not None:
            _check_replaceable(source, destination, status)
    _check_directory(directory)
    if not os.access(directory, os.W_OK):
        raise OutputError(
            f"{directory}: directory is read-only",
            hint="Write to another directory with -o OUT." if isinstance(destination, InPlace) else None,
        )


@contextmanager
def delivery(
    host: ImageFile,
    destination: Destination,
    *,
    mtime_ns: int,
    undo: Path | None = None,
    progress: Progress = no_progress,
) -> Iterator[Callable[[PatchPlan], None]]:
    """Get ready to write to `destination`; the value carries out a plan there, once or not at all.

    Every way out gives the same bytes. A new file is complete under its name or not there at all: it is copied under a
    temporary name while the `with` block makes the plan. With `undo`, an undo file is written; see `commit.leave_undo`.
    """
    match destination:
        case InPlace():
            if not isinstance(host, HostFile):
                raise _not_in_place(host.path)
            yield partial(commit.commit, host, mtime_ns=mtime_ns, undo=undo)
        case NewFile(path):
            with temporary_file(path) as (fd, temporary), host.copying_to(fd, progress) as copied:
                yield partial(_finish_new_file, host, destination, mtime_ns, undo, fd, temporary, copied)
        case NewObject():
            yield partial(_put_object, host, destination, mtime_ns, undo, progress)
        case Stream(fd):
            yield partial(_write_stream, host, fd, progress)


def deliver(
    host: ImageFile,
    plan: PatchPlan,
    destination: Destination,
    *,
    mtime_ns: int,
    undo: Path | None = None,
    progress: Progress = no_progress,
) -> None:
    """Carry out a plan that is made already, as `delivery` does."""
    with delivery(host, destination, mtime_ns=mtime_ns, undo=undo, progress=progress) as carry_out:
        carry_out(plan)


def write_new_file(destination: NewFile, data: bytes) -> None:
    """Write a small file that is no image in the same way: whole under its name, or not there at all.

    Raises OutputError.
    """
    target = destination.path
    _check_directory(target.parent)
    status = _status(target)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise _not_replaceable(target)
    with temporary_file(target) as (fd, temporary), translated(target):
        durable.write_all(fd, data, 0)
        durable.set_mode(fd, 0o666 & ~umask())
        os.fsync(fd)
        if destination.force:
            temporary.replace(target)
        else:
            rename_without_clobber(temporary, target)
        durable.sync_directory(target.parent)


def umask() -> int:
    """The process's mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _not_in_place(source: Address) -> OutputError:
    return OutputError(f"{source}: cannot be edited in place", hint="Write a new file instead: -o OUT.")


def _check_replaceable(source: Address, destination: NewFile, status: os.stat_result) -> None:
    target = destination.path
    with suppress(OSError):  # a dangling link; a source that is not there is told of when it is opened
        if not isinstance(source, Url) and target.samefile(source):
            raise OutputError(f"{target}: output is the input", hint="Use --in-place to edit the image itself.")
    if not destination.force:
        raise OutputError(f"{target}: exists", hint="Name another output, or use --force to replace it.")
    if not stat.S_ISREG(status.st_mode):
        raise _not_replaceable(target)


def _not_replaceable(target: Path) -> OutputError:
    return OutputError(f"{target}: is not a regular file and cannot be replaced", hint="Use -o - to write to a pipe.")


def _status(target: Path) -> os.stat_result | None:
    """What is at a path: a file, a dangling link itself, or nothing. Raises OutputError where that cannot be told."""
    try:
        with suppress(FileNotFoundError):
            return target.stat()
        with suppress(FileNotFoundError):
            return target.lstat()
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{target}: cannot be written ({_why(error)})",
            hint="Choose an output in a directory that you can write to: -o OUT.",
        ) from error
    return None


def _check_directory(directory: Path) -> None:
    try:
        status = directory.stat()
    except FileNotFoundError as error:
        raise OutputError(f"{directory}: no such directory", hint="Create it first, or name another output.") from error
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{directory}: cannot be entered ({_why(error)})",
            hint="Choose an output in a directory that you can write to: -o OUT.",
        ) from error
    if stat.S_ISDIR(status.st_mode) and not os.access(directory, os.X_OK):
        raise OutputError(
            f"{directory}: cannot be entered (Permission denied)",
            hint="Choose an output in a directory that you can write to: -o OUT.",
        )
    if not stat.S_ISDIR(status.st_mode):
        raise OutputError(f"{directory}: is not a directory", hint="Name another output.")


def _why(error: OSError | ValueError) -> str:
    return error.strerror or "" if isinstance(error, OSError) else "the name contains a NUL byte"


def _check_object(source: Address, destination: NewObject) -> None:
    from imgkit.remote.place import exists, open_place  # noqa: PLC0415 - few images go elsewhere

    if isinstance(source, Url) and str(source) == str(destination.url):
        raise OutputError(f"{source}: output is the input", hint="Name another output.")
    place = open_place(destination.url)
    place.check()
    if not destination.force and place.identity() is not None:
        raise exists(destination.url)


def _put_object(
    host: ImageFile, destination: NewObject, mtime_ns: int, undo: Path | None, progress: Progress, plan: PatchPlan
) -> None:
    from imgkit.remote.begun import UploadNote  # noqa: PLC0415 - few images go elsewhere
    from imgkit.remote.place import open_place  # noqa: PLC0415 - as above

    made: list[Path] = []

    def ready() -> None:
        host.check_unchanged()
        if undo is not None:
            commit.leave_undo(undo, PatchFile(plan, destination.url.name, mtime_ns), host, made)

    try:
        open_place(destination.url).put(
            Result(host, plan),
            ready=ready,
            force=destination.force,
            progress=progress,
            begun=UploadNote(destination.begun),
        )
    except BaseException:
        _remove(made)
        raise


def _remove(made: list[Path]) -> None:
    for path in made:
        with suppress(OSError):  # what stays is recognised by the next run
            path.unlink()


def _finish_new_file(
    host: ImageFile,
    destination: NewFile,
    mtime_ns: int,
    undo: Path | None,
    fd: int,
    temporary: Path,
    copied: Callable[[], None],
    plan: PatchPlan,
) -> None:
    target = destination.path
    with translated(target):
        copied()
        durable.write_plan(fd, plan)
        durable.set_mode(fd, host.mode)
        durable.set_time(fd, mtime_ns)
        os.fsync(fd)
        host.check_unchanged()
        made: list[Path] = []
        with uninterrupted(f"{target} is written"):
            try:
                if undo is not None:
                    commit.leave_undo(undo, PatchFile(plan, target.name, mtime_ns), host, made)
                if destination.force:
                    temporary.replace(target)
                else:
                    rename_without_clobber(temporary, target)
            except BaseException:
                _remove(made)
                raise
            durable.sync_directory(target.parent)


def _write_stream(host: ImageFile, fd: int, progress: Progress, plan: PatchPlan) -> None:
    try:
        Result(host, plan).send(fd, 0, plan.size_after, progress)
    except BrokenPipeError as error:
        raise OutputError(
            "the reader of standard output closed it; the image that it received is incomplete"
        ) from error
    except OSError as error:
        raise OutputError(
            f"standard output cannot be written ({error.strerror}); the image there is incomplete",
            hint="Name a file instead: -o OUT.",
        ) from error
    except BaseException as stop:
        stop.add_note("the image on standard output is incomplete")
        raise
