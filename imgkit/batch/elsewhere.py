"""Results that are elsewhere: whether the batch wrote what is there, and how it goes again.

Reading all of an object to know its SHA-256 would move what the store spared us. So its identity (an ETag, or what a
file system has instead) is noted beside the undo file as soon as the object is there; undo removes nothing else. A kill
may come before that: then size and changed ranges tell, or all of it where nothing was to change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.errors import StaleImageError
from imgkit.remote import Url
from imgkit.remote.begun import UploadNote
from imgkit.remote.place import open_place
from imgkit.storage.host import HostFile
from imgkit.storage.output import NewFile, NewObject
from imgkit.storage.result import Result
from imgkit.units import MIB

if TYPE_CHECKING:
    from pathlib import Path

    from imgkit.remote import Address
    from imgkit.remote.file import RemoteFile
    from imgkit.storage.host import ImageFile
    from imgkit.storage.overlay import PatchPlan


def identity_path(undo: Path) -> Path:
    """Where it is noted what the new object of a job is."""
    return undo.with_suffix(".identity")


def destination(output: Address, undo: Path) -> NewFile | NewObject:
    """Where the new image of a job goes, after what an earlier try left there has gone."""
    if not isinstance(output, Url):
        return NewFile(output)
    note = _begun_path(undo)
    if note.exists():
        open_place(output).clear_away(UploadNote(note))
    return NewObject(output, begun=note)


def note_identity(output: Url, undo: Path) -> None:
    """Note what is there now, as what the batch wrote."""
    path = identity_path(undo)
    new = path.with_suffix(".identity-new")
    new.write_text(open_place(output).identity() or "")
    new.replace(path)
    _begun_path(undo).unlink(missing_ok=True)


def was_written(output: Address, source: Address, plan: PatchPlan, undo: Path) -> bool:
    """Whether `output` is what `plan` makes of `source`, where one of them is elsewhere."""
    if isinstance(output, Url):
        found = open_place(output).identity()
        if found is None:
            return False
        noted = _noted(undo)
        if noted is not None:
            return found == noted
    elif not output.exists():
        return False
    with opened(output) as file:
        if plan.patches or file.size != plan.size_after:
            return holds(file, plan)
        with opened(source) as original:
            pieces = Result(original, plan).pieces(MIB)
            return all(file.read_at(number * MIB, len(piece)) == piece for number, piece in enumerate(pieces))


def holds(file: ImageFile, plan: PatchPlan) -> bool:
    """Whether a file has the size and the bytes that a plan gives it."""
    return file.size == plan.size_after and all(
        file.read_at(patch.offset, len(patch.after)) == patch.after for patch in plan.patches
    )


def take_away(output: Url, undo: Path) -> None:
    """Remove what the batch wrote. Raises StaleImageError if something else is there, OutputError if it cannot."""
    place = open_place(output)
    found = place.identity()
    if found is not None:
        if found != _noted(undo):
            raise StaleImageError(f"{output}: is not what the batch wrote", hint="Remove it yourself, if you wish.")
        place.remove()
    identity_path(undo).unlink(missing_ok=True)


def opened(address: Address) -> HostFile | RemoteFile:
    """The file at an address, for a `with` block."""
    if isinstance(address, Url):
        from imgkit.remote.file import RemoteFile  # noqa: PLC0415 - few images are read from elsewhere

        return RemoteFile(address)
    return HostFile(address)


def _begun_path(undo: Path) -> Path:
    return undo.with_suffix(".begun")


def _noted(undo: Path) -> str | None:
    try:
        return identity_path(undo).read_text() or None
    except OSError:
        return None
