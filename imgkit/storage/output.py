"""Where a plan goes: into the image, into a new file here or elsewhere, or down a pipe.

Only here is it decided how output is written.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.errors import OutputError
from imgkit.remote.url import Url
from imgkit.storage import commit, durable, patchfile
from imgkit.storage.copy import no_progress
from imgkit.storage.host import HostFile, real_path
from imgkit.storage.result import Result
from imgkit.storage.syscalls import rename_without_clobber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        if destination.path.exists() or destination.path.is_symlink():
            _check_replaceable(source, destination)
    if not directory.is_dir():
        raise OutputError(f"{directory}: no such directory", hint="Make it first, or name another output.")
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
    temporary name while the `with` block makes the plan. With `undo`, an undo file is written; it must not exist.
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
    if not target.parent.is_dir():
        raise OutputError(f"{target.parent}: no such directory", hint="Make it first, or name another output.")
    if target.exists() and not target.is_file():
        raise OutputError(f"{target}: is no regular file and cannot be replaced", hint="Use -o - to write to a pipe.")
    with temporary_file(target) as (fd, temporary), _translated(target):
        durable.write_all(fd, data, 0)
        os.fchmod(fd, 0o666 & ~_umask())
        os.fsync(fd)
        if destination.force:
            temporary.replace(target)
        else:
            rename_without_clobber(temporary, target)
        durable.sync_directory(target.parent)


def _umask() -> int:
    """The process's mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _not_in_place(source: Address) -> OutputError:
    return OutputError(f"{source}: cannot be edited in place", hint="Write a new file instead: -o OUT.")


def _check_replaceable(source: Address, destination: NewFile) -> None:
    target = destination.path
    if not isinstance(source, Url) and target.exists() and target.samefile(source):
        raise OutputError(f"{target}: output is the input", hint="Use --in-place to edit the image itself.")
    if not destination.force:
        raise OutputError(f"{target}: exists", hint="Name another output, or use --force to replace it.")
    if not target.is_file():
        raise OutputError(f"{target}: is no regular file and cannot be replaced", hint="Use -o - to write to a pipe.")


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
            record = patchfile.PatchFile(plan, destination.url.name, mtime_ns)
            durable.create(undo, patchfile.serialise(record), made)

    try:
        open_place(destination.url).put(
            Result(host, plan),
            ready=ready,
            force=destination.force,
            progress=progress,
            begun=UploadNote(destination.begun),
        )
    except BaseException:
        for path in made:
            path.unlink()
        raise


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
    with _translated(target):
        copied()
        os.ftruncate(fd, plan.size_after)
        for patch in plan.patches:
            durable.write_all(fd, patch.after, patch.offset)
        os.fchmod(fd, host.mode)
        os.utime(fd, ns=(mtime_ns, mtime_ns))
        os.fsync(fd)
        host.check_unchanged()
        made: list[Path] = []
        if undo is not None:
            record = patchfile.PatchFile(plan, target.name, mtime_ns)
            durable.create(undo, patchfile.serialise(record), made)
        try:
            if destination.force:
                temporary.replace(target)
            else:
                rename_without_clobber(temporary, target)
        except BaseException:
            for path in made:
                path.unlink()
            raise
        durable.sync_directory(target.parent)


def _write_stream(host: ImageFile, fd: int, progress: Progress, plan: PatchPlan) -> None:
    def watched(done: int, _total: int) -> None:
        progress(done, plan.size_after)

    position = 0
    try:
        for patch in plan.patches:
            _send_unchanged(host, fd, position, patch.offset, watched)
            _write_pipe(fd, patch.after)
            position = patch.offset + len(patch.after)
        _send_unchanged(host, fd, position, plan.size_after, watched)
        progress(plan.size_after, plan.size_after)
    except BrokenPipeError as error:
        raise OutputError("the reader of the output went away") from error
    except OSError as error:
        raise OutputError(
            f"standard output cannot be written ({error.strerror})", hint="Name a file instead: -o OUT."
        ) from error


def _send_unchanged(host: ImageFile, fd: int, start: int, stop: int, progress: Progress) -> None:
    inside = min(stop, host.size)
    if start < inside:
        host.send(fd, start, inside, progress)
    _write_pipe(fd, bytes(max(0, stop - max(start, host.size))))


def _write_pipe(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@contextmanager
def temporary_file(target: Path) -> Iterator[tuple[int, Path]]:
    """A new file beside `target`, open for reading and writing; gone afterwards unless it was renamed.

    It is locked while its process lives, so that the next run knows which ones a kill has left behind.
    """
    prefix = f".{target.name}.imgkit-new-"
    temporary = target.with_name(prefix + os.urandom(8).hex())  # secrets takes 5 ms to import
    fd = None
    try:  # around the opening too: a signal may come as soon as the file is there
        with _translated(target):
            _remove_abandoned(target.parent, prefix)
            fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd, temporary
    finally:
        temporary.unlink(missing_ok=True)
        if fd is not None:
            os.close(fd)


def _remove_abandoned(directory: Path, prefix: str) -> None:
    with os.scandir(directory) as entries:
        abandoned = [entry.path for entry in entries if entry.name.startswith(prefix) and entry.is_file()]
    for path in abandoned:
        with suppress(OSError):  # somebody else's, or gone meanwhile
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                Path(path).unlink()
            finally:
                os.close(fd)


@contextmanager
def _translated(target: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise OutputError(f"{target}: exists", hint="Name another output, or use --force to replace it.") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise OutputError(
            f"{target}: {'no space left' if full else 'cannot be written'} ({error.strerror})",
            hint="Free some space there, or name an output on another disk." if full else None,
        ) from error
