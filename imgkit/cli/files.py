"""Files inside an image: `ls`, `cat`, `write`, `edit`."""

from __future__ import annotations

import base64
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgkit.cli.compose import composed
from imgkit.cli.options import AsJson, InTree, make_delivery, make_source
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from imgkit.cli.options import Delivery
    from imgkit.editing import ImageSource


@composed(source=make_source)
def ls(
    source: ImageSource,
    path: InTree = "/",
    *,
    long: Annotated[
        bool, typer.Option("-l", "--long", help="Show type, mode, owner, size and modification time.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List a directory, or one file, of the system in an image or of an ISO.

    Examples:
      imgkit ls debian.qcow2 /boot
      imgkit ls netinst.iso /boot/grub/efi.img
      imgkit ls -l debian.qcow2 /etc/default/grub
    """
    from imgkit.cli.render import long_line, out, print_json
    from imgkit.editing import opened
    from imgkit.tree import list_entries

    with opened(source) as (_, guest):
        entries = list_entries(guest.tree, path)
    if as_json:
        print_json("ls", 1, {"image": source.path, "path": path, "entries": entries})
        return
    for entry in entries:
        out(long_line(entry) if long else entry.name)


@composed(source=make_source)
def cat(
    source: ImageSource,
    path: InTree,
    *,
    raw: Annotated[bool, typer.Option("--raw", help="Send control characters to a terminal as they are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a file of the system in an image or of an ISO.

    On a terminal, control characters are shown as `cat -v` shows them. A FAT boot image of an ISO is a file, and a
    directory to paths that go on.

    Examples:
      imgkit cat debian.qcow2 /etc/fstab
      imgkit cat netinst.iso /boot/grub/efi.img/EFI/debian/grub.cfg
      imgkit cat disk.img /boot/vmlinuz > vmlinuz
    """
    from imgkit.cli.render import emit, print_json
    from imgkit.editing import opened
    from imgkit.visible import visible_bytes

    with opened(source) as (_, guest):
        if as_json:
            data = guest.tree.read(path)
            encoded = base64.b64encode(data).decode()
            print_json("cat", 1, {"image": source.path, "path": path, "size": len(data), "base64": encoded})
            return
        is_shown = sys.stdout.isatty() and not raw
        for chunk in guest.tree.read_chunks(path):
            if b"\0" in chunk and is_shown:
                raise UsageError(f"{path} is binary, and standard output is a terminal", hint="Redirect it: > FILE.")
            emit(visible_bytes(chunk) if is_shown else chunk)


@composed(source=make_source, delivery=make_delivery)
def write(
    source: ImageSource,
    path: InTree,
    contents: Annotated[
        Path,
        typer.Argument(
            metavar="[FILE]", readable=False, help="The new contents; - is standard input.", show_default=False
        ),
    ] = Path("-"),
    *,
    delivery: Delivery,
    as_json: AsJson = False,
) -> None:
    """Write a file into the system in an image: replace its contents, or create it.

    A file that exists keeps owner, mode and extended attributes; missing directories are made.

    Examples:
      imgkit write disk.qcow2 /etc/motd motd.txt --in-place
      echo hi | imgkit write disk.img /etc/motd -o new.img
    """
    from imgkit.cli.delivery import deliver, print_all
    from imgkit.editing import replace_file
    from imgkit.storage.host import read_file

    data = sys.stdin.buffer.read() if str(contents) == "-" else read_file(contents)
    edited = deliver(source, replace_file(path, data), delivery, as_json=as_json)
    print_all("write", source, delivery, edited, as_json=as_json)


@composed(source=make_source, delivery=make_delivery)
def edit(source: ImageSource, path: InTree, *, delivery: Delivery, as_json: AsJson = False) -> None:
    """Edit a file of the system in an image with $VISUAL, $EDITOR or vi.

    Examples:
      imgkit edit disk.qcow2 /etc/fstab --in-place
      EDITOR='sed -i s/a/b/' imgkit edit disk.img /etc/motd -o new.img
    """
    from imgkit.cli.delivery import deliver, print_all
    from imgkit.cli.editor import edit_bytes
    from imgkit.confinement import outside, serving
    from imgkit.editing import edit_file

    def edit_it(before: bytes) -> bytes:
        return edit_bytes(before, path)

    # Programs are started outside of the process that reads the image.
    source = replace(source, confinement=serving(source.confinement, "editor", edit_it))
    change = edit_file(path, lambda before: outside("editor", edit_it, before))
    edited = deliver(source, change, delivery, as_json=as_json)
    print_all("edit", source, delivery, edited, as_json=as_json)
