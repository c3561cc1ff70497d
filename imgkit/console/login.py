"""Letting somebody in at the serial line of an installed system, from opening to commit; and who could get in.

The same flow as `enabling`: the edits are staged, the status of the staged tree is asked, and it is committed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.accounts import recipe
from imgkit.accounts import status as accounts
from imgkit.console import contents as consoles
from imgkit.console.facts import find_facts, init_of, usual_kernels
from imgkit.console.judge import Verdict
from imgkit.editing import as_source, clock, opened, staged
from imgkit.errors import UnsupportedError, UsageError
from imgkit.iso.medium import IsoImage
from imgkit.storage.copy import no_progress
from imgkit.treeedits import TreeEdits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgkit.accounts.status import LoginStatus
    from imgkit.accounts.wanted import LoginOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.console.contents import ConsoleWanted
    from imgkit.editing import Contents, Edited, SourceLike
    from imgkit.storage.copy import Progress
    from imgkit.storage.output import Destination
    from imgkit.tree import Change

_DAY_NS = 86400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class EnabledLogin:
    """What became of the accounts: what was written, and who may log in on the line now.

    `failing` are sentences on users who were to log in there and still may not.
    """

    edited: Edited
    status: LoginStatus
    failing: tuple[str, ...]
    announcements: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """`enabled`, or `partly` where somebody who was to log in on the line may not."""
        return Verdict.PARTLY if self.failing else Verdict.ENABLED

    @property
    def changes(self) -> tuple[Change, ...]:
        """The files that were changed; none where all was as asked for."""
        return self.edited.changes


def enable_login(
    source: SourceLike,
    destination: Destination | str | Path | None,
    options: LoginOptions,
    *,
    console: ConsoleWanted = None,
    undo: Path | None = None,
    progress: Progress = no_progress,
) -> EnabledLogin:
    """Give the installed system in an image accounts, passwords, keys or a name, and write it to `destination`.

    A destination that is a path or a URL is a new image; None writes nothing (a dry run). `undo` is a file to leave
    with which `imgkit.undo` takes this back; it holds the old bytes of what was changed, old password hashes too.

    Raises UsageError where nothing is wanted, UnsupportedError for an ISO, ConfigError for users that are not there.
    """
    if options.is_empty:
        raise UsageError("no change was requested", hint="Give --password, --ssh-key, --user or --autologin.")
    announcements: list[str] = []
    found: list[LoginStatus] = []
    wanted: list[SerialConsole] = []
    now_ns = clock()

    def edit(contents: Contents) -> list[Change]:
        _require_system(contents)
        edits = TreeEdits(contents.tree)
        wanted.append(consoles.console_to_enable(contents, console, edits))
        return enable_in(edits, wanted[0], options, now_ns, announcements.append)

    def check(contents: Contents) -> None:
        found.append(status_of(TreeEdits(contents.tree), wanted[0], now_ns))

    with staged(source, edit, destination, undo=undo, progress=progress, check=check, now_ns=now_ns) as commit:
        return EnabledLogin(commit(), found[0], failing(found[0], options), tuple(announcements))


def enable_in(
    edits: TreeEdits, console: SerialConsole, options: LoginOptions, now_ns: int, announce: Callable[[str], None]
) -> list[Change]:
    """The changes for the accounts, and those that `edits` have already. Raises what the recipe raises."""
    before = len(edits.announcements)
    reproducible = os.environ.get("SOURCE_DATE_EPOCH") is not None
    recipe.enable(edits, options, now=now_ns // 1_000_000_000, reproducible=reproducible)
    if options.autologin:
        facts = find_facts(edits.tree)
        kernels = usual_kernels(edits, facts)
        recipe.enable_autologin(edits, init_of(edits, facts), console, kernels, options.autologin)
    for sentence in edits.announcements[before:]:
        announce(sentence)
    return edits.changes()


def status_of(edits: TreeEdits, console: SerialConsole, now_ns: int) -> LoginStatus:
    """Who may log in on a console of an installed system."""
    facts = find_facts(edits.tree)
    kernels = usual_kernels(edits, facts)
    return accounts.status(edits, init_of(edits, facts), console, kernels, today=now_ns // _DAY_NS)


def failing(found: LoginStatus, options: LoginOptions) -> tuple[str, ...]:
    """Sentences on the users that were to log in on the line, and may not."""
    reasons = [
        f"{account.name} may not log in on {found.console.port}: {'; '.join(account.reasons)}"
        for account in found.accounts
        if account.name in options.at_the_line and not account.may_log_in
    ]
    if options.at_the_line and not found.has_prompt:
        reasons += [
            f"no login prompt on {found.console.port}: {check.message}" for check in found.prompt if not check.ok
        ]
    return tuple(reasons)


def login_status(source: SourceLike, console: ConsoleWanted = None) -> LoginStatus:
    """Who could log in on the serial console of the installed system in an image, and why the others could not.

    Without `console` it is the one that the system's kernel uses, or the usual one for its architecture. Raises
    UnsupportedError for an ISO, ConfigError for files that cannot be understood, and what opening raises.
    """
    now_ns = clock()
    with opened(as_source(source), now_ns=now_ns) as (_, contents):
        _require_system(contents)
        edits = TreeEdits(contents.tree)
        return status_of(edits, consoles.console_to_enable(contents, console, edits), now_ns)


def _require_system(contents: Contents) -> None:
    if isinstance(contents, IsoImage):
        raise UnsupportedError(
            "an ISO has no accounts",
            hint="Use `imgkit iso answers` for its installer, or give the image of an installed system.",
        )
