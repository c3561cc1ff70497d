"""The words of GRUB 2's scripting language: how it tears a text into tokens, and what a quoted word means.

What words mean together is the syntax tree's business (`grubscript`).

The language: https://www.gnu.org/software/grub/manual/grub/html_node/Shell_002dlike-scripting.html
Its lexer: grub-core/script/yylex.l in GRUB's source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from imgkit.configtext.kernelargs import Argument, Arguments
from imgkit.configtext.text import line_number
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # of a variable or function

_VARIABLE = rf"\$(?:(?:{NAME.pattern}|[0-9]+|[?#*@])|\{{(?:{NAME.pattern}|[0-9]+|[?#*@])\}})"
_DOUBLE = r'"(?>(?:\\.|[^\\"]++)*)"'
_SINGLE = r"'[^']*+'"
_ESCAPE = r"\\(?:\r\n|.)"
_PLAIN = r"[^{}|&$;<> \t\r\n'\"\\]++"
_WORD = rf"(?>(?:{_PLAIN}|{_DOUBLE}|{_SINGLE}|{_ESCAPE}|{_VARIABLE}|\${_DOUBLE})+)"
_BLANK = re.compile(r"[ \t\r]*+(?:#[^\n]*+)?")
_TOKEN = re.compile(rf"{_BLANK.pattern}(?:(?P<mark>[\n{{}}]|;(?!;))|(?P<word>{_WORD})|\Z)", re.DOTALL)
_PIECE = re.compile(rf"({_SINGLE})|\$?({_DOUBLE})|({_ESCAPE})|({_VARIABLE})|({_PLAIN})", re.DOTALL)
_QUOTED_PIECE = re.compile(rf'\\\r?\n|\\([$\\"])|({_VARIABLE})|([^$\\]+|\\)')
_JOINT = re.compile(r"(?:\\\r?\n)+")
_SPECIAL = re.compile(r"[\\$'\"]")
_BARE = re.compile(r"[A-Za-z0-9_.,:/=+@%~^-]*")

# The longest menus of distributions have some 10,000 words, and the longest command line of a kernel 4,096 characters.
_MAX_TOKENS = 50_000
_MAX_WORD = 1 << 15
_MAX_SPECIAL = 100_000  # the pieces of a word: the matching engine remembers each while it reads the word
_SHORTEN = "Remove what the menu does not need from the file."

_OPERATORS = ("||", "&&", ";;", "|", "&", "<", ">")


@dataclass(frozen=True, slots=True)
class Word:
    """One word: its range in the text and its value, with `$variables` left as they are written."""

    start: int
    stop: int
    value: str
    is_dynamic: bool


class Cell(NamedTuple):
    """One character of a word's value, or the name of a variable in it: its range in the text and what quotes it."""

    text: str
    start: int
    stop: int
    quote: str  # "", "'" or '"'
    is_variable: bool = False


class Token(NamedTuple):
    """One token: its kind, range in the text and text."""

    kind: str  # "word", "\n", ";", "{", "}" or "end"
    start: int
    stop: int
    raw: str


def arguments(words: tuple[Word, ...]) -> Arguments:
    """Words of a kernel command as the kernel's arguments."""
    return tuple(Argument(word.value, word.start, word.stop) for word in words)


def split(text: str) -> Arguments:
    """Arguments in a text that is to become the rest of a kernel command, as in GRUB_CMDLINE_LINUX.

    Raises `ConfigError` for what would end the command or be a comment there.
    """
    words: list[Word] = []
    at = 0
    for token in tokens(text):
        comment = text.find("#", at, token.start)
        if comment >= 0 or token.kind not in ("word", "end"):
            what = "#" if comment >= 0 else token.raw
            raise ConfigError(f"{what!r} would end the kernel's command line in grub.cfg", line=line_number(text, at))
        if token.kind == "word":
            words.append(word(text, token))
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


def tokens(text: str) -> Iterator[Token]:
    """Tokens of a script, the last of kind "end". Raises `ConfigError` where there is none, and for too many."""
    if sum(map(text.count, "\\$'\"")) > _MAX_SPECIAL:
        raise ConfigError(f"more than {_MAX_SPECIAL:,} quotes, backslashes and dollar signs", line=1, hint=_SHORTEN)
    at = 0
    left = _MAX_TOKENS
    while match := _TOKEN.match(text, at):
        left -= 1
        if left < 0:
            raise ConfigError(f"more than {_MAX_TOKENS:,} words", line=line_number(text, at), hint=_SHORTEN)
        at = match.end()
        if match["word"] is not None:
            yield Token("word", match.start("word"), at, match["word"])
        elif match["mark"] is not None:
            yield Token(match["mark"], at - 1, at, match["mark"])
        else:
            yield Token("end", at, at, "end of file")
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


def word(text: str, token: Token) -> Word:
    """What a token of kind "word" stands for. Raises `ConfigError` for what is not finished, or too long."""
    if not _SPECIAL.search(token.raw):
        return Word(token.start, token.stop, token.raw, is_dynamic=False)
    if len(token.raw) > _MAX_WORD:
        raise ConfigError(
            f"a word of {len(token.raw):,} characters; no more than {_MAX_WORD:,} are read",
            line=line_number(text, token.start),
            hint=_SHORTEN,
        )
    parts = list(cells(text, token.start, token.stop))
    value = "".join(text[cell.start : cell.stop] if cell.is_variable else cell.text for cell in parts)
    return Word(token.start, token.stop, value, any(cell.is_variable for cell in parts))


def cells(text: str, start: int, stop: int) -> Iterator[Cell]:
    """What the word at [start, stop) is made of, in order. Raises `ConfigError` for what is not finished."""
    for piece in _PIECE.finditer(text, start, stop):
        single, double, escape, variable, plain = piece.groups()
        if double is not None:
            yield from _double_quoted(text, piece.start(2), piece.end(2))
        elif single is not None:
            yield from _characters(single[1:-1], piece.start() + 1, "'")
        elif escape is not None:
            if escape.endswith("\n") and piece.end() == len(text):
                raise ConfigError("no line follows the backslash", line=line_number(text, piece.start()))
            if not escape.endswith("\n"):
                yield Cell(escape[1:], piece.start(), piece.end(), "")
        elif variable is not None:
            yield _variable(piece[0], piece.start(), "")
        else:
            yield from _characters(plain, piece.start(), "")


def is_joint(text: str, word: Word) -> bool:
    """Whether a word is nothing but the ends of joined lines."""
    return _JOINT.fullmatch(text, word.start, word.stop) is not None


def _double_quoted(text: str, start: int, stop: int) -> Iterator[Cell]:
    """The cells of a string in double quotes."""
    at = start + 1
    while at < stop - 1:
        piece = _QUOTED_PIECE.match(text, at, stop - 1)
        if piece is None:
            raise ConfigError("no variable name follows the dollar sign", line=line_number(text, at))
        escaped, variable, plain = piece.groups()
        if escaped is not None:
            yield Cell(escaped, at, piece.end(), '"')
        elif variable is not None:
            yield _variable(variable, at, '"')
        elif plain is not None:
            yield from _characters(plain, at, '"')
        at = piece.end()


def _characters(plain: str, start: int, quote: str) -> Iterator[Cell]:
    return (Cell(character, at, at + 1, quote) for at, character in enumerate(plain, start))


def _variable(raw: str, start: int, quote: str) -> Cell:
    return Cell(raw[1:].strip("{}"), start, start + len(raw), quote, is_variable=True)
