"""What a batch can do to each image. Each operation is a value that travels between processes, and stages an edit."""

from __future__ import annotations

import dataclasses
import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from imgkit import addition
from imgkit.confinement import reading
from imgkit.console.answering import staged_answers
from imgkit.console.enabling import staged_console
from imgkit.editing import replace_file, staged
from imgkit.installers.answering import AnswerFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from imgkit.configtext.options import EnableOptions
    from imgkit.console.enabling import EnabledConsole
    from imgkit.console.judge import Judgement
    from imgkit.editing import Contents, Edited, ImageSource, Staged
    from imgkit.storage.output import Destination
    from imgkit.tree import Change

    OnStaged: TypeAlias = Callable[[Staged, Judgement | None], None]
    Commit: TypeAlias = Callable[[], tuple[Edited, Judgement | None]]


@dataclass(frozen=True, slots=True)
class EnableConsole:
    """Enable the serial console. What `settings` leave open, each image decides."""

    settings: tuple[tuple[str, Any], ...]
    options: EnableOptions

    @contextmanager
    def staged(
        self, source: ImageSource, destination: Destination | None, undo: Path | None, on_staged: OnStaged
    ) -> Iterator[Commit]:
        """Stage the changes; the value commits them. `on_staged` is shown them before, with the judgement."""
        with staged_console(
            source,
            destination,
            console=dict(self.settings),
            options=self.options,
            undo=undo,
            on_staged=on_staged,
        ) as commit:
            yield partial(_judged, commit)

    def __str__(self) -> str:
        said = [f"{name}={value}" for name, value in self.settings]
        asked = (f"{name}={value}" for name, value in self.options.asked().items())
        return " ".join(["console enable", *said, *asked])


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Give one file new contents."""

    path: str
    contents: bytes

    def staged(
        self, source: ImageSource, destination: Destination | None, undo: Path | None, on_staged: OnStaged
    ) -> AbstractContextManager[Commit]:
        """Stage the change of that file, none where it has these contents."""
        return _staged(replace_file(self.path, self.contents), source, destination, undo, on_staged)

    def __str__(self) -> str:
        return f"write {self.path} sha256={hashlib.sha256(self.contents).hexdigest()}"


@dataclass(frozen=True, slots=True)
class AddFiles:
    """Put host files into an ISO."""

    sources: tuple[Path, ...]
    at: str
    replace: bool = False

    def staged(
        self, source: ImageSource, destination: Destination | None, undo: Path | None, on_staged: OnStaged
    ) -> AbstractContextManager[Commit]:
        """Stage the changes that add the files."""
        readable = dataclasses.replace(source, confinement=reading(source.confinement, self.sources))
        edit = addition.add(self.sources, self.at, replace=self.replace)
        return _staged(edit, readable, destination, undo, on_staged)

    def __str__(self) -> str:
        return f"iso add {' '.join(map(str, self.sources))} {self.at}" + (" replace" if self.replace else "")


@dataclass(frozen=True, slots=True)
class AnswerIso:
    """Put an answer file on an installer's ISO, tell its menus, and enable the serial console."""

    console: EnableConsole
    file: Path
    contents: bytes = dataclasses.field(repr=False)
    replace: bool = False

    @contextmanager
    def staged(
        self, source: ImageSource, destination: Destination | None, undo: Path | None, on_staged: OnStaged
    ) -> Iterator[Commit]:
        """Stage the changes; the value commits them. `on_staged` is shown them before, with the judgement."""
        with staged_answers(
            source,
            destination,
            AnswerFile(self.contents, replace=self.replace),
            console=dict(self.console.settings),
            options=self.console.options,
            undo=undo,
            on_staged=on_staged,
        ) as commit:
            yield partial(_judged, commit)

    def __str__(self) -> str:
        said = str(self.console).removeprefix("console enable").strip()
        words = ["iso answers", f"sha256={hashlib.sha256(self.contents).hexdigest()}", said]
        return " ".join(filter(None, [*words, "replace" if self.replace else ""]))


Operation: TypeAlias = EnableConsole | WriteFile | AddFiles | AnswerIso


def _judged(commit: Callable[[], EnabledConsole]) -> tuple[Edited, Judgement]:
    enabled = commit()
    return enabled.edited, enabled.judgement


@contextmanager
def _staged(
    edit: Callable[[Contents], list[Change]],
    source: ImageSource,
    destination: Destination | None,
    undo: Path | None,
    on_staged: OnStaged,
) -> Iterator[Commit]:
    def show(what: Staged) -> None:
        on_staged(what, None)

    with staged(source, edit, destination, undo=undo, on_staged=show) as commit:
        yield lambda: (commit(), None)
