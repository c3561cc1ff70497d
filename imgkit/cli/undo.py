"""Taking a commit back, and finishing one that was interrupted: `undo`, `recover`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgkit.cli.options import AsJson

if TYPE_CHECKING:
    from imgkit.storage.overlay import PatchPlan

_Image = Annotated[str, typer.Argument(metavar="IMAGE", help="The image that was edited.", show_default=False)]


def undo(
    image: _Image,
    undo_file: Annotated[
        Path,
        typer.Argument(metavar="UNDO", readable=False, help="The undo file that --undo wrote.", show_default=False),
    ],
    *,
    force: Annotated[bool, typer.Option("--force", help="Accept an image that was renamed or copied since.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take an edit back: the image has the bytes again that it had before.

    Every byte that the edit left is checked first. Undoing twice is undoing once.

    Examples:
      imgkit console enable debian.qcow2 --in-place --undo debian.undo
      imgkit undo debian.qcow2 debian.undo
    """
    from imgkit.cli.render import note, print_json
    from imgkit.editing import clock
    from imgkit.storage import commit

    path = _file(image)
    plan = commit.undo(path, undo_file, mtime_ns=clock(), force=force)
    if as_json:
        print_json("undo", 1, {"image": path, "changed_bytes": plan.changed_bytes, "size": plan.size_after})
    else:
        note(f"{path}: {_undone(plan, undo_file)}")


def recover(image: _Image, *, as_json: AsJson = False) -> None:
    """Finish an edit that was interrupted, and clear away what killed runs left beside the image.

    Commands that write to an image do the first too; commands that read it show it as it will be then.

    Examples:
      imgkit recover debian.qcow2
    """
    from imgkit.cli.render import note, print_json
    from imgkit.storage import commit

    path = _file(image)
    recovery = commit.recover(path)
    strays = commit.clear_strays(path)
    if as_json:
        recovered = recovery is not commit.Recovery.NOTHING
        print_json(
            "recover", 1, {"image": path, "recovered": recovered, "result": recovery, "temporary_files_removed": strays}
        )
        return
    told = {
        commit.Recovery.NOTHING: "no edit was interrupted",
        commit.Recovery.FINISHED: "the interrupted edit was finished",
        commit.Recovery.DISCARDED: "an edit was interrupted before it changed anything; its journal was removed",
    }[recovery]
    note(f"{path}: {told}{f'; {strays} temporary files removed' if strays else ''}")


def _undone(plan: PatchPlan, undo_file: Path) -> str:
    if plan.is_empty:
        return f"nothing to undo; the image is as it was before the edit, and {undo_file} can be deleted"
    return f"undone, {len(plan.patches)} ranges restored; {undo_file} can be deleted"


def _file(image: str) -> Path:
    """The image as a file of this host. UnsupportedError for a URL: what is there is never edited in place."""
    from imgkit.errors import UnsupportedError
    from imgkit.remote import Url, parse_address

    address = parse_address(image)
    if isinstance(address, Url):
        raise UnsupportedError(f"{address}: nothing is edited there", hint="Give the file that was written instead.")
    return address
