"""New images: whether the batch wrote what is there, and how it goes again.

Reading all of an image to know its SHA-256 would take longer than the edit, or move what a store spared us. So its
identity (an ETag; of a file its size and the time of its last change) is noted beside the undo file as soon as the
image is there; undo removes nothing else. A kill may come before that: then size and changed ranges tell, or all of it
where nothing was to change.
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
    """Where it is noted what the new image of a job is."""
    return undo.with_suffix(".identity")


def destination(output: Address, undo: Path) -> NewFile | NewObject:
    """Where the new image of a job goes, after what an earlier try left there has gone."""
    if not isinstance(output, Url):
        return NewFile(output)
    note = _begun_path(undo)
    if note.exists():
        open_place(output).clear_away(UploadNote(note))
    return NewObject(output, begun=note)


def note_identity(output: Address, undo: Path) -> None:
    """Note what is there now, as what the batch wrote."""
    path = identity_path(undo)
    new = path.with_suffix(".identity-new")
    new.write_text(_identity(output) or "")
    new.replace(path)
    _begun_path(undo).unlink(missing_ok=True)


def was_written(output: Address, source: Address, plan: PatchPlan, undo: Path) -> bool:
    """Whether `output` is what `plan` makes of `source`."""
    found, noted = _identity(output), _noted(undo)
    if found is None or noted is not None:
        return found is not None and found == noted
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


def take_away(output: Address, source: Address, plan: PatchPlan, undo: Path) -> None:
    """Remove what the batch wrote. Raises StaleImageError if something else is there, OutputError if it cannot."""
    if _identity(output) is not None:
        unheard = isinstance(output, Url) and _noted(undo) is None
        if unheard or not was_written(output, source, plan, undo):
            raise StaleImageError(
                f"{output}: is not what the batch wrote", hint="Remove it by hand if it is not needed."
            )
        if isinstance(output, Url):
            open_place(output).remove()
        else:
            output.unlink()
    identity_path(undo).unlink(missing_ok=True)


def opened(address: Address) -> HostFile | RemoteFile:
    """The file at an address, for a `with` block."""
    if isinstance(address, Url):
        from imgkit.remote.file import RemoteFile  # noqa: PLC0415 - few images are read from elsewhere

        return RemoteFile(address)
    return HostFile(address)


def _identity(address: Address) -> str | None:
    """What tells an image from others that have had its name; None where there is none."""
    if isinstance(address, Url):
        return open_place(address).identity()
    try:
        status = address.stat()
    except FileNotFoundError:
        return None
    return f"{status.st_size}-{status.st_mtime_ns}"


def _begun_path(undo: Path) -> Path:
    return undo.with_suffix(".begun")


def _noted(undo: Path) -> str | None:
    try:
        return identity_path(undo).read_text() or None
    except OSError:
        return None
