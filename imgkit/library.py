"""What `import imgkit` offers beside the enabling of consoles: images as objects, edits, undo, verification.

`imgkit/__init__.py` names all of the public interface; this module holds what has no other home.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from imgkit.editing import as_source, clock, edit_image, open_contents, open_file
from imgkit.errors import UnsupportedError, UsageError
from imgkit.iso.medium import find_medium
from imgkit.storage.copy import no_progress
from imgkit.tree import Change, FileType, apply_changes, replaced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from imgkit.editing import Contents, Edited, SourceLike
    from imgkit.formats.image import Image as OpenImage
    from imgkit.inspection import Inspection, IsoInspection
    from imgkit.storage.copy import Progress
    from imgkit.storage.output import Destination
    from imgkit.tree import Stat, Tree
    from imgkit.vm.verification import Verification


class ImageKind(StrEnum):
    """What kind of image a file is."""

    DISK = "disk"
    ISO = "iso"


class Image:
    """An image that is open for reading, to be used in a `with` block or closed. It is locked as a reader locks it."""

    def __init__(self, source: SourceLike) -> None:
        """Open it. Raises what opening raises: see `imgkit.ImgkitError`."""
        self._source = as_source(source)
        self._contents: Contents | None = None
        with ExitStack() as stack:
            self._image: OpenImage = stack.enter_context(open_file(self._source))
            is_iso = find_medium(self._image, now=0) is not None
            self._stack = stack.pop_all()
        self.kind = ImageKind.ISO if is_iso else ImageKind.DISK

    @property
    def tree(self) -> Tree:
        """The files: those of the ISO, or of the installed system with its mounts joined.

        Raises GuestError where a disk holds no system, or several and the source does not say which.
        """
        if self._contents is None:
            self._contents = self._stack.enter_context(open_contents(self._source, self._image, clock()))
        return self._contents.tree

    def inspect(self, *, with_map: bool = False) -> Inspection | IsoInspection:
        """What the image is: format, partitions, file systems, system, boot loaders, console; with a map of it."""
        from imgkit.inspection import inspect  # noqa: PLC0415  here and below: only where it is asked for

        return inspect(self._source, with_map=with_map)

    def close(self) -> None:
        """Close it, and release its locks."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open(source: SourceLike) -> Image:  # noqa: A001 - as `imgkit.open`
    """Open an image for reading: a path, a URL, or an `ImageSource`, which says how to open it."""
    return Image(source)


def edit(
    source: SourceLike,
    destination: Destination | str | Path | None,
    edit: Callable[[EditedTree], object],
    *,
    undo: Path | None = None,
    progress: Progress = no_progress,
) -> Edited:
    """Have a function edit the files of an image, and write the result to `destination`.

    A destination that is a path or a URL is a new image, which replaces nothing; None writes nothing (a dry run). The
    function gets a tree to read and write: nothing reaches the image before it has returned, and nothing at all if it
    raises. Raises what opening, editing and writing raise.
    """

    def changes(contents: Contents) -> list[Change]:
        tree = EditedTree(contents.tree)
        edit(tree)
        return tree.changes()

    return edit_image(source, changes, destination, undo=undo, progress=progress, is_made=True)


def undo(image: str | Path, undo_file: str | Path, *, force: bool = False) -> None:
    """Take an edit back that left `undo_file`: the image has the bytes again that it had before.

    `force` accepts an image that was renamed or copied since. Raises StaleImageError for an image of other bytes.
    """
    from imgkit.remote.url import Url  # noqa: PLC0415
    from imgkit.storage import commit  # noqa: PLC0415

    path, record = as_source(image).path, as_source(undo_file).path
    if isinstance(path, Url) or isinstance(record, Url):
        raise UnsupportedError(f"{path}: nothing is edited there", hint="Give the file that was written instead.")
    commit.undo(path, record, mtime_ns=clock(), force=force)


def verify(
    source: SourceLike,
    *,
    firmware: str = "bios",
    usb: bool = False,
    memory: int = 1024,
    timeout: float = 300,
    expect: str | None = None,
    login: tuple[str, str] | None = None,
    on_output: Callable[[bytes], None] | None = None,
    log: Path | None = None,
) -> Verification:
    """Boot an image on a throw-away layer, and see whether its serial console works. The image is not changed.

    `firmware` is `bios`, `uefi` or `secure boot`; `memory` is in MiB, `timeout` in seconds. `expect` is a regular
    expression to wait for in place of the login prompt or the installer's first page; `login` is a user and a password.
    Raises EngineError where libvirt or QEMU is missing, MachineError where they refuse, and what opening raises.
    """
    from imgkit.vm.spec import Firmware  # noqa: PLC0415
    from imgkit.vm.verification import BootTest  # noqa: PLC0415
    from imgkit.vm.verification import verify as boot  # noqa: PLC0415

    words = [str(each) for each in Firmware]
    if firmware not in words:
        raise UsageError(f"unknown firmware: {firmware!r}", hint=f"Choose one of {', '.join(words)}.")
    test = BootTest(Firmware(firmware), usb, memory, timeout, expect, login)
    return boot(as_source(source), test, on_output=on_output, log=log)


class EditedTree:
    """The files of an image that is being edited. What is written to it can be read back at once."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._changes: dict[tuple[str, bool, bool], Change] = {}

    def read(self, path: str, /) -> bytes:
        """Contents of a regular file. Raises TreeError where there is none."""
        return self._tree.read(path)

    def exists(self, path: str, /) -> bool:
        """Whether the path leads to anything."""
        return self._tree.exists(path)

    def listdir(self, path: str, /) -> list[str]:
        """Sorted names in a directory."""
        return self._tree.listdir(path)

    def stat(self, path: str, /, *, follow: bool = True) -> Stat:
        """Metadata of what is at the path."""
        return self._tree.stat(path, follow=follow)

    def readlink(self, path: str, /) -> str:
        """Target of a symbolic link, as stored."""
        return self._tree.readlink(path)

    def write(self, path: str, data: bytes, /) -> None:
        """Give a file these contents; one that exists keeps owner and mode. Missing directories are made."""
        for change in replaced(self._tree, path, data):
            self._make(change)

    def symlink(self, target: str, path: str, /) -> None:
        """Make a symbolic link at `path`."""
        self._make(Change(path, None, os.fsencode(target), link=True))

    def mkdir(self, path: str, /) -> None:
        """Make a directory, and its parents where they are missing."""
        self._make(Change(path, None, b"", directory=True))

    def remove(self, path: str, /) -> None:
        """Remove a file, a link, or an empty directory."""
        kind = self._tree.stat(path, follow=False).type
        if kind is FileType.DIRECTORY:
            self._make(Change(path, b"", None, directory=True))
        elif kind is FileType.LINK:
            self._make(Change(path, os.fsencode(self._tree.readlink(path)), None, link=True))
        else:
            self._make(Change(path, self._tree.read(path) if kind is FileType.FILE else b"", None))

    def changes(self) -> list[Change]:
        """What was made of it, in the order in which it was first touched."""
        return [change for change in self._changes.values() if change.before != change.after]

    def _make(self, change: Change) -> None:
        if change.before != change.after:
            apply_changes(self._tree, [change])
        key = (change.path, change.link, change.directory)
        first = self._changes.get(key)
        self._changes[key] = change if first is None else replace(change, before=first.before)
