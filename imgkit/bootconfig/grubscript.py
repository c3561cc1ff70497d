"""GRUB 2's scripting language as a syntax tree whose nodes know their place in the text.

This parses; it runs nothing and knows no command. It takes what GRUB's own parser takes: `grub-script-check` and this
module agree on what is a syntax error, apart from carriage returns, which GRUB drops while it reads a file and its
checker does not.

The language: https://www.gnu.org/software/grub/manual/grub/html_node/Shell_002dlike-scripting.html
Its grammar: grub-core/script/yylex.l and parser.y in GRUB's source.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from imgkit.bootconfig.kernelargs import Argument, Arguments
from imgkit.bootconfig.text import line_number
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_DEPTH = 100

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE = rf"\$(?:(?:{_NAME}|[0-9]+|[?#*@])|\{{(?:{_NAME}|[0-9]+|[?#*@])\}})"
_DOUBLE = r'"(?>(?:\\.|[^\\"])*)"'
_SINGLE = r"'[^']*+'"
_ESCAPE = r"\\(?:\r\n|.)"
_PLAIN = r"[^{}|&$;<> \t\r\n'\"\\]++"
_WORD = rf"(?>(?:{_PLAIN}|{_DOUBLE}|{_SINGLE}|{_ESCAPE}|{_VARIABLE}|\${_DOUBLE})+)"
_BLANK = re.compile(r"[ \t\r]*+(?:#[^\n]*+)?")
_TOKEN = re.compile(rf"{_BLANK.pattern}(?:(?P<mark>[\n{{}}]|;(?!;))|(?P<word>{_WORD})|\Z)", re.DOTALL)
_PIECE = re.compile(rf"({_SINGLE})|\$?({_DOUBLE})|({_ESCAPE})|({_VARIABLE})|({_PLAIN})", re.DOTALL)
_QUOTED_PIECE = re.compile(rf'\\\r?\n|\\([$\\"])|({_VARIABLE})|([^$\\]+|\\)')
_JOINED = re.compile(r"(?:\\\r?\n)+")
_SPECIAL = re.compile(r"[\\$'\"]")
_BARE = re.compile(r"[A-Za-z0-9_.,:/=+@%~^-]*")

_RESERVED = {
    *("case", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then"),
    *("until", "while", "[[", "]]"),
}
_OPERATORS = ("||", "&&", ";;", "|", "&", "<", ">")


@dataclass(frozen=True, slots=True)
class Word:
    """One word: its range in the text and its value, with `$variables` left as they are written."""

    start: int
    stop: int
    value: str
    is_dynamic: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A simple command, with the block that menuentry and submenu take."""

    words: tuple[Word, ...]
    block: tuple[Statement, ...] | None
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The first word's value."""
        return self.words[0].value

    @property
    def operands(self) -> tuple[str, ...]:
        """Values of the words behind the name."""
        return tuple(word.value for word in self.words[1:])


@dataclass(frozen=True, slots=True)
class If:
    """`if`: (condition, body) of each branch, and the body of `else`, () without one."""

    branches: tuple[tuple[tuple[Statement, ...], tuple[Statement, ...]], ...]
    otherwise: tuple[Statement, ...]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Loop:
    """`while` and `until` with a condition, `for` without one."""

    condition: tuple[Statement, ...]
    body: tuple[Statement, ...]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Function:
    """A function definition."""

    name: str
    body: tuple[Statement, ...]
    start: int
    stop: int


Statement = Command | If | Loop | Function
Block = tuple[Statement, ...]


class _Token(NamedTuple):
    kind: str  # "word", "\n", ";", "{", "}" or "end"
    start: int
    stop: int
    raw: str


@functools.lru_cache(maxsize=4)  # one edit of a menu asks several questions about one text
def parse(text: str) -> Block:
    """Statements of a script. Raises `ConfigError`, with the line, where GRUB would find a syntax error."""
    return _Parser(text).script()


def commands(block: Block) -> Iterator[Command]:
    """The commands that run when a block runs, in order: also those in conditions, loops and branches.

    Without those in function definitions and in the blocks of menu entries.
    """
    for statement in block:
        match statement:
            case Command():
                yield statement
            case If():
                for condition, body in statement.branches:
                    yield from commands(condition)
                    yield from commands(body)
                yield from commands(statement.otherwise)
            case Loop():
                yield from commands(statement.condition)
                yield from commands(statement.body)
            case Function():
                pass


def arguments(words: tuple[Word, ...]) -> Arguments:
    """Words of a kernel command as the kernel's arguments."""
    return tuple(Argument(word.value, word.start, word.stop) for word in words)


def split(text: str) -> Arguments:
    """Arguments in a text that is to become the rest of a kernel command, as in GRUB_CMDLINE_LINUX.

    Raises `ConfigError` for what would end the command or be a comment there.
    """
    words: list[Word] = []
    at = 0
    for token in _tokens(text):
        comment = text.find("#", at, token.start)
        if comment >= 0 or token.kind not in ("word", "end"):
            what = "#" if comment >= 0 else token.raw
            raise ConfigError(f"{what!r} would end the kernel's command line in grub.cfg", line=line_number(text, at))
        if token.kind == "word":
            words.append(_word(text, token))
        at = token.stop
    return arguments(tuple(words))


def quote(value: str) -> str:
    """A word for GRUB with this value."""
    if value and _BARE.fullmatch(value):
        return value
    name, equals, rest = value.partition("=")
    if not (equals and _BARE.fullmatch(name)):
        name, equals, rest = "", "", value
    return name + equals + '"' + re.sub(r'([$\\"])', r"\\\1", rest) + '"'


# -- words ------------------------------------------------------------------------------------------------------------


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while match := _TOKEN.match(text, at):
        at = match.end()
        if match["word"] is not None:
            yield _Token("word", match.start("word"), at, match["word"])
        elif match["mark"] is not None:
            yield _Token(match["mark"], at - 1, at, match["mark"])
        else:
            yield _Token("end", at, at, "end of file")
            return
    blank = _BLANK.match(text, at)
    assert blank is not None, "the empty text is a blank"
    at = blank.end()
    raise ConfigError(_complaint(text, at), line=line_number(text, at))


def _complaint(text: str, at: int) -> str:
    operator = next((operator for operator in _OPERATORS if text.startswith(operator, at)), None)
    if operator is not None:
        return f"GRUB has no {operator!r}"
    match text[at]:
        case '"' | "'":
            return f"a quote is not closed: {text[at]}"
        case "$":
            return "no variable name follows the dollar sign"
    return "nothing follows the backslash"


def _word(text: str, token: _Token) -> Word:
    if not _SPECIAL.search(token.raw):
        return Word(token.start, token.stop, token.raw, is_dynamic=False)
    values, is_dynamic = [], False
    for piece in _PIECE.finditer(text, token.start, token.stop):
        single, double, escape, variable, plain = piece.groups()
        if double is not None:
            value, has_variables = _double_quoted(text, piece.start(2), double)
            values.append(value)
            is_dynamic |= has_variables
        elif escape is not None:
            if escape.endswith("\n") and piece.end() == len(text):
                raise ConfigError("no line follows the backslash", line=line_number(text, piece.start()))
            values.append("" if escape.endswith("\n") else escape[1:])
        else:
            values.append(single[1:-1] if single is not None else variable or plain)
            is_dynamic |= variable is not None
    return Word(token.start, token.stop, "".join(values), is_dynamic)


def _double_quoted(text: str, start: int, raw: str) -> tuple[str, bool]:
    """Value of a string in double quotes, and whether it holds variables."""
    values, is_dynamic, at = [], False, 1
    while at < len(raw) - 1:
        piece = _QUOTED_PIECE.match(raw, at, len(raw) - 1)
        if piece is None:
            raise ConfigError("no variable name follows the dollar sign", line=line_number(text, start + at))
        escaped, variable, plain = piece.groups()
        values.append(escaped or variable or plain or "")
        is_dynamic |= variable is not None
        at = piece.end()
    return "".join(values), is_dynamic


# -- statements -------------------------------------------------------------------------------------------------------


class _Parser:
    """Recursive descent over the tokens; each method takes one rule of GRUB's grammar and returns its node."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.rest = _tokens(text)
        self.token = next(self.rest)
        self.stop = 0
        self.depth = 0
        self.delimited = False

    def script(self) -> Block:
        statements: list[Statement] = []
        self.newlines()
        while self.token.kind != "end":
            statements.append(self.function() if self.at("function") else self.command())
            if self.token.kind == "end":
                break
            if not self.delimiters():
                self.fail()
        return tuple(statements)

    def commands(self) -> Block:
        """One command or more, with delimiters between them and, where there are any, behind the last."""
        self.newlines()
        statements = [self.command()]
        while self.delimiters() and not self.at_end_of_body():
            statements.append(self.command())
        return tuple(statements)

    def command(self) -> Statement:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise ConfigError(f"nested deeper than {_MAX_DEPTH} levels", line=line_number(self.text, self.token.start))
        match self.token.raw:
            case "if":
                statement: Statement = self.conditional()
            case "while" | "until":
                statement = self.loop()
            case "for":
                statement = self.for_loop()
            case _:
                statement = self.simple_command()
        self.depth -= 1
        return statement

    def simple_command(self) -> Command:
        start = self.token.start
        if self.token.kind != "word" or self.token.raw in _RESERVED:
            self.fail()
        words = self.words()
        block = None
        if self.token.kind == "{":
            self.advance()
            block = self.commands()
            self.expect("}")
        return Command(words, block, start, self.stop)

    def words(self) -> tuple[Word, ...]:
        words = []
        while self.token.kind == "word":
            if self.token.raw in ("[[", "]]"):
                self.fail()
            words.append(_word(self.text, self.token))
            self.advance()
        # A line joined between words is a word of nothing, which GRUB drops (seen under GRUB 2.06).
        real = tuple(word for word in words if not _JOINED.fullmatch(self.text, word.start, word.stop))
        return real or tuple(words)

    def conditional(self) -> If:
        start = self.token.start
        branches, otherwise = [], Block()
        self.advance()
        while True:
            condition = self.body("then")
            body = self.body("elif", "else", "fi", stay=True)
            branches.append((condition, body))
            if not self.at("elif"):
                break
            self.advance()
        if self.at("else"):
            self.advance()
            otherwise = self.body("fi", stay=True)
        self.expect("fi")
        return If(tuple(branches), otherwise, start, self.stop)

    def loop(self) -> Loop:
        start = self.token.start
        self.advance()
        condition = self.body("do")
        body = self.body("done")
        return Loop(condition, body, start, self.stop)

    def for_loop(self) -> Loop:
        start = self.token.start
        self.advance()
        self.name()
        self.expect("in")
        self.words()
        if not self.delimiters():
            self.fail()
        self.expect("do")
        return Loop((), self.body("done"), start, self.stop)

    def function(self) -> Function:
        start = self.token.start
        self.advance()
        name = self.name()
        self.newlines()
        self.expect("{")
        return Function(name, self.body("}"), start, self.stop)

    def body(self, *ends: str, stay: bool = False) -> Block:
        """Commands up to one of the words `ends`, which a delimiter precedes; with `stay`, not past that word."""
        statements = self.commands()
        if not any(map(self.at, ends)) or not self.delimited:
            self.fail()
        if not stay:
            self.advance()
        return statements

    def name(self) -> str:
        name = self.token.raw
        if not re.fullmatch(_NAME, name) or name in _RESERVED:
            self.fail()
        self.advance()
        return name

    def delimiters(self) -> bool:
        """Pass one delimiter and the newlines behind it; False where there is none."""
        self.delimited = self.token.kind in (";", "\n")
        if self.delimited:
            self.advance()
            self.newlines()
        return self.delimited

    def newlines(self) -> None:
        while self.token.kind == "\n":
            self.advance()

    def at(self, word: str) -> bool:
        return self.token.raw == word

    def at_end_of_body(self) -> bool:
        return self.token.raw in ("}", "then", "elif", "else", "fi", "do", "done")

    def expect(self, word: str) -> None:
        if not self.at(word):
            self.fail()
        self.advance()

    def advance(self) -> None:
        self.stop = self.token.stop
        self.token = next(self.rest)

    def fail(self) -> None:
        what = "end of line" if self.token.kind == "\n" else self.token.raw
        raise ConfigError(
            f"GRUB would find a syntax error at {what[:40]!r}",
            line=line_number(self.text, self.token.start),
            hint="Correct the line; grub-script-check shows what GRUB makes of the file.",
        )
