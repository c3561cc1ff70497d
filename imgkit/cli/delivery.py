"""What every editing command does: run the edit, show a dry run's diffs or say what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.block.output import Stream
from imgkit.cli.render import note, print_diffs, print_json, progress_bar
from imgkit.editing import edit_image
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgkit.cli.options import Delivery
    from imgkit.editing import Edited, Source
    from imgkit.guest.session import Guest
    from imgkit.tree import Change


def deliver(
    kind: str,
    source: Source,
    edit: Callable[[Guest], list[Change]],
    delivery: Delivery,
    *,
    as_json: bool,
    unchanged: str = "nothing to change",
) -> None:
    """Carry out an editing command. `kind` names its JSON document, `unchanged` is what is said if nothing changes."""
    if as_json and isinstance(delivery.destination, Stream):
        raise UsageError("--json and -o - both want standard output", hint="Write the image to a file.")
    with progress_bar(f"writing {delivery.target or source.path}") as progress:
        edited = edit_image(source, edit, delivery.destination, undo=delivery.undo, progress=progress)
    for notice in edited.notices:
        note(notice)
    if as_json:
        print_json(kind, 1, _document(source, delivery, edited))
    elif delivery.destination is None:
        print_diffs(edited.changes)
    if not as_json:
        note(f"{source.path}: {_summary(delivery, edited) if edited.changes else unchanged}")


def _summary(delivery: Delivery, edited: Edited) -> str:
    files = ", ".join(change.path for change in edited.changes)
    if delivery.destination is None:
        return f"would change {files} (dry run, nothing was written)"
    where = f"; written to {delivery.target}" if delivery.target else ""
    undo = f"; undo with: imgkit undo {delivery.target or 'IMAGE'} {delivery.undo}" if delivery.undo else ""
    return f"changed {files}{where}{undo}"


def _document(source: Source, delivery: Delivery, edited: Edited) -> dict[str, object]:
    return {
        "image": source.path,
        "output": delivery.target,
        "dry_run": delivery.destination is None,
        "engine": edited.engine,
        "changed": bool(edited.changes),
        "changes": [
            {"path": change.path, "created": change.before is None, "link": change.link, "diff": change.diff()}
            for change in edited.changes
        ],
        "patches": [{"offset": patch.offset, "length": len(patch.after)} for patch in edited.plan.patches],
        "undo": delivery.undo,
        "notices": edited.notices,
    }
