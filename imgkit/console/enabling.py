"""Enabling a serial console in an image, from opening to commit: the one composition that every caller uses.

An image is opened and the recipe's changes are staged; then `status` is asked what the staged tree has, and the judge
decides: it is committed, or refused with nothing written.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.configtext.options import EnableOptions
from imgkit.console import contents as consoles
from imgkit.console.judge import Verdict, judge, require
from imgkit.editing import as_source, clock, opened, staged
from imgkit.errors import UnsupportedError
from imgkit.iso.medium import IsoImage
from imgkit.storage.copy import no_progress
from imgkit.treeedits import TreeEdits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imgkit.accounts.wanted import LoginOptions
    from imgkit.configtext.checks import Check, Status
    from imgkit.configtext.serial import SerialConsole
    from imgkit.console.contents import ConsoleWanted
    from imgkit.console.judge import Judgement
    from imgkit.editing import Contents, Edited, SourceLike, Staged
    from imgkit.storage.copy import Progress
    from imgkit.storage.output import Destination
    from imgkit.tree import Change


@dataclass(frozen=True, slots=True)
class EnabledConsole:
    """What enabling a serial console came to: what was written, and what status says of it.

    `login_failing` are sentences on users who were to log in on the line, and still may not.
    """

    edited: Edited
    judgement: Judgement
    login_failing: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """`enabled`, or `partly` where some checks fail, or somebody may still not log in who was to."""
        return Verdict.PARTLY if self.login_failing else self.judgement.verdict

    @property
    def console(self) -> SerialConsole:
        """The console."""
        return self.judgement.console

    @property
    def changes(self) -> tuple[Change, ...]:
        """The files that were changed; none where all was as asked for."""
        return self.edited.changes

    @property
    def failing(self) -> tuple[Check, ...]:
        """What is not enabled, each with the reason and a hint."""
        return self.judgement.failing

    @property
    def announcements(self) -> tuple[str, ...]:
        """What the image does otherwise than before, such as another default entry."""
        return self.judgement.announcements


def enable_console(
    source: SourceLike,
    destination: Destination | str | Path | None = None,
    *,
    console: ConsoleWanted = None,
    options: EnableOptions | None = None,
    login: LoginOptions | None = None,
    undo: Path | None = None,
    progress: Progress = no_progress,
) -> EnabledConsole:
    """Enable the serial console of the system or the installer in an image, and write the result to `destination`.

    A destination that is a path or a URL is a new image, which replaces nothing; None writes nothing (a dry run).
    `console` may be a mapping with some of its fields: what is left open, the image decides. `login` is what shall
    change in the accounts of an installed system, in the same commit. `undo` is a file to leave with which
    `imgkit.undo` takes this back.

    The status of the staged image decides what is said: see `EnabledConsole.verdict`. Raises UnsupportedError where
    nothing could be enabled, and with `options.strict` PartlyEnabledError where not all could be; nothing is written
    then. Raises also what opening, editing and writing raise.
    """
    with staged_console(
        source, destination, console=console, options=options, login=login, undo=undo, progress=progress
    ) as commit:
        return commit()


@contextmanager
def staged_console(
    source: SourceLike,
    destination: Destination | str | Path | None = None,
    *,
    console: ConsoleWanted = None,
    options: EnableOptions | None = None,
    login: LoginOptions | None = None,
    undo: Path | None = None,
    progress: Progress = no_progress,
    on_staged: Callable[[Staged, Judgement], None] | None = None,
    prepare: Callable[[Contents, TreeEdits], Callable[[], None]] | None = None,
) -> Iterator[Callable[[], EnabledConsole]]:
    """The first half of `enable_console`: all is staged and judged; the value, called once or not at all, commits it.

    `on_staged` is shown what will be done, and the judgement, before anything is. `prepare` edits before the console is
    enabled; what it returns is called after that, to announce what has come of both.
    """
    source, options = as_source(source), options or EnableOptions()
    announcements: list[str] = []
    judgements: list[Judgement] = []
    wanted: list[SerialConsole] = []
    refused: list[str] = []
    now_ns = clock()

    def edit(contents: Contents) -> list[Change]:
        edits = TreeEdits(contents.tree)  # what the one reads, the other need not read again
        conclude = prepare(contents, edits) if prepare is not None else None
        wanted.append(consoles.console_to_enable(contents, console, edits))
        changes = consoles.enable(contents, wanted[0], options, edits, announce=announcements.append)
        if conclude is not None:
            conclude()
            announcements.extend(each for each in edits.announcements if each not in announcements)
        if login is None or login.is_empty:
            return changes
        if isinstance(contents, IsoImage):
            raise UnsupportedError("an ISO has no accounts to log in with", hint="Omit --login for an ISO.")
        from imgkit.console.login import enable_in  # noqa: PLC0415 - where it is wanted

        return enable_in(edits, wanted[0], login, now_ns, announcements.append)

    def check(contents: Contents) -> None:
        judgements.append(judge(consoles.status(contents, wanted[0]), announcements))
        require(judgements[0], source.path, strict=options.strict)
        if login is not None and not login.is_empty:
            from imgkit.console.login import failing, status_of  # noqa: PLC0415

            refused.extend(failing(status_of(TreeEdits(contents.tree), wanted[0], now_ns), login))

    def show(what: Staged) -> None:
        if on_staged is not None:
            on_staged(what, judgements[0])

    with staged(
        source, edit, destination, undo=undo, progress=progress, check=check, on_staged=show, now_ns=now_ns
    ) as commit:
        yield lambda: EnabledConsole(commit(), judgements[0], tuple(refused))


def console_status(source: SourceLike, console: ConsoleWanted = None) -> Status:
    """Whether the serial console of what is in an image is enabled, check by check.

    Without `console` it is the one that the image's kernels use, or the usual one for its architecture; a mapping gives
    some fields. Raises ConfigError where a configuration file cannot be understood, and what opening raises.
    """
    with opened(as_source(source)) as (_, contents):
        return consoles.status(contents, consoles.console_to_enable(contents, console) if console else None)
