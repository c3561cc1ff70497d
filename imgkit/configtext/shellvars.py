"""Files of shell assignments, as /etc/default/grub is one: what they set, and edits inside the quotes.

The shell that sources such a file runs it; this only reads it. Assignments are understood with their quoting and
with references to other variables. Whatever else a file does (conditions, command substitutions) is recognised and
makes the values that it touches uncertain; what cannot be recognised is refused.

The language: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/V3_chap02.html
"""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from imgkit.configtext import kernelargs
from imgkit.configtext.shellwords import Cell, Quote, Word, read_word, skip_blanks
from imgkit.configtext.text import Splice, append_lines, insert_lines, line_number, splice
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from imgkit.configtext.kernelargs import Arguments

_MAX_SIZE = 256 << 10
_MAX_VALUE = 64 << 10

_BARE = re.compile(r"[A-Za-z0-9_.,:/=+@%-]+")
_END = "\n"  # whatever the others end in: to a shell, a carriage return is the end of a value
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
_OPERATOR = re.compile(r"\n|;;|;|&&|&|\|\||\||\(|\)|[<>]+[&|]?")

_OPENERS = ("if", "while", "until", "for", "select", "case", "{")
_CLOSERS = ("fi", "done", "esac", "}")
_INTRODUCERS = ("then", "else", "elif", "do", "!")
_DECLARATIONS = ("export", "readonly", "declare", "typeset")
_VARIABLE_NAME = re.compile(r"(?!(?:echo|printf|test|expr)$)[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Assignment:
    """`name=value` or `name+=value`. `start` and `stop` are the range of the value, quotes included.

    `is_certain` tells whether it takes effect whatever else the file does: no condition stands before it.
    """

    name: str
    line: int
    start: int
    stop: int
    cells: tuple[Cell, ...]
    appends: bool
    is_certain: bool


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable's value after some files: which file set it last (by its place among them), and the line there.

    Without `is_certain`, `text` is a guess: conditions are taken as true, and what only a shell can tell as empty.
    """

    text: str
    is_certain: bool
    file: int
    line: int


@functools.lru_cache(maxsize=16)  # a recipe asks many questions about /etc/default/grub and its drop-ins
def parse(text: str) -> tuple[Assignment, ...]:
    """The assignments of a file, in order. Raises `ConfigError` where the file is not understood."""
    if len(text) > _MAX_SIZE:
        raise ConfigError(f"too long for a file of settings: {len(text):,} characters")
    return tuple(_Reader(text).assignments())


def evaluate(files: Iterable[str], paths: Sequence[str] = ()) -> dict[str, Variable]:
    """The variables that a shell has after it sourced `files`, in this order, in an empty environment.

    `paths` are theirs, as far as they are known: a `ConfigError` names its file.
    """
    variables: dict[str, Variable] = {}
    for number, text in enumerate(files):
        try:
            for assignment in parse(text):
                value, is_certain = _value(assignment, variables)
                variables[assignment.name] = Variable(value, is_certain, number, assignment.line)
        except ConfigError as error:
            error.path = error.path or (paths[number] if paths else "")
            raise
    return variables


def _value(assignment: Assignment, variables: dict[str, Variable]) -> tuple[str, bool]:
    value = variables.get(assignment.name) if assignment.appends else None
    parts = [value.text if value else ""]
    is_certain = assignment.is_certain and (value is None or value.is_certain)
    size = len(parts[0])
    for cell in assignment.cells:
        variable = variables.get(cell.variable)
        parts.append(variable.text if variable else cell.text)
        is_certain &= variable.is_certain if variable else bool(cell.text or cell.variable)
        size += len(parts[-1])
        if size > _MAX_VALUE:
            raise ConfigError(f"the value of {assignment.name} grows too large", line=assignment.line)
    return "".join(parts), is_certain


class _Reader:
    """Reads commands one by one and keeps track of what they are nested in."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.depth = 0
        self.subshells = 0

    def assignments(self) -> Iterator[Assignment]:
        words: list[Word] = []
        joined = False
        at = 0
        while True:
            at = skip_blanks(self.text, at)
            if at == len(self.text):
                break
            operator = _OPERATOR.match(self.text, at)
            if operator is None:
                word = read_word(self.text, at)
                at = word.stop
                if words or not self.reserved(word):
                    words.append(word)
                continue
            at = operator.end()
            if operator[0].startswith(("<", ">")):
                if operator[0].startswith("<<"):
                    self.fail("here-documents are not supported", operator.start())
                continue
            if operator[0] == "(" and words:
                at = self.function_parentheses(words, at)
                words = []
                continue
            yield from self.command(words, is_certain=not joined and operator[0] not in ("|", "&"))
            words = []
            joined = operator[0] in ("&&", "||", "|")
            self.subshells += {"(": 1, ")": -1 if self.subshells else 0}.get(operator[0], 0)
        yield from self.command(words, is_certain=not joined)
        if self.depth or self.subshells:
            self.fail("a compound command is not closed", len(self.text))

    def reserved(self, word: Word) -> bool:
        """Whether a word at the place of a command is one of the shell's own; keeps count of what it opens."""
        if word.raw in _OPENERS:
            self.depth += 1
        elif word.raw in _CLOSERS:
            self.depth -= 1
            if self.depth < 0:
                self.fail(f"{word.raw!r} closes nothing", word.start)
        return word.raw in (*_OPENERS, *_CLOSERS, *_INTRODUCERS)

    def function_parentheses(self, words: list[Word], at: int) -> int:
        """Offset behind the `()` of a function definition."""
        close = skip_blanks(self.text, at)
        if len(words) != 1 or not _NAME.fullmatch(words[0].raw) or not self.text.startswith(")", close):
            self.fail("parentheses are not supported here", at - 1)
        return close + 1

    def command(self, words: list[Word], *, is_certain: bool) -> Iterator[Assignment]:
        """The assignments that a simple command leaves behind."""
        if len(words) > 1 and _VARIABLE_NAME.fullmatch(words[0].raw) and words[1].raw.startswith("="):
            raise ConfigError(
                f"blanks around the '=' of {words[0].raw}: the shell takes this for a command",
                line=line_number(self.text, words[0].start),
                hint="Remove the blanks.",
            )
        if words and words[0].raw in _DECLARATIONS:
            words = [word for word in words[1:] if _ASSIGNMENT.match(word.raw)]
        leading = list(itertools.takewhile(lambda word: _ASSIGNMENT.match(word.raw), words))
        command = words[len(leading) :]
        # `A=1 $B` runs the command that B names, or assigns where B is empty.
        if self.subshells or not all(map(_may_vanish, command)):
            return
        for word in leading:
            yield self.assignment(word, is_certain=is_certain and not self.depth and not command)

    def assignment(self, word: Word, *, is_certain: bool) -> Assignment:
        match = _ASSIGNMENT.match(word.raw)
        assert match is not None
        start = word.start + match.end()
        return Assignment(
            name=match[1],
            line=line_number(self.text, word.start),
            start=start,
            stop=word.stop,
            cells=tuple(cell for cell in word.cells if cell.start >= start),
            appends=bool(match[2]),
            is_certain=is_certain,
        )

    def fail(self, message: str, at: int) -> NoReturn:
        raise ConfigError(message, line=line_number(self.text, at), hint="Write plain NAME=value lines.")


def _may_vanish(word: Word) -> bool:
    """Whether an expansion may leave nothing of a word."""
    return bool(word.cells) and all(not cell.text and cell.quote is Quote.BARE for cell in word.cells)


# -- edits ------------------------------------------------------------------------------------------------------------


def quote(value: str) -> str:
    """A value as it is written in double quotes."""
    return '"' + re.sub(r'([$`"\\])', r"\\\1", value) + '"'


def set_variable(text: str, name: str, value: str) -> str:
    """`text` that leaves `name` set to `value`, unless a condition in it decides otherwise later.

    The last assignment is changed where it always takes effect. Otherwise a new one comes behind the line that
    shows it as a comment (`#NAME=...`), where there is one and nothing sets the variable, or else at the end.
    """
    assignments = [assignment for assignment in parse(text) if assignment.name == name]
    line = f"{name}={value if _BARE.fullmatch(value) else quote(value)}"
    if not assignments:
        comment = re.search(rf"^#[ \t]*{name}=[^\n]*(?:\n|\Z)", text, re.MULTILINE)
        if comment is not None:
            beside = splice(text, [insert_lines(text, comment.end(), [line], _END)])
            if evaluate([beside]).get(name, Variable("", is_certain=False, file=0, line=0)).is_certain:
                return beside
        return append_lines(text, [line], _END)
    last = assignments[-1]
    if last.appends or not last.is_certain:
        return append_lines(text, [line], _END)
    if literal(last) == value:
        return text
    bare = _BARE.fullmatch(value) and all(cell.quote is Quote.BARE for cell in last.cells)
    return splice(text, [Splice(last.start, last.stop, value if bare else quote(value))])


def literal(assignment: Assignment) -> str | None:
    """The value of an assignment that needs no other variable and no command to tell; None for any other."""
    if all(cell.text for cell in assignment.cells):
        return "".join(cell.text for cell in assignment.cells)
    return None


def edit_arguments(
    assignment: Assignment,
    edit: Callable[[Arguments], Arguments],
    split: Callable[[str], Arguments],
    write: Callable[[str], str],
) -> list[Splice]:
    """Splices that edit the kernel arguments in a value; what the value refers to (`$NAME`) is one argument.

    `split` and `write` are the quoting rules of the file that the value ends up in.
    """
    parts = [cell.text or f"${{{cell.variable or '_'}}}" for cell in assignment.cells]
    value = "".join(parts)
    try:
        before = split(value)
    except ConfigError as error:
        raise ConfigError(f"{assignment.name}: {error.message}", line=assignment.line, hint=error.hint) from error
    changes = kernelargs.splices(before, edit(before), 0, follows=False, write=write)
    if not changes:
        return []
    if all(cell.text and cell.quote is Quote.BARE for cell in assignment.cells):
        return [Splice(assignment.start, assignment.stop, quote(splice(value, changes)))]
    # Which cell each character of the value comes from.
    cells = [cell for cell, part in zip(assignment.cells, parts, strict=True) for _ in part]
    return [small for change in changes for small in _in_quotes(change, cells)]


def _in_quotes(change: Splice, cells: list[Cell]) -> Iterator[Splice]:
    """The splices of the file for a splice of the value: quotes stay where they are, whatever stands in them goes."""
    near = cells[change.start - 1] if change.start else cells[0]
    at = near.stop if change.start else near.start
    if change.new:
        yield Splice(at, at, _in_quote(change.new, near.quote))
    gone = dict.fromkeys(cells[change.start : change.stop])
    yield from (Splice(cell.start, cell.stop, "") for cell in gone)


def _in_quote(new: str, where: Quote) -> str:
    match where:
        case Quote.DOUBLE:
            return quote(new)[1:-1]
        case Quote.SINGLE:
            return new.replace("'", "'\\''")
        case Quote.BARE:
            return quote(new)
