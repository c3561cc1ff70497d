"""`imgkit iso`: what only ISOs need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgkit.cli.compose import add_command, composed
from imgkit.cli.options import AsJson, make_source

if TYPE_CHECKING:
    from imgkit.editing import Source

app = typer.Typer(no_args_is_help=True, help="Work on installer ISOs.")


@composed(source=make_source)
def extract(
    source: Source,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder to be made, with the files in it.")],
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="What to copy.", show_default=False)] = "/",
    *,
    as_json: AsJson = False,
) -> None:
    """Copy the files of an ISO, or some of them, to a new folder. Nothing is written outside of it.

    Examples:
      imgkit iso extract netinst.iso tree
      imgkit iso extract netinst.iso efi /boot/grub/efi.img/EFI
    """
    from imgkit.cli.render import note, print_json
    from imgkit.editing import opened
    from imgkit.extraction import extract as copy
    from imgkit.units import format_size

    with opened(source) as (_, contents):
        done = copy(contents.tree, path, folder)
    if as_json:
        fields = {"files": done.files, "size": done.size, "skipped": done.skipped}
        print_json("iso-extract", 1, {"image": source.path, "path": path, "folder": folder, **fields})
        return
    for left_out in done.skipped:
        note(f"{left_out} is a device or the like, and was left out")
    note(f"{source.path}: {done.files:,} files, {format_size(done.size)}, copied to {folder}")


add_command(app, extract, "extract")
