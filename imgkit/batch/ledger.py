"""The ledger: an SQLite file that knows of every image of a batch what became of it.

Only the coordinator writes it, each result in a transaction of its own that is on the disk (synchronous=FULL,
https://www.sqlite.org/pragma.html#pragma_synchronous) before the next one is asked for. It does not decide what is
committed: undo files do (see `imgkit.batch.work`), because an image and a database cannot change in one step.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from imgkit.configtext.checks import Check, CheckKind
from imgkit.errors import FormatError, ImgkitError, InUseError, OutputError, UnsupportedError, UsageError
from imgkit.remote import parse_address
from imgkit.storage.host import real_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from imgkit.batch.jobs import Job
    from imgkit.remote import Address

VERSION = 3
_EACH = 5  # images that are told of one by one
_LISTS = ("changes", "notices", "announcements", "failing")  # kept as JSON
_LOCK_WAIT = 1.0  # seconds: those who only look hold the lock for an instant
_APPLICATION = 0x696D676B  # "imgk", https://www.sqlite.org/pragma.html#pragma_application_id
_SCHEMA = """
CREATE TABLE image (
    id INTEGER PRIMARY KEY,
    input TEXT NOT NULL UNIQUE,
    output TEXT,
    operation TEXT NOT NULL,
    state TEXT NOT NULL,
    sha256 TEXT NOT NULL DEFAULT '',
    engine TEXT NOT NULL DEFAULT '',
    seconds REAL NOT NULL DEFAULT 0,
    changes TEXT NOT NULL DEFAULT '[]',
    notices TEXT NOT NULL DEFAULT '[]',
    layout TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    message TEXT NOT NULL DEFAULT '',
    hint TEXT NOT NULL DEFAULT '',
    input_version TEXT NOT NULL DEFAULT '',
    verdict TEXT NOT NULL DEFAULT '',
    announcements TEXT NOT NULL DEFAULT '[]',
    failing TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE INDEX image_state ON image (state);
"""


class State(StrEnum):
    """What became of an image. `unchanged` is done too: all was as wished, and nothing was written.

    `partly` is done as far as it could be: the serial console is enabled in part only.
    """

    PENDING = "pending"
    DONE = "done"
    PARTLY = "partly"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file inside an image that was changed, with its unified diff."""

    path: str
    diff: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one image. `sha256` is the result's if requested, `seconds` the time it took.

    `error` names the class of an error.

    `layout` is the image's map (see `imgkit.layoutmap.model.encode`), "" where there is none. `input_version` tells
    which of the files that have had its name the input was. `verdict`, `announcements` and `failing` are the judgement
    on a serial console that was enabled (see `imgkit.console.judge`); the verdict is "" for other operations.
    """

    state: State
    sha256: str = ""
    engine: str = ""
    seconds: float = 0.0
    changes: tuple[FileChange, ...] = ()
    notices: tuple[str, ...] = ()
    layout: str = ""
    error: str = ""
    message: str = ""
    hint: str = ""
    input_version: str = ""
    verdict: str = ""
    announcements: tuple[str, ...] = ()
    failing: tuple[Check, ...] = ()


def failure(error: BaseException, seconds: float = 0.0) -> Outcome:
    """The outcome that tells of an error."""
    hint = (
        (error.hint or "")
        if isinstance(error, ImgkitError)
        else "See the worker's log; if this is a bug in imgkit, please report it."
    )
    return Outcome(State.FAILED, error=type(error).__name__, message=str(error), hint=hint, seconds=seconds)


def outcome_of(values: Mapping[str, Any]) -> Outcome:
    """An outcome from its fields as JSON has them. Raises ValueError, TypeError or KeyError for what is none."""
    lists = {
        "changes": tuple(FileChange(**change) for change in values["changes"]),
        "failing": tuple(Check(**{**check, "kind": CheckKind(check["kind"])}) for check in values["failing"]),
        "notices": tuple(values["notices"]),
        "announcements": tuple(values["announcements"]),
    }
    return Outcome(**{**values, **lists, "state": State(values["state"])})


@dataclass(frozen=True, slots=True)
class Record:
    """One image as the ledger knows it. `output` is None for an edit in place. URLs are without what is secret."""

    id: int
    input: Address
    output: Address | None
    operation: str
    outcome: Outcome


class Ledger:
    """An open ledger in its folder, where the undo files lie too."""

    def __init__(self, folder: Path, database: sqlite3.Connection) -> None:
        self.folder = folder
        self._database = database

    def enter(self, jobs: list[Job]) -> tuple[dict[int, Job], list[str]]:
        """Note down the jobs of a plan; those that are left to do, by number, and what differs from the last run.

        What is done stays done. What is not takes over the plan's options.
        """
        remaining: dict[int, Job] = {}
        rows = self._database.execute("SELECT input, id, state, output, operation FROM image").fetchall()
        known = {name: tuple(rest) for name, *rest in rows}
        named = {str(job.input) for job in jobs}
        news: dict[str, list[str]] = {}
        if left := [name for name in known if name not in named]:
            news["left the plan"] = left
        with self._database:
            for job in jobs:
                options = (str(job.output) if job.output else None, str(job.operation))
                if str(job.input) not in known:
                    row = (str(job.input), *options, State.PENDING)
                    cursor = self._database.execute(
                        "INSERT INTO image (input, output, operation, state) VALUES (?, ?, ?, ?)", row
                    )
                    remaining[cursor.lastrowid or 0] = job
                    continue
                number, state, *before = known[str(job.input)]
                if state in (State.DONE, State.PARTLY, State.UNCHANGED):
                    if options != tuple(before):
                        what = f"was done by another plan ({_difference(options, before)}) and stays so"
                        news.setdefault(what, []).append(str(job.input))
                elif state == State.PENDING:
                    self._database.execute(
                        "UPDATE image SET output = ?, operation = ? WHERE id = ?", (*options, number)
                    )
                    remaining[number] = job
        return remaining, [line for what, names in news.items() for line in _named(names, what)]

    def reopen(self, *states: State) -> int:
        """Make all images of these states pending again; their number."""
        marks = ", ".join("?" * len(states))
        with self._database:
            return self._database.execute(
                f"UPDATE image SET state = 'pending' WHERE state IN ({marks})",  # noqa: S608  only question marks
                states,
            ).rowcount

    def settle(self, number: int, outcome: Outcome) -> None:
        """Note down what came of an image; it is on the disk when this returns."""
        row = asdict(outcome)
        for name in ("message", "hint"):  # which may name a file of the image; SQLite's text is UTF-8
            row[name] = row[name].encode(errors="surrogateescape").decode(errors="backslashreplace")
        row |= {name: json.dumps(row[name]) for name in _LISTS}
        names = ", ".join(f"{name} = :{name}" for name in row)
        with self._database:
            self._database.execute(f"UPDATE image SET {names} WHERE id = :id", row | {"id": number})  # noqa: S608

    def records(self) -> Iterator[Record]:
        """All images, in the order in which they were entered."""
        yield from map(self.record, self.states())

    def record(self, number: int) -> Record:
        """One image."""
        cursor = self._database.execute("SELECT * FROM image WHERE id = ?", (number,))
        cursor.row_factory = sqlite3.Row
        row = cursor.fetchone()
        kept = {field.name: row[field.name] for field in fields(Outcome)}
        with self._understood():
            outcome = outcome_of(kept | {name: json.loads(row[name]) for name in _LISTS})
            output = parse_address(row["output"]) if row["output"] else None
            return Record(row["id"], parse_address(row["input"]), output, row["operation"], outcome)

    def states(self) -> dict[int, State]:
        """The state of every image, by number."""
        rows = self._database.execute("SELECT id, state FROM image ORDER BY id").fetchall()
        with self._understood():
            return {number: State(state) for number, state in rows}

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Have what no batch writes into a row be an error of the ledger's."""
        try:
            yield
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise _no_ledger(self.folder / "ledger.sqlite", error) from error

    def failed(self) -> list[str]:
        """Names of the images that could not be done."""
        rows = self._database.execute("SELECT input FROM image WHERE state = 'failed' ORDER BY id").fetchall()
        return [name for (name,) in rows]

    def counts(self) -> dict[State, int]:
        """How many images there are of each state."""
        found = dict(self._database.execute("SELECT state, count(*) FROM image GROUP BY state").fetchall())
        return {state: found.get(state, 0) for state in State}

    def undo_file(self, number: int) -> Path:
        """Where the undo file of an image lies."""
        return self.folder / "undo" / f"{number}.undo"


def ledger_folder(batch: Path) -> Path:
    """The folder of a batch's ledger: `isos.batch` beside the plan `isos.toml`; a folder is one itself."""
    path = real_path(batch)
    return path if path.is_dir() or not path.name else path.with_suffix(".batch")


def is_running(folder: Path) -> bool:
    """Whether a process works on the batch whose ledger lies in `folder`."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


@contextmanager
def open_ledger(folder: Path, *, create: bool = False, alone: bool = True) -> Iterator[Ledger]:
    """Open the ledger in `folder`; with `create` it is made where it is missing.

    `alone` keeps out other writers for the time of the `with` block. Raises UsageError where there is none, InUseError,
    UnsupportedError for another version's, FormatError for what is no ledger, OutputError where nothing can be written.
    """
    path = folder / "ledger.sqlite"
    if not create and not path.exists():
        raise UsageError(f"{folder}: contains no ledger", hint="Start the batch first: `imgkit batch run PLAN`.")
    try:
        (folder / "undo").mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror})", hint="Keep the plan in a directory that you can write to."
        ) from error
    try:
        if alone:
            _lock(lock, folder)
        database = sqlite3.connect(path)
        try:
            _prepare(database, path)
            yield Ledger(folder, database)
        except sqlite3.DatabaseError as error:
            raise _translated(path, error) from error
        finally:
            database.close()
    finally:
        os.close(lock)


def _lock(descriptor: int, folder: Path) -> None:
    until = time.monotonic() + _LOCK_WAIT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise InUseError(
                    f"{folder}: another process is running this batch",
                    hint="Wait for it to finish, or watch it with `imgkit batch status PLAN`.",
                ) from error
            time.sleep(_LOCK_WAIT / 20)
        else:
            return


def _difference(options: Sequence[str | None], before: Sequence[str | None]) -> str:
    """What an earlier plan wanted otherwise."""
    told = []
    if options[1] != before[1]:
        told.append(f"{before[1]}, now: {options[1]}")
    if options[0] != before[0]:
        now, then = ((place or "").rpartition("/")[0] for place in (options[0], before[0]))
        if now == then:
            now, then = options[0] or "", before[0] or ""
        told.append(f"to {then or 'itself'}, now: to {now or 'itself'}")
    return "; ".join(told)


def _named(names: list[str], what: str) -> list[str]:
    """A line for each image; one for all of them where they are many."""
    if len(names) > _EACH:
        return [f"{names[0]} and {len(names) - 1:,} more: {what}"]
    return [f"{name}: {what}" for name in names]


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if (application, version) == (_APPLICATION, VERSION):
        return
    (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != _APPLICATION:
        raise UnsupportedError(f"{path}: is another program's database", hint="Give the plan another name.")
    if tables:
        raise UnsupportedError(
            f"{path}: is a ledger of version {version}, this imgkit knows version {VERSION}",
            hint="Finish the batch with the imgkit that started it, or move its directory away to start over.",
        )
    # One transaction: a kill leaves an empty database or a whole one.
    database.executescript(
        f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
    )


def _translated(path: Path, error: sqlite3.DatabaseError) -> FormatError | OutputError:
    if isinstance(error, sqlite3.OperationalError) and "decode" not in str(error):  # a text that is not UTF-8
        return OutputError(f"{path}: cannot be written ({error})", hint="Free some space there, and run it again.")
    return _no_ledger(path, error)


def _no_ledger(path: Path, error: Exception) -> FormatError:
    return FormatError(
        f"no ledger ({error})",
        structure="SQLite database",
        offset=0,
        path=str(path),
        hint="Move the directory away to start over; enabled images stay enabled.",
    )
