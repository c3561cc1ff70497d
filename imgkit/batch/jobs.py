"""Which images a plan means and where each result goes, checked as a whole before anything starts."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from imgkit.batch import places
from imgkit.batch.plan import Selector
from imgkit.errors import UsageError
from imgkit.remote import Url
from imgkit.remote.place import open_place
from imgkit.storage.host import unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imgkit.batch.operations import Operation
    from imgkit.batch.plan import Plan
    from imgkit.remote import Address

_NO_SELECTOR = Selector("*")


@dataclass(frozen=True, slots=True)
class Job:
    """One image of a batch. `output` is None for an edit in place. Paths are absolute, links resolved.

    `sha256` asks for the result's, for which all of it is read.
    """

    input: Address
    output: Address | None
    operation: Operation
    selector: Selector
    sha256: bool = False

    @property
    def target(self) -> Address:
        """What will hold the result."""
        return self.output or self.input


def find_jobs(plan: Plan) -> list[Job]:
    """All jobs of a plan, in its order. An input that cannot be read is a job too, which will fail.

    Raises UsageError for a pattern that matches nothing, one image under two names, two results with one name, a
    result that would replace an input, and an image elsewhere that is to be edited in place; what a store raises that
    cannot be listed or written to.
    """
    inputs = list(_inputs(plan))
    _check_distinct(inputs)
    for address in inputs:
        try:
            str(address).encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{address}: the name is not UTF-8, which a ledger requires", hint="Rename it.") from error
    jobs = [
        Job(address, _output(plan, address), plan.operation, _selector(plan, address), plan.sha256)
        for address in inputs
    ]
    _check_outputs(jobs)
    return jobs


def _inputs(plan: Plan) -> Iterator[Address]:
    for pattern in plan.inputs:
        yield from places.find(pattern, plan.folder)
    if plan.list_file is not None:
        try:
            lines = plan.list_file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{plan.list_file}: cannot be read ({error})", hint="It has to name one image per line."
            ) from error
        names = (line.strip() for line in lines)
        yield from (places.resolved(name, plan.list_file.parent) for name in names if name and not name.startswith("#"))


def _output(plan: Plan, address: Address) -> Address | None:
    if plan.output is None:
        if isinstance(address, Url):
            raise UsageError(
                f"{address}: cannot be edited in place", hint='Write new images: output = "serial/{stem}{suffix}".'
            )
        return None
    name, stem, suffix = places.name_parts(address)
    parts = {"{stem}": stem, "{suffix}": suffix, "{name}": name}
    if "{sha256}" in plan.output:
        if isinstance(address, Url):
            raise UsageError(
                f"{address}: {{sha256}} would need a download of the whole image", hint="Use {stem} or {name}."
            )
        parts["{sha256}"] = sha256_of(address)
    # At once: a name may hold what looks like a variable.
    return places.resolved(
        re.sub(r"\{(?:stem|suffix|name|sha256)\}", lambda variable: parts[variable[0]], plan.output), plan.folder
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises UsageError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def _selector(plan: Plan, address: Address) -> Selector:
    return next((selector for selector in plan.selectors if fnmatch(str(address), selector.match)), _NO_SELECTOR)


def _check_distinct(inputs: list[Address]) -> None:
    seen: dict[object, Address] = {}
    for address in inputs:
        identity = places.identity(address)
        if identity in seen:
            also = seen[identity]
            told = "is named twice" if str(also) == str(address) else f"is the same file as {also}"
            raise UsageError(f"{address}: {told}", hint="Name each image once: two edits of one file would collide.")
        seen[identity] = address


def _check_outputs(jobs: list[Job]) -> None:
    sources = {places.identity(job.input): job.input for job in jobs}
    seen: dict[str, Address] = {}
    for job in jobs:
        if job.output is None:
            continue
        if places.identity(job.output) in sources:
            raise UsageError(
                f"{job.output}: the result of {job.input} would overwrite an input",
                hint="Write to another directory, or set in-place = true.",
            )
        name = str(job.output)
        if name in seen:
            raise UsageError(
                f"{name}: is the output of both {seen[name]} and {job.input}",
                hint="Make the names differ in the template, for example with {sha256} or {name}.",
            )
        if isinstance(job.output, Url):
            open_place(job.output)
        seen[name] = job.input
