"""Taking a commit back, and finishing one that was interrupted: `undo`, `recover`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imgkit.cli.options import AsJson

_Image = Annotated[str, typer.Argument(metavar="IMAGE", help="The image that was edited.", show_default=False)]


def undo(
    image: _Image,
    undo_file: Annotated[
        Path, typer.Argument(metavar="UNDO", readable=False, help="The file that --undo left.", show_default=False)
    ],
    *,
    force: Annotated[bool, typer.Option("--force", help="Accept an image that was copied or touched since.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take an edit back: the image has the bytes again that it had before.

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
        note(f"{path}: undone, {len(plan.patches)} ranges put back; {undo_file} is of no more use")


def recover(image: _Image, *, as_json: AsJson = False) -> None:
    """Finish an edit that was interrupted. Opening an image does so as well.

    Examples:
      imgkit recover debian.qcow2
    """
    from imgkit.cli.render import note, print_json
    from imgkit.storage import commit
    from imgkit.storage.host import no_such_file

    path = _file(image)
    recovered = commit.recover(path)
    if not recovered and not path.exists():
        raise no_such_file(path)
    if as_json:
        print_json("recover", 1, {"image": path, "recovered": recovered})
    else:
        note(f"{path}: {'the interrupted edit is finished' if recovered else 'no edit was interrupted'}")


def _file(image: str) -> Path:
    """The image as a file of this host. UnsupportedError for a URL: what is there is never edited in place."""
    from imgkit.errors import UnsupportedError
    from imgkit.remote import Url, parse_address

    address = parse_address(image)
    if isinstance(address, Url):
        raise UnsupportedError(f"{address}: nothing is edited there", hint="Give the file that was written instead.")
    return address
