"""Groups of options that several commands share, and what they come to in the library's words.

Each function here is such a group for `compose.composed`: its parameters are the options. Paths are `readable=False`
because Typer would look by itself, with words and an exit status of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgkit.errors import UsageError

if TYPE_CHECKING:
    from imgkit.editing import ImageSource
    from imgkit.remote import Address
    from imgkit.storage.output import Destination

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
InTree = Annotated[str, typer.Argument(metavar="PATH", help="Absolute path inside the image.", show_default=False)]

_OWNED: list[bool] = []


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where an edited image goes. `destination` is None for a dry run; `target` is the address that will hold it."""

    destination: Destination | None
    undo: Path | None
    target: Address | None


def take_process() -> None:
    """Say that this process belongs to one command, which may confine it; whoever calls the commands has more to do."""
    _OWNED.append(True)


def make_source(
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE",
            help="The image: a qcow2 or raw disk, or an ISO; a file or a URL.",
            show_default=False,
        ),
    ],
    *,
    engine: Annotated[
        str,
        typer.Option(
            metavar="auto|native|uml|guestfs",
            help="How to access guest file systems: in this process, by a Linux kernel in a process, by libguestfs's "
            "appliance, or the first of these that can.",
        ),
    ] = "auto",
    root: Annotated[
        str | None,
        typer.Option(
            metavar="VOLUME", help="Root volume, if there are several systems: 3, /dev/sda3, LABEL=x, UUID=x."
        ),
    ] = None,
    image_format: Annotated[
        str | None, typer.Option("--format", metavar="raw|qcow2", help="Format of the image. [default: detect]")
    ] = None,
    allow: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", readable=False, help="A file outside the image's folder that it may refer to. Repeatable."
        ),
    ] = None,
    key_file: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            readable=False,
            help="A file with a LUKS volume's passphrase (uml and guestfs engines). Repeatable.",
        ),
    ] = None,
    require_confinement: Annotated[
        bool,
        typer.Option("--require-confinement", help="Refuse an image that cannot be read confined; see `doctor`."),
    ] = False,
) -> ImageSource:
    """The image that the options describe. UsageError for words that are none of the choices."""
    from imgkit.cli.render import download_bar, note
    from imgkit.confinement import Confinement
    from imgkit.editing import ImageSource
    from imgkit.formats.image import Format
    from imgkit.guest.engines.choice import EngineChoice
    from imgkit.remote import parse_address

    address = parse_address(image)
    return ImageSource(
        path=address,
        image_format=Format(choice("format", image_format, Format)) if image_format else None,
        allow=tuple(allow or ()),
        engine=EngineChoice(choice("engine", engine, EngineChoice)),
        root=root,
        keys=tuple(_key(path) for path in key_file or ()),
        on_appliance=lambda reason: note(f"starting the libguestfs appliance, about 20 seconds ({reason})"),
        on_download=download_bar(f"fetching {address.name}"),
        on_pending=note,
        confinement=Confinement(required=require_confinement) if _OWNED or require_confinement else None,
    )


def unconfined(source: ImageSource, what: str) -> ImageSource:
    """The source for `what`, which does more than an image's reader may. UsageError where confinement is required."""
    if source.confinement is not None and source.confinement.required:
        raise UsageError(f"{what} is not confined", hint="Omit --require-confinement, if you trust the image.")
    return replace(source, confinement=None)


def make_delivery(
    *,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="OUT", help="Write a new image there: a file or a URL; - is standard output."
        ),
    ] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Edit the image itself, atomically.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Let -o replace an existing file.")] = False,
    undo: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", readable=False, help="Write an undo file, with which `imgkit undo` reverts the edit."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, as unified diffs; write nothing.")
    ] = False,
) -> Delivery:
    """Where the result goes. UsageError unless exactly one place is named."""
    from imgkit.remote import Url, parse_address
    from imgkit.storage.output import InPlace, Stream, new_image

    if output is not None and in_place:
        raise UsageError("-o and --in-place are mutually exclusive", hint="Give one of the two.")
    if dry_run:
        return Delivery(None, None, None)
    if in_place:
        return Delivery(InPlace(), undo, None)
    if output is None:
        raise UsageError(
            "no output was given",
            hint="Give -o OUT to write a new image, --in-place to edit this one, or --dry-run to see the changes.",
        )
    if output == "-":
        return Delivery(Stream(1), undo, None)
    target = parse_address(output)
    if undo is not None and isinstance(target, Url):
        raise UsageError(
            f"{target}: does not take an undo file", hint="Omit --undo: deleting the new image undoes the edit."
        )
    return Delivery(new_image(target, force=force), undo, target)


def choice(what: str, word: str, choices: type) -> str:
    """The word, if it is one of the choices (a StrEnum's). Raises UsageError."""
    words = [str(each) for each in choices]  # type: ignore[attr-defined]
    if word not in words:
        raise UsageError(f"unknown {what}: {word!r}", hint=f"Choose one of {', '.join(words)}.")
    return word


def _key(path: Path) -> str:
    from imgkit.storage.host import read_text

    return read_text(path).rstrip("\n")
