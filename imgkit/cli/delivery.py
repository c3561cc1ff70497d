"""What every editing command does: run the edit, then show a dry run's diffs or say what was done."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from imgkit.cli.render import note, print_diffs, print_json, progress_bar
from imgkit.editing import edit_image
from imgkit.errors import UsageError
from imgkit.storage.output import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.cli.options import Delivery
    from imgkit.console.judge import Judgement
    from imgkit.editing import Contents, Edited, ImageSource
    from imgkit.storage.copy import Progress
    from imgkit.tree import Change

_MOST_LISTED = 20


def deliver(
    source: ImageSource, edit: Callable[[Contents], list[Change]], delivery: Delivery, *, as_json: bool
) -> Edited:
    """Carry out an edit, with a progress bar if it is a long copy."""
    with delivering(source, delivery, as_json=as_json) as progress:
        return edit_image(source, edit, delivery.destination, undo=delivery.undo, progress=progress)


@contextmanager
def delivering(source: ImageSource, delivery: Delivery, *, as_json: bool) -> Iterator[Progress]:
    """The progress bar of an edit, for a long copy. Raises UsageError for two things on standard output."""
    if as_json and isinstance(delivery.destination, Stream):
        raise UsageError("--json and -o - both write to standard output", hint="Write the image to a file.")
    with progress_bar(f"writing {delivery.target or source.path}") as progress:
        yield progress


def print_edited(source: ImageSource, delivery: Delivery, edited: Edited, *, done: str, unchanged: str) -> None:
    """Tell a person: a dry run's diffs as data; as prose, what was `done`, or, if it was so before, `unchanged`."""
    for notice in edited.notices:
        note(notice)
    if delivery.destination is None:
        print_diffs(edited.changes)
        done = f"dry run, nothing was written{done and ': '}{done}"
    told = [done, *_verbs(edited.changes)] if edited.changes else [unchanged]
    if delivery.target:
        told.append(f"written to {delivery.target}")
    if delivery.undo and edited.changes:
        told.append(
            f"undo with: {shlex.join(['imgkit', 'undo', str(delivery.target or source.path), str(delivery.undo)])}"
        )
    note(f"{source.path}: {'; '.join(filter(None, told))}")


def print_edited_json(kind: str, source: ImageSource, delivery: Delivery, edited: Edited, **more: object) -> None:
    """Tell a program the same, in a document named `kind`, with `more` in it."""
    document = {
        "image": source.path,
        "output": delivery.target,
        "dry_run": delivery.destination is None,
        "engine": edited.engine,
        "changed": bool(edited.changes),
        "changes": [
            {
                "path": change.path,
                "created": change.before is None,
                "removed": change.after is None,
                "link": change.link,
                "directory": change.directory,
                "diff": change.diff(),
            }
            for change in edited.changes
        ],
        "patches": [{"offset": patch.offset, "length": len(patch.after)} for patch in edited.plan.patches],
        "undo": delivery.undo,
        "notices": edited.notices,
    }
    print_json(kind, 1, document | more)


def print_judgement(judgement: Judgement) -> None:
    """Tell a person what changed in what an image does, and, where not all is enabled, what is and what is not."""
    from imgkit.console.judge import sentence

    for announcement in judgement.announcements:
        note(announcement)
    if judgement.failing:
        note(f"enabled: {judgement.holding()}")
    for check in judgement.failing:
        note(f"NOT enabled: {sentence(check)}. Fix: {check.hint}")


def judgement_fields(judgement: Judgement) -> dict[str, Any]:
    """The same for a program."""
    names = ("verdict", "announcements", "failing")
    return {name: getattr(judgement, name) for name in names}


def print_all(kind: str, source: ImageSource, delivery: Delivery, edited: Edited, *, as_json: bool) -> None:
    """Tell whoever asked what came of a plain edit of files."""
    if as_json:
        print_edited_json(kind, source, delivery, edited)
    else:
        print_edited(source, delivery, edited, done="", unchanged="nothing to change")


def _verbs(changes: tuple[Change, ...]) -> Iterator[str]:
    """`changed /a, /b` and the like."""
    kinds = {
        "changed": [c.path for c in changes if c.before is not None and c.after is not None],
        "created": [c.path for c in changes if c.before is None],
        "removed": [c.path for c in changes if c.after is None],
    }
    return (f"{verb} {_listed(paths)}" for verb, paths in kinds.items() if paths)


def _listed(paths: list[str]) -> str:
    more = len(paths) - _MOST_LISTED
    return ", ".join(paths) if more <= 1 else f"{', '.join(paths[:_MOST_LISTED])} and {more:,} more"
