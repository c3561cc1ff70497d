"""`imgkit iso`: what only ISOs need."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgkit.cli.compose import add_command, composed
from imgkit.cli.console import ConsoleSettings, make_console, make_options
from imgkit.cli.options import AsJson, Delivery, make_delivery, make_source, unconfined
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from imgkit.configtext.options import EnableOptions
    from imgkit.editing import ImageSource

app = typer.Typer(no_args_is_help=True, help="Edit installer ISOs.")


@composed(source=make_source, delivery=make_delivery)
def add(
    source: ImageSource,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="HOSTFILE... AT", help="Files and directories, and where they go.", show_default=False),
    ],
    *,
    delivery: Delivery,
    replace: Annotated[bool, typer.Option("--replace", help="Replace existing files.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add files or whole directories to an ISO; boot images, tables and checksums follow.

    AT is a directory if it ends in / or is one in the ISO; else it is the file's new name. Missing directories are
    made. Files that begin as programs do are executable. Links inside of directories stay links.

    Examples:
      imgkit iso add netinst.iso preseed.cfg / -o auto.iso
      imgkit iso add auto.iso late.sh packages/ /custom/ --in-place
    """
    from imgkit.addition import add as addition
    from imgkit.cli.delivery import deliver, print_all
    from imgkit.confinement import reading

    *files, at = paths
    if not files:
        raise UsageError(
            "no files to add were given", hint="Give files, and then where they go: imgkit iso add ISO FILE /."
        )
    sources = [Path(name) for name in files]
    with_files = dataclasses.replace(source, confinement=reading(source.confinement, sources))
    edited = deliver(with_files, addition(sources, at, replace=replace), delivery, as_json=as_json)
    print_all("iso-add", source, delivery, edited, as_json=as_json)


@composed(source=make_source, delivery=make_delivery)
def rm(
    source: ImageSource,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="What to remove.", show_default=False)],
    *,
    delivery: Delivery,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Directories too, with all they hold.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove files, links or directories from an ISO.

    What a file held is cleared up to 1 MiB; that of larger ones stays in the image, as unused bytes.
    Boot images and the boot catalogue are refused.

    Examples:
      imgkit iso rm auto.iso /preseed.cfg --in-place
      imgkit iso rm netinst.iso -r /doc /firmware -o small.iso
    """
    from imgkit.addition import remove
    from imgkit.cli.delivery import deliver, print_all

    edited = deliver(source, remove(paths, recursive=recursive), delivery, as_json=as_json)
    print_all("iso-rm", source, delivery, edited, as_json=as_json)


@composed(source=make_source, console=make_console, options=make_options, delivery=make_delivery)
def answers(
    source: ImageSource,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            readable=False,
            help="A preseed, kickstart, autoinstall (user-data) or AutoYaST file.",
            show_default=False,
        ),
    ],
    *,
    console: ConsoleSettings,
    options: EnableOptions,
    delivery: Delivery,
    meta_data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", readable=False, help="The meta-data file that goes with an autoinstall file."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an answer file on the ISO.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Check FILE with the distribution's validator first, if it is installed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put an answer file on an installer's ISO, so that it installs without asking.

    THE RESULT ERASES DISKS WITHOUT ASKING, as the answer file says; `inspect` reports that too. Every menu entry that
    installs gets the arguments for the file, and keeps its own; rescue entries and live systems are left alone. The
    default entry and its timeout stay the same, unless --default or --timeout is given. The serial console is enabled
    as well.

    The kind of the file is detected from its contents. It has to be one that this installer reads.

    Examples:
      imgkit iso answers netinst.iso preseed.cfg -o auto.iso --default Install
      imgkit iso answers rocky.iso ks.cfg -o auto.iso --check
      imgkit iso answers ubuntu.iso user-data --dry-run
    """
    from imgkit.cli.delivery import delivering, judgement_fields, print_edited, print_edited_json, print_judgement
    from imgkit.cli.main import status_of_verdict
    from imgkit.cli.render import note
    from imgkit.cli.validators import validate
    from imgkit.console.answering import answer_iso
    from imgkit.installers.answering import AnswerFile
    from imgkit.storage.host import read_file

    answer = AnswerFile(read_file(file), read_file(meta_data) if meta_data else b"", replace)
    if check:
        note(validate(answer.kind, file))
    with delivering(source, delivery, as_json=as_json) as progress:
        done = answer_iso(
            source,
            delivery.destination,
            answer,
            console=console,
            options=options,
            undo=delivery.undo,
            progress=progress,
        )
    if as_json:
        fields = judgement_fields(done.judgement)
        print_edited_json(
            "iso-answers", source, delivery, done.edited, answers=answer.kind, console=done.console, **fields
        )
    else:
        print_edited(source, delivery, done.edited, done=f"{answer.kind} added", unchanged="nothing to change")
        print_judgement(done.judgement)
    raise typer.Exit(status_of_verdict(done.verdict))


@composed(source=make_source)
def extract(
    source: ImageSource,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Directory to create and copy the files to.")],
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

    with opened(unconfined(source, "copying files")) as (_, contents):
        done = copy(contents.tree, path, folder)
    if as_json:
        fields = {"files": done.files, "size": done.size, "skipped": done.skipped}
        print_json("iso-extract", 1, {"image": source.path, "path": path, "folder": folder, **fields})
        return
    for left_out in done.skipped:
        note(f"{left_out} is a device or another special file, and was skipped")
    note(f"{source.path}: {done.files:,} files, {format_size(done.size)}, copied to {folder}")


add_command(app, add, "add")
add_command(app, rm, "rm")
add_command(app, answers, "answers")
add_command(app, extract, "extract")
