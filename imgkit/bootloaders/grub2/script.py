"""GRUB 2's scripting language as a syntax tree whose nodes know their place in the text.

This parses; it runs nothing and knows no command. It takes what GRUB's own parser takes: `grub-script-check` and this
module agree on what is a syntax error, but for two things. GRUB drops carriage returns while it reads a file, its
checker does not. And a function inside `if`, a loop or another function is an error for both, but GRUB goes on with
the next line, so that menus with one work; here it is a definition like any other.

The language: https://www.gnu.org/software/grub/manual/grub/html_node/Shell_002dlike-scripting.html
Its grammar: grub-core/script/yylex.l and parser.y in GRUB's source.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.bootloaders.grub2.words import NAME, Word, is_joint, tokens, word
from imgkit.configtext.text import line_number
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_DEPTH = 100

_RESERVED = {
    *("case", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then"),
    *("until", "while", "[[", "]]"),
}


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
    """`while` and `until` with a condition; `for` with the name of its variable and the words that it takes."""

    condition: tuple[Statement, ...]
    body: tuple[Statement, ...]
    start: int
    stop: int
    name: str = ""
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Function:
    """A function definition."""

    name: str
    body: tuple[Statement, ...]
    start: int
    stop: int


Statement = Command | If | Loop | Function
Block = tuple[Statement, ...]


@functools.lru_cache(maxsize=32)  # one edit of a menu asks several questions about each of its files
def parse(text: str) -> Block:
    """Statements of a script. Raises `ConfigError`, with the line, where GRUB would find a syntax error."""
    return _Parser(text).script()


def commands(block: Block, *, functions: bool = False) -> Iterator[Command]:
    """The commands that run when a block runs, in order: also those in conditions, loops and branches.

    Those in function definitions only with `functions`, and never those in the blocks of menu entries.
    """
    for statement in block:
        match statement:
            case Command():
                yield statement
            case If():
                for condition, body in statement.branches:
                    yield from commands(condition, functions=functions)
                    yield from commands(body, functions=functions)
                yield from commands(statement.otherwise, functions=functions)
            case Loop():
                yield from commands(statement.condition, functions=functions)
                yield from commands(statement.body, functions=functions)
            case Function():
                if functions:
                    yield from commands(statement.body, functions=True)


class _Parser:
    """Recursive descent over the tokens; each method takes one rule of GRUB's grammar and returns its node."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.rest = tokens(text)
        self.token = next(self.rest)
        self.stop = 0
        self.depth = 0
        self.delimited = False

    def script(self) -> Block:
        statements: list[Statement] = []
        self.newlines()
        while self.token.kind != "end":
            statements.append(self.command())
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
            case "function":
                statement = self.function()
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
            words.append(word(self.text, self.token))
            self.advance()
        # A line joined between words is a word of nothing, which GRUB drops (seen under GRUB 2.06).
        real = tuple(each for each in words if not is_joint(self.text, each))
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
        name = self.name()
        self.expect("in")
        words = self.words()
        if not self.delimiters():
            self.fail()
        self.expect("do")
        return Loop((), self.body("done"), start, self.stop, name, words)

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
        if not NAME.fullmatch(name) or name in _RESERVED:
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
            f"GRUB would report a syntax error at {what[:40]!r}",
            line=line_number(self.text, self.token.start),
            hint="Correct the line; grub-script-check checks the file.",
        )
