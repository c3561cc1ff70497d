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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, InUseError, OutputError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.batch.jobs import Job

VERSION = 1
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
    error TEXT NOT NULL DEFAULT '',
    message TEXT NOT NULL DEFAULT '',
    hint TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX image_state ON image (state);
"""


class State(StrEnum):
    """What became of an image. `unchanged` is done too: all was as wished, and nothing was written."""

    PENDING = "pending"
    DONE = "done"
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
    """What came of one image. `sha256` is the result's, `seconds` the time it took; `error` names the error's class."""

    state: State
    sha256: str = ""
    engine: str = ""
    seconds: float = 0.0
    changes: tuple[FileChange, ...] = ()
    notices: tuple[str, ...] = ()
    error: str = ""
    message: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One image as the ledger knows it. `output` is None for an edit in place."""

    id: int
    input: Path
    output: Path | None
    operation: str
    outcome: Outcome


class Ledger:
    """An open ledger in its folder, where the undo files lie too."""

    def __init__(self, folder: Path, database: sqlite3.Connection) -> None:
        self.folder = folder
        self._database = database

    def enter(self, jobs: list[Job]) -> tuple[dict[int, Job], list[str]]:
        """Note down the jobs of a plan; those that are left to do, by number, and what differs from the last run.

        What is done stays done. What is not takes over the plan's wishes.
        """
        remaining: dict[int, Job] = {}
        known = {record.input: record for record in self.records()}
        news = [f"{path}: left the plan" for path in known if path not in {job.input for job in jobs}]
        with self._database:
            for job in jobs:
                record = known.get(job.input)
                wishes = (str(job.output) if job.output else None, str(job.operation))
                if record is None:
                    row = (str(job.input), *wishes, State.PENDING)
                    cursor = self._database.execute(
                        "INSERT INTO image (input, output, operation, state) VALUES (?, ?, ?, ?)", row
                    )
                    remaining[cursor.lastrowid or 0] = job
                    continue
                differs = (job.output, str(job.operation)) != (record.output, record.operation)
                if record.outcome.state in (State.DONE, State.UNCHANGED):
                    if differs:
                        news.append(f"{job.input}: was done by another plan ({record.operation}) and stays so")
                elif record.outcome.state is State.PENDING:
                    self._database.execute(
                        "UPDATE image SET output = ?, operation = ? WHERE id = ?", (*wishes, record.id)
                    )
                    remaining[record.id] = job
        return remaining, news

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
        row["changes"] = json.dumps(row["changes"])
        row["notices"] = json.dumps(row["notices"])
        names = ", ".join(f"{name} = :{name}" for name in row)
        with self._database:
            self._database.execute(f"UPDATE image SET {names} WHERE id = :id", row | {"id": number})  # noqa: S608

    def records(self) -> Iterator[Record]:
        """All images, in the order in which they were entered."""
        self._database.row_factory = sqlite3.Row
        for row in self._database.execute("SELECT * FROM image ORDER BY id").fetchall():
            outcome = Outcome(
                State(row["state"]),
                row["sha256"],
                row["engine"],
                row["seconds"],
                tuple(FileChange(**change) for change in json.loads(row["changes"])),
                tuple(json.loads(row["notices"])),
                row["error"],
                row["message"],
                row["hint"],
            )
            output = Path(row["output"]) if row["output"] else None
            yield Record(row["id"], Path(row["input"]), output, row["operation"], outcome)

    def counts(self) -> dict[State, int]:
        """How many images there are of each state."""
        found = dict(self._database.execute("SELECT state, count(*) FROM image GROUP BY state").fetchall())
        return {state: found.get(state, 0) for state in State}

    def undo_file(self, number: int) -> Path:
        """Where the undo file of an image lies."""
        return self.folder / "undo" / f"{number}.undo"


def ledger_folder(plan_file: Path) -> Path:
    """The folder of a plan's ledger: `isos.batch` beside `isos.toml`."""
    return plan_file.resolve().with_suffix(".batch")


@contextmanager
def open_ledger(folder: Path, *, create: bool = False, alone: bool = True) -> Iterator[Ledger]:
    """Open the ledger in `folder`; with `create` it is made where it is missing.

    `alone` keeps out other writers for the time of the `with` block. Raises UsageError where there is none, InUseError,
    UnsupportedError for another version's, FormatError for what is no ledger, OutputError where nothing can be written.
    """
    path = folder / "ledger.sqlite"
    if not create and not path.exists():
        raise UsageError(f"{folder}: holds no ledger", hint="Start the batch first: `imgkit batch run PLAN`.")
    try:
        (folder / "undo").mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror})", hint="Keep the plan in a folder of yours."
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
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InUseError(
            f"{folder}: another process runs this batch", hint="Wait for it, or look with `imgkit batch status PLAN`."
        ) from error


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if (application, version) == (_APPLICATION, VERSION):
        return
    (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != _APPLICATION:
        raise UnsupportedError(f"{path}: is another program's database", hint="Name the plan differently.")
    if tables:
        raise UnsupportedError(
            f"{path}: is a ledger of version {version}, this imgkit knows version {VERSION}",
            hint="Finish the batch with the imgkit that began it, or move its folder away to begin anew.",
        )
    # One transaction: a kill leaves an empty database or a whole one.
    database.executescript(
        f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
    )


def _translated(path: Path, error: sqlite3.DatabaseError) -> FormatError | OutputError:
    if isinstance(error, sqlite3.OperationalError):
        return OutputError(f"{path}: cannot be written ({error})", hint="Free some space there, and run it again.")
    return FormatError(
        f"no ledger ({error})",
        structure="SQLite database",
        offset=0,
        path=str(path),
        hint="Move the folder away to begin anew; enabled images stay enabled.",
    )
