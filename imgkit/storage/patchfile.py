"""A plan in a file. The journal of a commit and an undo file are the same thing.

It is complete or it is not there: a digest over the whole file tells a torn one from a good one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from imgkit.errors import FormatError
from imgkit.storage.overlay import Patch, PatchPlan


@dataclass(frozen=True, slots=True)
class PatchFile:
    """A plan and the image it belongs to: its file name, and the modification time (ns) that the commit gives it."""

    plan: PatchPlan
    name: str
    mtime_ns: int


def serialise(patch_file: PatchFile) -> bytes:
    """The patch file as bytes."""
    from imgkit.storage.patchfile_layout import BODY  # noqa: PLC0415 - construct takes 25 ms to import

    name = patch_file.name.encode(errors="surrogateescape")
    body: bytes = BODY.build({**asdict(patch_file.plan), "name": name, "mtime_ns": patch_file.mtime_ns})
    return body + _digest(body)


def parse(data: bytes, source: str) -> PatchFile:
    """Read a patch file back. Raises FormatError, naming `source`, for anything but a whole one of this version."""
    from construct import ConstructError  # noqa: PLC0415

    from imgkit.storage.patchfile_layout import BODY, DIGEST_SIZE, MAGIC  # noqa: PLC0415

    body, digest = data[:-DIGEST_SIZE], data[-DIGEST_SIZE:]
    if not body.startswith(MAGIC):
        raise _error("not a patch file of imgkit", 0, "magic", source)
    if _digest(body) != digest:
        raise _error("incomplete or damaged", len(body), "digest", source)
    try:
        fields = BODY.parse(body)
    except ConstructError as error:
        raise _error(f"written by another version of imgkit ({error})", len(MAGIC), "version", source) from error
    patches = tuple(Patch(item.offset, item.before, item.after) for item in fields.patches)
    name = fields.name.decode(errors="surrogateescape")
    return PatchFile(PatchPlan(patches, fields.size_before, fields.size_after), name, fields.mtime_ns)


def _digest(body: bytes) -> bytes:
    from hashlib import sha256  # noqa: PLC0415  it brings OpenSSL, and a new file needs none of it

    return sha256(body).digest()


def _error(message: str, offset: int, field: str, source: str) -> FormatError:
    return FormatError(message, structure="patch file", offset=offset, field=field, path=source)
