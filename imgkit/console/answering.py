"""An installer's medium that answers by itself, on the serial line: the answers and the console, in one commit."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from imgkit.console.enabling import staged_console
from imgkit.errors import UnsupportedError
from imgkit.installers import answering
from imgkit.iso.medium import IsoImage
from imgkit.storage.copy import no_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imgkit.configtext.options import EnableOptions
    from imgkit.console.contents import ConsoleWanted
    from imgkit.console.enabling import EnabledConsole
    from imgkit.console.judge import Judgement
    from imgkit.editing import Contents, SourceLike, Staged
    from imgkit.installers.answering import AnswerFile
    from imgkit.storage.copy import Progress
    from imgkit.storage.output import Destination
    from imgkit.treeedits import TreeEdits


def answer_iso(
    source: SourceLike,
    destination: Destination | str | Path | None,
    answers: AnswerFile,
    *,
    console: ConsoleWanted = None,
    options: EnableOptions | None = None,
    undo: Path | None = None,
    progress: Progress = no_progress,
) -> EnabledConsole:
    """Put an answer file on an installer's ISO, tell its menu entries of it, and enable the serial console.

    The arguments are those of `enable_console`. The medium then installs without asking: its announcements say so.
    Which entry boots by itself, and after how long, changes only by `options`. Raises UnsupportedError for a disk and
    for a kind of file that this installer does not read, TreeError where the file's place on the ISO is taken.
    """
    with staged_answers(
        source, destination, answers, console=console, options=options, undo=undo, progress=progress
    ) as commit:
        return commit()


@contextmanager
def staged_answers(
    source: SourceLike,
    destination: Destination | str | Path | None,
    answers: AnswerFile,
    *,
    console: ConsoleWanted = None,
    options: EnableOptions | None = None,
    undo: Path | None = None,
    progress: Progress = no_progress,
    on_staged: Callable[[Staged, Judgement], None] | None = None,
) -> Iterator[Callable[[], EnabledConsole]]:
    """The first half of `answer_iso`: all is staged and judged; the value commits it."""

    def prepare(contents: Contents, edits: TreeEdits) -> Callable[[], None]:
        if not isinstance(contents, IsoImage):
            raise UnsupportedError("the image is a disk, not an ISO", hint="Use `imgkit login enable` for disks.")
        from imgkit.iso.description import describe  # noqa: PLC0415 - for its label only

        label, roots = describe(contents.tree).volume_id, contents.tree.boot_roots()
        return answering.put(edits, answers, label=label, roots=roots)

    with staged_console(
        source,
        destination,
        console=console,
        options=options,
        undo=undo,
        progress=progress,
        on_staged=on_staged,
        prepare=prepare,
    ) as commit:
        yield commit
