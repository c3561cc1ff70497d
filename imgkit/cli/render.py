"""What people and programs see: text and diffs, JSON, errors, progress.

Data goes to standard output, prose to standard error. Text that comes from an image is cleaned of control characters,
which a terminal would obey.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import stat
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from imgkit.errors import OutputError
from imgkit.remote.url import Url
from imgkit.storage.copy import no_progress
from imgkit.tree import FileType
from imgkit.visible import visible_line, visible_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.errors import ImgkitError
    from imgkit.storage.copy import Progress
    from imgkit.tree import Change, DirectoryEntry

_PROGRESS_FROM = 64 << 20  # bytes; a shorter copy is over before a bar is read
_RED, _GREEN, _CYAN, _BOLD, _RESET = "\x1b[31m", "\x1b[32m", "\x1b[36m", "\x1b[1m", "\x1b[0m"


def out(text: str) -> None:
    """One line of data."""
    emit(visible_line(text) + "\n")


def out_text(text: str) -> None:
    """Data of several lines."""
    emit(visible_text(text.rstrip("\n")) + "\n")


def emit(data: str | bytes) -> None:
    """Data as it is. Raises OutputError where standard output takes no more, BrokenPipeError where its reader left."""
    if isinstance(data, str):
        data = data.encode(sys.stdout.encoding, errors="backslashreplace")
    with _standard_output():
        sys.stdout.buffer.write(data)


def flush() -> None:
    """Write what is buffered; raises as `emit` does."""
    with _standard_output():
        sys.stdout.flush()


def note(text: str) -> None:
    """One line of prose."""
    sys.stderr.write(f"imgkit: {visible_line(text)}\n")


def print_json(kind: str, version: int, content: Any) -> None:
    """A JSON document: `schema` names it and its version, the rest is `content`, a dataclass or a dict."""
    document = {"schema": f"imgkit/{kind}/{version}", **_plain(content)}
    emit(json.dumps(document, indent=2) + "\n")


def print_json_line(kind: str, version: int, content: Any) -> None:
    """A JSON document as one line, written at once: for commands that tell one thing after the other."""
    emit(json.dumps({"schema": f"imgkit/{kind}/{version}", **_plain(content)}) + "\n")
    flush()


def print_error(error: ImgkitError, status: int, *, as_json: bool) -> None:
    """An error and its way out, for a person or a program."""
    message = str(error)
    if error.image and error.image not in message:
        message = f"{error.image}: {message}"
    if as_json:
        # Typer leaves a note of its own, with leading underscores, on exceptions that pass it.
        fields = {n: value for n, value in vars(error).items() if n not in ("message", "hint", "image") and n[0] != "_"}
        content = {"error": type(error).__name__, "status": status, "message": message, "hint": error.hint}
        content["image"] = error.image
        print_json("error", 1, content | {"details": fields})
        return
    red, reset = (_RED, _RESET) if colour(sys.stderr) else ("", "")
    sys.stderr.write(f"{red}imgkit: error:{reset} {visible_line(message)}\n")
    for told in [*getattr(error, "__notes__", ()), *filter(None, [error.hint])]:
        sys.stderr.write(f"  {visible_line(told)}\n")


def print_diffs(changes: tuple[Change, ...]) -> None:
    """Unified diffs, coloured on a terminal."""
    coloured = colour(sys.stdout)
    for change in changes:
        for line in change.diff().removesuffix("\n").split("\n"):
            shown = visible_text(line)
            if coloured:
                shown = _paint(shown)
            emit(shown + "\n")


def long_line(entry: DirectoryEntry) -> str:
    """An entry as `ls -l` shows it: type and mode, owner, size, time in UTC, name."""
    info = entry.stat
    letter = {FileType.DIRECTORY: "d", FileType.LINK: "l", FileType.DEVICE: "c", FileType.OTHER: "?"}.get(
        info.type, "-"
    )
    mode = letter + stat.filemode(info.mode)[1:]
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(info.mtime))
    arrow = f" -> {entry.target}" if entry.target else ""
    return f"{mode} {info.uid:5} {info.gid:5} {info.size:10} {when} {entry.name}{arrow}"


def colour(stream: Any) -> bool:
    """Whether a stream shows colours: a terminal, and nobody objects (https://no-color.org)."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """A progress callback that draws a bar on a terminal, from its first call on and only if there is enough to do."""
    with ExitStack() as stack:
        update: Callable[[int], None] | None = None

        def show(done: int, total: int) -> None:
            nonlocal update
            if update is None:
                update = _drawn_bar(stack, what, total) if total >= _PROGRESS_FROM else lambda _done: None
            update(done)
            if done == total:  # what is said next is not to be drawn over
                stack.close()

        yield show if sys.stderr.isatty() else no_progress


def download_bar(what: str) -> Progress:
    """A progress callback as that of `progress_bar`, whose bar goes when all is done."""
    stack = ExitStack()
    shown = stack.enter_context(progress_bar(what))

    def show(done: int, total: int) -> None:
        shown(done, total)
        if done == total:
            stack.close()

    return show


def _drawn_bar(stack: ExitStack, what: str, total: int) -> Callable[[int], None]:
    from rich.console import Console  # rich takes 60 ms to import
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = bar.add_task(visible_line(what), total=total)
    return lambda done: bar.update(task, completed=done)


@contextmanager
def _standard_output() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        failed = standard_output_failed(error)
        if isinstance(error, BrokenPipeError):
            raise
        raise failed from error


def standard_output_failed(error: OSError) -> OutputError:
    """The error where standard output takes no more. What is buffered goes nowhere, and Python fails no second time."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OutputError(f"standard output cannot be written ({error.strerror})")


def _paint(line: str) -> str:
    if line.startswith(("---", "+++")):
        return f"{_BOLD}{line}{_RESET}"
    paint = {"+": _GREEN, "-": _RED, "@": _CYAN}.get(line[:1])
    return f"{paint}{line}{_RESET}" if paint else line


def _plain(value: Any) -> Any:
    """Dataclasses, enums, paths and bytes as JSON has them."""
    if isinstance(value, PurePath | Url):  # first: a Url is a dataclass, with its secrets as a field
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, str):
        return value.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return value
