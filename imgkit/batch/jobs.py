"""Which images a plan means and where each result goes, checked as a whole before anything starts."""

from __future__ import annotations

import glob
import hashlib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.batch.plan import Selector
from imgkit.block.host import real_path
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.batch.operations import Operation
    from imgkit.batch.plan import Plan

_NO_SELECTOR = Selector("*")


@dataclass(frozen=True, slots=True)
class Job:
    """One image of a batch. `output` is None for an edit in place. Both paths are absolute, links resolved."""

    input: Path
    output: Path | None
    operation: Operation
    selector: Selector

    @property
    def target(self) -> Path:
        """The file that will hold the result."""
        return self.output or self.input


def find_jobs(plan: Plan) -> list[Job]:
    """All jobs of a plan, in its order. An input that cannot be read is a job too, which will fail.

    Raises UsageError for a pattern that matches nothing, one image under two names, two results with one name, and a
    result that would replace an input.
    """
    inputs = [real_path(path) for path in _inputs(plan)]
    _check_distinct(inputs)
    jobs = [Job(path, _output(plan, path), plan.operation, _selector(plan, path)) for path in inputs]
    _check_outputs(jobs)
    return jobs


def _inputs(plan: Plan) -> Iterator[Path]:
    for pattern in plan.inputs:
        name = str(plan.folder / pattern)
        found = sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else [name]  # noqa: PTH207  may be absolute
        if not found:
            raise UsageError(f"{pattern}: matches no file", hint=f"Patterns start at {plan.folder}.")
        yield from map(Path, found)
    if plan.list_file is not None:
        try:
            lines = plan.list_file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{plan.list_file}: cannot be read ({error})", hint="It names one image a line."
            ) from error
        names = (line.strip() for line in lines)
        yield from (plan.list_file.parent / name for name in names if name and not name.startswith("#"))


def _output(plan: Plan, path: Path) -> Path | None:
    if plan.output is None:
        return None
    parts = {"{stem}": path.stem, "{suffix}": path.suffix, "{name}": path.name}
    if "{sha256}" in plan.output:
        parts["{sha256}"] = sha256_of(path)
    name = plan.output
    for part, value in parts.items():
        name = name.replace(part, value)
    return real_path(plan.folder / name)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises UsageError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error


def _selector(plan: Plan, path: Path) -> Selector:
    return next((selector for selector in plan.selectors if fnmatch(str(path), selector.match)), _NO_SELECTOR)


def _check_distinct(inputs: list[Path]) -> None:
    seen: dict[object, Path] = {}
    for path in inputs:
        identity = _identity(path)
        if identity in seen:
            also = seen[identity]
            told = "is named twice" if also == path else f"is the same file as {also}"
            raise UsageError(f"{path}: {told}", hint="Name each image once: two edits of one file would collide.")
        seen[identity] = path


def _check_outputs(jobs: list[Job]) -> None:
    sources = {_identity(job.input): job.input for job in jobs}
    seen: dict[Path, Path] = {}
    for job in jobs:
        if job.output is None:
            continue
        if _identity(job.output) in sources:
            raise UsageError(
                f"{job.output}: the result of {job.input} would replace an input",
                hint="Write to another folder, or say in-place = true.",
            )
        if job.output in seen:
            raise UsageError(
                f"{job.output}: would be the result of both {seen[job.output]} and {job.input}",
                hint="Tell them apart in the template, for example with {sha256} or {name}.",
            )
        seen[job.output] = job.input


def _identity(path: Path) -> object:
    """What is the same for all names of a file: device and inode; the path, where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return path
    return status.st_dev, status.st_ino
