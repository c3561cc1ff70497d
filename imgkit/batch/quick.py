"""Batches that are told on a command line: the plan is made of it, and kept in the ledger's folder.

From there on they are batches like others: run again, retried, undone by the name of that folder.
"""

from __future__ import annotations

import glob
import json
import os
import re
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.batch.operations import AddFiles, AnswerIso, EnableConsole, WriteFile
from imgkit.batch.plan import Plan, Selector, check_template, read_plan
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from imgkit.batch.operations import Operation

_PLAN = "plan.toml"
_NAMES = {
    EnableConsole: "console-enable.batch",
    WriteFile: "write.batch",
    AddFiles: "iso-add.batch",
    AnswerIso: "iso-answers.batch",
}
_CONTENTS = "contents"  # what `write` puts into a file; may be binary, which TOML is not


def make_plan(
    inputs: Sequence[str],
    operation: Operation,
    selector: Selector,
    *,
    out: str | None,
    folder: Path,
    sha256: bool = False,
) -> Plan:
    """A plan whose relative names start at `folder`. `out` is a folder or a template; None is in place."""
    if out is not None and "{" not in out:
        out = f"{out.rstrip('/') or '/'}/{{name}}"
    return Plan(
        folder=folder,
        operation=operation,
        inputs=tuple(_pattern(name, folder) for name in inputs),
        output=None if out is None else _absolute(check_template(out), folder),
        selectors=() if selector == Selector("*") else (selector,),
        sha256=sha256,
    )


def default_folder(plan: Plan) -> Path:
    """Where the ledger of such a plan lies: beside the folder of its results; in place, in that of the first images."""
    fixed = _fixed_part(plan.output, _without_variables) if plan.output else _fixed_part(plan.inputs[0], _matching_one)
    if fixed is None:
        fixed = plan.folder
    elif plan.output and fixed != plan.folder and fixed.name:
        return fixed.with_name(f"{fixed.name}.batch")
    return fixed / _NAMES[type(plan.operation)]


def keep(plan: Plan, folder: Path) -> None:
    """Write a plan into the folder of its ledger, whole or not at all."""
    new = folder / f".{_PLAN}"
    lines = list(_lines(plan, folder))
    try:
        new.write_text("\n".join([*lines, ""]))
    except UnicodeEncodeError as error:
        raise UsageError(
            "a name is not UTF-8, which a plan has to be", hint="Rename the file, or its folder."
        ) from error
    new.replace(folder / _PLAN)


def check_plan(plan: Path | Plan, folder: Path) -> None:
    """Raise UsageError where a folder is the ledger of another plan than a file, or than one without a file."""
    known = folder / _PLAN
    if not known.exists():
        return  # a new ledger, or one whose plan is gone
    if isinstance(plan, Path):
        is_same = known.resolve() == plan.resolve()
    else:
        # What is to be done may change, as in a plan's file; the images and where they go make the batch.
        before = None if known.is_symlink() else read_plan(known)
        is_same = before is not None and (before.inputs, before.output) == (plan.inputs, plan.output)
    if not is_same:
        raise UsageError(
            f"{folder}: is the ledger of another plan, {known.resolve()}",
            hint="Name another folder with --ledger, or continue that batch with `imgkit batch run`.",
        )


def point_to(plan_file: Path, folder: Path) -> None:
    """Have the folder of a ledger know the plan that it belongs to."""
    pointer = folder / _PLAN
    target = os.path.relpath(plan_file.resolve(), folder)
    if plan_file.resolve() == pointer.resolve() or (pointer.is_symlink() and str(pointer.readlink()) == target):
        return
    new = folder / f".{_PLAN}"
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(pointer)


def plan_of(batch: Path) -> Path:
    """The plan file of a batch that is named by it or by the folder of its ledger. Raises UsageError."""
    if not batch.is_dir():
        return batch
    plan = batch / _PLAN
    if not plan.exists():
        raise UsageError(f"{batch}: contains no batch", hint="Name a plan file, or the folder of a ledger.")
    return plan.resolve()


def _pattern(name: str, folder: Path) -> str:
    """An absolute pattern; the folder and a file of that very name are meant as they are, whatever their characters."""
    if "://" in name:
        return name
    is_there = glob.has_magic(name) and Path(folder / name).exists()
    return _absolute(glob.escape(name) if is_there else name, Path(glob.escape(str(folder))))


def _absolute(name: str, folder: Path) -> str:
    return name if "://" in name else os.path.normpath(folder / name)


def _fixed_part(text: str, fixed: Callable[[str], str | None]) -> Path | None:
    """The folder of a pattern or template up to its first part that is not fixed; None for a URL."""
    if "://" in text:
        return None
    parts = map(fixed, Path(text).parent.parts)
    return Path(*(str(part) for part in takewhile(lambda part: part is not None, parts)))


def _without_variables(part: str) -> str | None:
    return None if "{" in part else part


def _matching_one(part: str) -> str | None:
    """The name that a part of a pattern matches, if it matches one only."""
    name = re.sub(r"\[([*?[])\]", r"\1", part)
    return name if glob.escape(name) == part else None


def _lines(plan: Plan, folder: Path) -> Iterator[str]:
    yield "# Made by `imgkit batch` of its command line."
    yield f"inputs = {_toml(list(plan.inputs))}"
    yield "in-place = true" if plan.output is None else f"output = {_toml(plan.output)}"
    if plan.sha256:
        yield "sha256 = true"
    yield "\n[operation]"
    operation = plan.operation
    if isinstance(operation, EnableConsole | AnswerIso):
        console = operation if isinstance(operation, EnableConsole) else operation.console
        settings = dict(console.settings)
        if "keep_vga" in settings:
            settings["no_vga"] = not settings.pop("keep_vga")
        settings |= console.options.asked()
        values: dict[str, object] = {key.replace("_", "-"): value for key, value in settings.items()}
        if isinstance(operation, AnswerIso):
            values |= {"kind": "iso answers", "file": str(operation.file), "replace": operation.replace}
        else:
            values = {"kind": "console enable"} | values
    elif isinstance(operation, AddFiles):
        sources = [str(source) for source in operation.sources]
        values = {"kind": "iso add", "files": sources, "at": operation.at, "replace": operation.replace}
    else:
        (folder / _CONTENTS).write_bytes(operation.contents)
        values = {"kind": "write", "path": operation.path, "from": _CONTENTS}
    yield from (f"{key} = {_toml(value)}" for key, value in values.items())
    for selector in plan.selectors:
        yield "\n[[select]]"
        yield f"match = {_toml(selector.match)}"
        yield f"engine = {_toml(str(selector.engine))}"
        if selector.root is not None:
            yield f"root = {_toml(selector.root)}"


def _toml(value: object) -> str:
    """A value as TOML: JSON's strings, numbers, booleans and lists are, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
