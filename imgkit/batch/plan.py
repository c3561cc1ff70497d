"""The plan file: which images, what to do with them, and where the results go. TOML (https://toml.io/en/v1.0.0).

    inputs = ["isos/*.iso", "disks/web-*.qcow2"]   # paths and patterns, relative to the plan's folder
    list = "more.txt"                              # and a file with one path a line
    output = "serial/{stem}-serial{suffix}"        # or: in-place = true

    [operation]
    kind = "console enable"                        # or "write", "iso add"
    timeout = 5

    [[select]]                                     # what differs for some of the images
    match = "*/old-*.qcow2"
    engine = "guestfs"

Nothing is looked up here: which files the patterns name is the business of `imgkit.batch.jobs`.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imgkit.batch.operations import AddFiles, AnswerIso, EnableConsole, WriteFile
from imgkit.configtext.options import EnableOptions
from imgkit.configtext.serial import SerialConsole
from imgkit.errors import ConfigError, ImgkitError, UsageError
from imgkit.formats.image import Format
from imgkit.guest.engines.choice import EngineChoice
from imgkit.installers.answering import AnswerFile
from imgkit.storage.host import read_file, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from imgkit.batch.operations import Operation

_STRINGS = "list of strings"
_TOP = {
    "inputs": _STRINGS,
    "list": "string",
    "output": "string",
    "in-place": "boolean",
    "sha256": "boolean",
    "operation": "table",
    "select": "list of tables",
}
_SELECT = {"match": "string", "engine": "string", "root": "string", "format": "string", "allow": _STRINGS}
_CONSOLE = {
    "port": "string",
    "baud": "integer",
    "parity": "string",
    "data-bits": "integer",
    "stop-bits": "integer",
    "terminal": "string",
    "no-vga": "boolean",
}
_WISHES = {
    "quiet-off": "boolean",
    "timeout": "integer",
    "default": "string",
    "recovery": "boolean",
    "strict": "boolean",
}
_OPERATIONS = {
    "console enable": _CONSOLE | _WISHES,
    "write": {"path": "string", "contents": "string", "from": "string"},
    "iso add": {"files": _STRINGS, "at": "string", "replace": "boolean"},
    "iso answers": {"file": "string", "replace": "boolean"} | _CONSOLE | _WISHES,
}


@dataclass(frozen=True, slots=True)
class Selector:
    """How to open the images whose path matches a pattern (as in `fnmatch`, `*` matches "/" too)."""

    match: str
    engine: EngineChoice = EngineChoice.AUTO
    root: str | None = None
    image_format: Format | None = None
    allow: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan file says. Relative names in it start at `folder`; `output` is None for edits in place.

    With `sha256` the ledger has each result's SHA-256; all of it is read for that.
    """

    folder: Path
    operation: Operation
    inputs: tuple[str, ...] = ()
    list_file: Path | None = None
    output: str | None = None
    selectors: tuple[Selector, ...] = field(default=())
    sha256: bool = False


def read_plan(path: Path) -> Plan:
    """Read and validate a plan. Raises UsageError if it cannot be read, ConfigError with the line if it is wrong."""
    try:
        if not path.is_file() and path.exists():  # it is read again by `retry`
            raise UsageError(f"{path}: is not a regular file", hint="Name a plan file.")
        text = path.read_bytes().decode()
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8", path=str(path), hint="A plan is a TOML file.") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"is not TOML: {error}",
            path=str(path),
            hint='Correct that line; a string is in quotes, as in output = "serial/{name}".',
        ) from error
    if nul := next((line for word in _words(document) for line in word.split("\n") if "\0" in line), None):
        raise ConfigError(f"{nul!r} contains a NUL byte", path=str(path))
    return _Reader(path, text).plan(document)


def _words(value: object) -> Iterator[str]:
    """All strings of a document, but for the contents of files."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key != "contents":
                yield from (key, *_words(item))


def check_template(template: str) -> str:
    """The template of an output, if all its variables are known. Raises UsageError."""
    wrong = set(re.findall(r"\{[^{}]*\}|[{}]", template)) - {"{stem}", "{suffix}", "{name}", "{sha256}"}
    if wrong:
        hint = "It knows {stem}, {suffix}, {name} and {sha256}."
        raise UsageError(f"the template has an unknown placeholder, {min(wrong)}", hint=hint)
    return template


class _Reader:
    """Turns a TOML document into a plan; its errors name the line of what is wrong."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def plan(self, document: dict[str, Any]) -> Plan:
        self._check(document, _TOP)
        if "inputs" not in document and "list" not in document:
            raise self._error("no inputs", "", hint='List the images: inputs = ["isos/*.iso"].')
        if ("output" in document) == document.get("in-place", False):
            raise self._error(
                "give exactly one of output and in-place",
                "output" if "output" in document else "in-place",
                hint='Write output = "serial/{stem}{suffix}", or in-place = true.',
            )
        if "operation" not in document:
            raise self._error("no [operation]", "", hint='Add one: [operation], kind = "console enable".')
        folder = self._path.parent
        return Plan(
            folder=folder,
            operation=self._operation(document["operation"]),
            inputs=tuple(document.get("inputs", ())),
            list_file=folder / document["list"] if "list" in document else None,
            output=self._template(document.get("output")),
            selectors=tuple(self._selector(table, n) for n, table in enumerate(document.get("select", ()))),
            sha256=document.get("sha256", False),
        )

    def _operation(self, table: dict[str, Any]) -> Operation:
        kind = table.get("kind")
        if not isinstance(kind, str) or kind not in _OPERATIONS:
            hint = f"Choose one of: {', '.join(_OPERATIONS)}."
            raise self._error(f"unknown operation: {kind!r}", "kind", "operation", hint=hint)
        settings = {key: value for key, value in table.items() if key != "kind"}
        self._check(settings, _OPERATIONS[kind], "operation")
        try:
            if kind == "console enable":
                return _enable(settings)
            if kind == "iso answers":
                return self._answers(settings)
            return self._write(settings) if kind == "write" else self._add(settings)
        except ImgkitError as error:
            raise self._error(str(error), "", "operation", hint=error.hint) from error

    def _write(self, table: dict[str, Any]) -> WriteFile:
        if "path" not in table or ("contents" in table) == ("from" in table):
            raise UsageError("`write` takes a path, and contents or from (a file)", hint="Give one of the two.")
        if "contents" in table:
            return WriteFile(table["path"], table["contents"].encode())
        return WriteFile(table["path"], read_file(self._path.parent / table["from"]))

    def _answers(self, table: dict[str, Any]) -> AnswerIso:
        if not table.get("file"):
            raise UsageError("`iso answers` needs a file", hint='Write file = "preseed.cfg".')
        source = self._path.parent / table["file"]
        contents = read_file(source)
        AnswerFile(contents)  # raises for what no installer reads
        return AnswerIso(_enable(table), source, contents, table.get("replace", False))

    def _add(self, table: dict[str, Any]) -> AddFiles:
        if not table.get("files") or "at" not in table:
            raise UsageError("`iso add` takes files and at", hint='Write files = ["preseed.cfg"] and at = "/".')
        sources = tuple(self._path.parent / name for name in table["files"])
        return AddFiles(sources, table["at"], replace=table.get("replace", False))

    def _selector(self, table: dict[str, Any], number: int) -> Selector:
        self._check(table, _SELECT, "select", number)
        if "match" not in table:
            raise self._error("a [[select]] without match", "", "select", number, hint='Write match = "*.img".')
        for key, kind in (("engine", EngineChoice), ("format", Format)):
            words = [str(choice) for choice in kind]
            if key in table and table[key] not in words:
                hint = f"Choose one of {', '.join(words)}."
                raise self._error(f"unknown {key}: {table[key]!r}", key, "select", number, hint=hint)
        return Selector(
            match=table["match"],
            engine=EngineChoice(table.get("engine", "auto")),
            root=table.get("root"),
            image_format=Format(table["format"]) if "format" in table else None,
            allow=tuple(self._path.parent / name for name in table.get("allow", ())),
        )

    def _template(self, template: str | None) -> str | None:
        try:
            return None if template is None else check_template(template)
        except UsageError as error:
            raise self._error(error.message, "output", hint=error.hint) from error

    def _check(self, table: dict[str, Any], known: Mapping[str, str], name: str = "", number: int = 0) -> None:
        for key, value in table.items():
            if key not in known:
                raise self._error(
                    f"unknown key {key!r}", key, name, number, hint=f"Known keys: {', '.join(sorted(known))}."
                )
            if _kind(value) != known[key] and not (value == [] and known[key].startswith("list")):
                raise self._error(f"{key} is a {_kind(value)}, not a {known[key]}", key, name, number)

    def _error(
        self, message: str, key: str, table: str = "", number: int = 0, *, hint: str | None = None
    ) -> ConfigError:
        return ConfigError(message, line=self._line(key, table, number), path=str(self._path), hint=hint)

    def _line(self, key: str, table: str, number: int) -> int:
        """Where a key stands, counted from 1; its table's line if it is not found there, 0 for the file.

        tomllib keeps no positions. What this scan does not know, such as a key in an inline table, costs precision
        and never makes a wrong plan right.
        """
        start, current, seen = 0, "", -1
        for at, line in enumerate(self._lines, start=1):
            if header := re.match(r"\s*\[\[?\s*([\w.-]+)\s*\]\]?", line):
                current = header[1]
                seen += current == table
                if current == table and seen == number:
                    start = at
            elif current == table and (not table or seen == number) and _names(line, key):
                return at
        if start or not (table or key):
            return start
        start_of = re.compile(
            rf"\s*(?:\[+\s*)?{re.escape(table or key)}\b"
        )  # an inline table, or a key that is a table
        return next((at for at, line in enumerate(self._lines, start=1) if start_of.match(line)), 0)


def _enable(table: dict[str, Any]) -> EnableConsole:
    settings: dict[str, Any] = {key.replace("-", "_"): table[key] for key in _CONSOLE if key in table}
    if "no_vga" in settings:
        settings["keep_vga"] = not settings.pop("no_vga")
    if table.get("timeout", 0) < 0:
        raise UsageError("timeout is negative", hint="Give seconds, or leave it out.")
    SerialConsole(**settings)  # raises for values that nothing would take
    options = EnableOptions(**{key.replace("-", "_"): table[key] for key in _WISHES if key in table})
    return EnableConsole(tuple(sorted(settings.items())), options)


def _names(line: str, key: str) -> bool:
    return bool(key) and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line) is not None


def _kind(value: object) -> str:
    if isinstance(value, list):
        kinds = {_kind(item) for item in value}
        return f"list of {kinds.pop()}s" if len(kinds) == 1 else "list of mixed values"
    names = {bool: "boolean", int: "integer", str: "string", dict: "table"}
    return names.get(type(value), type(value).__name__)
