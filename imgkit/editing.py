"""Open, stage, plan, commit: the one flow of every edit, whatever makes it."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from imgkit.confining import confine_reading, confined_commit
from imgkit.errors import NoRootError, UnclassifiedImageError, UnsupportedError, UsageError, in_image
from imgkit.formats.image import open_image
from imgkit.guest.engines.choice import EngineChoice
from imgkit.iso.medium import find_medium
from imgkit.remote.url import Url, parse_address
from imgkit.storage.copy import no_progress
from imgkit.storage.host import HostFile
from imgkit.storage.output import InPlace, NewFile, NewObject, Stream, check_destination, delivery, new_image
from imgkit.tree import Change, apply_changes, replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from imgkit.confinement import Confinement
    from imgkit.formats.image import Format, Image
    from imgkit.guest.engines import Shared
    from imgkit.guest.session import Guest
    from imgkit.iso.medium import IsoImage
    from imgkit.remote.url import Address
    from imgkit.storage.copy import Progress
    from imgkit.storage.output import Destination
    from imgkit.storage.overlay import PatchPlan


_LAST_SECOND = 0xFFFFFFFF  # 2106-02-07; FAT and ISO 9660 cannot hold much later times

SourceLike: TypeAlias = "ImageSource | Address | str"
"""An image to open: its path or URL, or an `ImageSource`, which says how to open it."""

Contents: TypeAlias = "Guest | IsoImage"
"""What an image holds: an installed system, or the files of an ISO. Either has a tree, notices, and `finish`."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image and how to open it; the defaults are right for nearly all.

    `allow` names files outside the image's folder that it may refer to, `root` chooses among several systems, `keys`
    open LUKS volumes. `on_appliance` is told, with the reason, before an appliance is started; `shared` serves
    several images in turn. `on_download` follows the download of an image whose server
    cannot send parts of it. `on_pending` is told of an edit that was interrupted, where the image is only read.
    `confinement` is for processes that have nothing else to do: see `imgkit.confining`.
    """

    path: Address
    image_format: Format | None = None
    allow: tuple[Path, ...] = ()
    engine: EngineChoice = EngineChoice.AUTO
    root: str | None = None
    keys: tuple[str, ...] = ()
    on_appliance: Callable[[str], None] | None = None
    shared: Shared | None = None
    on_download: Progress = no_progress
    on_pending: Callable[[str], None] | None = None
    confinement: Confinement | None = None


@dataclass(frozen=True, slots=True)
class Edited:
    """What an edit came to. `changes` is empty where all was already as wished, and then nothing was written."""

    changes: tuple[Change, ...]
    plan: PatchPlan
    engine: str
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Staged:
    """An edit that is staged and checked, and not committed: the open image, and what will be done to it."""

    image: Image
    contents: Contents
    changes: tuple[Change, ...]
    plan: PatchPlan


def as_source(source: SourceLike) -> ImageSource:
    """The source that an address stands for. Raises UsageError for a URL that is none."""
    if isinstance(source, ImageSource):
        return source
    return ImageSource(parse_address(source) if isinstance(source, str) else source)


def as_destination(destination: Destination | Address | str | None) -> Destination | None:
    """The destination that an address stands for: a new image, which replaces nothing."""
    if not isinstance(destination, str | Path | Url):
        return destination
    address = parse_address(destination) if isinstance(destination, str) else destination
    return new_image(address)


def clock() -> int:
    """The one reading of the clock that stamps an edit, in nanoseconds; SOURCE_DATE_EPOCH where that is set.

    https://reproducible-builds.org/specs/source-date-epoch/
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return time.time_ns()
    try:
        seconds = int(epoch)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= _LAST_SECOND:
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {epoch[:40]!r}, not a number of seconds from 0 to {_LAST_SECOND}",
            hint="Unset it, or set it to seconds since 1970, as `date +%s` prints them.",
        )
    return seconds * 1_000_000_000


@contextmanager
def opened(
    source: ImageSource, *, now_ns: int | None = None, writable: bool = False
) -> Iterator[tuple[Image, Contents]]:
    """The image and what it holds, an ISO's files or an installed system, open for the time of a `with` block."""
    now_ns = clock() if now_ns is None else now_ns
    with (
        in_image(source.path),
        open_file(source, writable=writable) as image,
        open_contents(source, image, now_ns) as contents,
    ):
        confine_reading(source.confinement, image, contents.engine)
        yield image, contents


@contextmanager
def open_file(source: ImageSource, *, writable: bool = False) -> Iterator[Image]:
    """The image alone, whatever it holds, for the time of a `with` block."""
    with open_image(
        source.path,
        writable=writable,
        image_format=source.image_format,
        allow=source.allow,
        progress=source.on_download,
    ) as image:
        if image.pending and source.on_pending is not None:
            source.on_pending(image.pending)
        yield image


@contextmanager
def open_contents(source: ImageSource, image: Image, now_ns: int) -> Iterator[Contents]:
    """What an open image holds, for the time of a `with` block; `now_ns` stamps what is edited."""
    now = now_ns // 1_000_000_000
    medium = find_medium(image, now=now)
    if medium is not None:
        if source.engine is EngineChoice.GUESTFS or source.root or source.keys:
            raise UsageError(
                f"{image.path}: is an ISO, which has no engine, no --root and no keys", hint="Omit these options."
            )
        yield medium
        return
    from imgkit.guest.session import open_guest  # noqa: PLC0415 - ISOs do without

    try:
        with open_guest(
            image,
            now=now,
            engine=source.engine,
            root=source.root,
            keys=source.keys,
            on_appliance=source.on_appliance,
            shared=source.shared,
        ) as guest:
            yield guest
    except NoRootError as error:
        if source.root is not None:
            raise
        raise without_system(image, error) from error


def without_system(image: Image, error: NoRootError) -> NoRootError | UnclassifiedImageError:
    """The error for an image without a system, which says what the image is instead."""
    from imgkit.guest.nosystem import explain  # noqa: PLC0415 - only for an error

    found = explain(image)
    what = f": {found.what}" if found else ""
    hint = found.hint if found and found.hint else error.hint
    if image.path.name.lower().endswith(".iso"):
        return UnclassifiedImageError(
            f"{image.path}: not an ISO, and no installed system found{what}",
            hint=found.hint if found and found.hint else "Download the image again; `file` may identify it.",
        )
    return NoRootError(f"{error.message}{what}", hint=hint)


def edit_image(
    source: SourceLike,
    edit: Callable[[Contents], list[Change]],
    destination: Destination | Address | str | None,
    *,
    undo: Path | None = None,
    progress: Progress = no_progress,
    is_made: bool = False,
) -> Edited:
    """Make the changes that `edit` wants and write the image to `destination`; None writes nothing (a dry run).

    Until everything is staged and checked the image is untouched; after that it is committed atomically. A new file
    is written even where nothing changes; its copy is under way while the changes are made. `is_made` says that `edit`
    has made its changes in the tree itself.

    Raises what opening, editing and writing raise.
    """
    with staged(source, edit, destination, undo=undo, progress=progress, is_made=is_made) as commit:
        return commit()


@contextmanager
def staged(
    source: SourceLike,
    edit: Callable[[Contents], list[Change]],
    destination: Destination | Address | str | None,
    *,
    undo: Path | None = None,
    progress: Progress = no_progress,
    is_made: bool = False,
    check: Callable[[Contents], None] | None = None,
    on_staged: Callable[[Staged], None] | None = None,
    now_ns: int | None = None,
) -> Iterator[Callable[[], Edited]]:
    """The first half of `edit_image`: the changes are made; the value, called once or not at all, does the rest.

    `check` looks at the contents as the edit leaves them; what it raises ends the edit with nothing written.
    `on_staged` is shown the open image and what will be done to it, before anything is. `now_ns` is the reading of the
    clock, for an edit that needs one.
    """
    source, destination = as_source(source), as_destination(destination)
    _check_wanted(source, destination, undo)
    now_ns = clock() if now_ns is None else now_ns
    with ExitStack() as stack:
        stack.enter_context(in_image(source.path))
        image = stack.enter_context(open_file(source, writable=isinstance(destination, InPlace)))
        if destination is not None:
            _check_chain(image, destination)
        contents = stack.enter_context(open_contents(source, image, now_ns))
        deliver = partial(_delivery, image, destination, now_ns, undo, progress)
        carry_out = stack.enter_context(confined_commit(source.confinement, image, contents.engine, deliver))
        changes = edit(contents)
        if changes and not is_made:
            apply_changes(contents.tree, changes)
        if check is not None:
            check(contents)

        def commit() -> Edited:
            if changes:
                contents.finish()
            plan = image.plan()
            if on_staged is not None:
                on_staged(Staged(image, contents, tuple(changes), plan))
            if not (plan.is_empty and isinstance(destination, InPlace)):
                carry_out(plan)
            notices = (*contents.notices, *(image.notices if changes else ()))
            return Edited(tuple(changes), plan, contents.engine, notices)

        yield commit


def _check_wanted(source: ImageSource, destination: Destination | None, undo: Path | None) -> None:
    """Refuse what is already known to fail."""
    if destination is None:
        return
    check_destination(source.path, destination)
    if undo is not None and isinstance(destination, Stream):
        raise UsageError("an undo file needs an image file", hint="Omit --undo, or write to a file.")


def _delivery(
    image: Image, destination: Destination | None, now_ns: int, undo: Path | None, progress: Progress
) -> AbstractContextManager[Callable[[PatchPlan], None]]:
    """What carries out a plan; a dry run does nothing with it."""
    if destination is None:
        return nullcontext(lambda _plan: None)
    return delivery(image.host, destination, mtime_ns=now_ns, undo=undo, progress=progress)


def replace_file(path: str, data: bytes) -> Callable[[Contents], list[Change]]:
    """The edit that gives one file new contents, or makes it."""
    return lambda opened: replaced(opened.tree, path, data)


def edit_file(path: str, editor: Callable[[bytes], bytes]) -> Callable[[Contents], list[Change]]:
    """The edit that makes one file's contents from the old ones, from none where there is no such file."""

    def edit(opened: Contents) -> list[Change]:
        before = opened.tree.read(path) if opened.tree.exists(path) else None
        after = editor(before or b"")
        return [] if before == after else [Change(path, before, after)]

    return edit


def _check_chain(image: Image, destination: Destination) -> None:
    """A new file in another folder would no longer find its backing file, which it names relative to itself."""
    if image.chain and isinstance(image.host, HostFile) and isinstance(destination, NewFile | NewObject):
        target = destination.path.resolve().parent if isinstance(destination, NewFile) else destination.url
        if target != image.host.path.parent:
            raise UnsupportedError(
                f"{image.path}: has a backing file that a copy in {target} would not find",
                hint="Write the copy into the image's own folder, or merge the chain into one file first: "
                "`qemu-img convert -O qcow2 IMAGE NEW`.",
            )
