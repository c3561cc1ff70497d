"""Words of the shell, character by character: what each is in the value, how it is quoted, where it stands.

This expands nothing. References to variables are kept by name; command substitutions and the like are kept as places
whose value only a shell can tell.

The language: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/V3_chap02.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from imgkit.configtext.text import line_number
from imgkit.errors import ConfigError

_MAX_DEPTH = 100
_BLANK = re.compile(r"(?:[ \t]|\\\n)+|#[^\n]*")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_SPECIAL = re.compile(r"\$[0-9?#*@$!-]|\$(?=['\"])")
_PLAIN = re.compile(r"[^ \t\n;&|()<>'\"\\$`]")
_ESCAPED_IN_DOUBLE = '$`"\\'
_BACKQUOTED = re.compile(r"`(?>(?:\\.|[^\\`])*)`", re.DOTALL)
_CLOSERS = {"$(": ("(", ")"), "${": ("{", "}")}


class Quote(Enum):
    """How a character is quoted."""

    BARE = "bare"
    SINGLE = "single"
    DOUBLE = "double"


@dataclass(frozen=True, slots=True)
class Cell:
    """One character of a value and its range in the text; or a `$variable`; or something only a shell can tell.

    `text` is the character, `variable` the name of the variable; neither is set for what only a shell can tell.
    """

    start: int
    stop: int
    quote: Quote
    text: str = ""
    variable: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """One word: its range, its raw text, and the cells of its value."""

    start: int
    stop: int
    raw: str
    cells: tuple[Cell, ...]


def skip_blanks(text: str, at: int) -> int:
    """Offset of the next thing that is no blank, comment or joined line end."""
    while blank := _BLANK.match(text, at):
        at = blank.end()
    return at


def read_word(text: str, start: int) -> Word:
    """The word at `start`. Raises `ConfigError` where a quote or an expansion is not closed."""
    cells: list[Cell] = []
    at = start
    while at < len(text):
        if text[at] == "'":
            stop = _find(text, "'", at)
            cells += (Cell(i, i + 1, Quote.SINGLE, text[i]) for i in range(at + 1, stop))
            at = stop + 1
        elif text[at] == '"':
            at = _read_double(text, at, cells)
        elif text[at] == "\\":
            if at + 1 < len(text) and text[at + 1] != "\n":
                cells.append(Cell(at, at + 2, Quote.BARE, text[at + 1]))
            at += 2
        elif text[at] in "$`":
            at = _read_expansion(text, at, Quote.BARE, cells)
        elif _PLAIN.match(text, at):
            # A tilde may become a home directory, which only the shell can tell.
            cells.append(Cell(at, at + 1, Quote.BARE, "" if text[at] == "~" and text[at - 1] in "=:" else text[at]))
            at += 1
        else:
            break
    stop = min(at, len(text))
    return Word(start, stop, text[start:stop], tuple(cells))


def _read_double(text: str, start: int, cells: list[Cell]) -> int:
    """Add the cells of the string in double quotes at `start`; the offset behind it."""
    at = start + 1
    while at < len(text) and text[at] != '"':
        if text[at] in "$`":
            at = _read_expansion(text, at, Quote.DOUBLE, cells)
        elif text.startswith("\\\n", at):
            at += 2
        elif text[at] == "\\" and text[at + 1 : at + 2] and text[at + 1] in _ESCAPED_IN_DOUBLE:
            cells.append(Cell(at, at + 2, Quote.DOUBLE, text[at + 1]))
            at += 2
        else:
            cells.append(Cell(at, at + 1, Quote.DOUBLE, text[at]))
            at += 1
    if at >= len(text):
        raise ConfigError("a double quote is not closed", line=line_number(text, start), hint="Close the quote.")
    return at + 1


def _read_expansion(text: str, start: int, quote: Quote, cells: list[Cell]) -> int:
    """Add the cell of the `$...` or backquoted command at `start`; the offset behind it."""
    if variable := _VARIABLE.match(text, start):
        # The name may go on behind a line that is continued.
        goes_on = text.startswith("\\\n", variable.end()) and text[start + 1] != "{"
        cells.append(Cell(start, variable.end(), quote, variable="" if goes_on else variable[1] or variable[2]))
        return variable.end()
    if text.startswith(("$(", "${", "`"), start):
        stop = _skip_expansion(text, start, 0)
        cells.append(Cell(start, stop, quote))
        return stop
    if (special := _SPECIAL.match(text, start)) and (special.end() > start + 1 or quote is Quote.BARE):
        cells.append(Cell(start, special.end(), quote))
        return special.end()
    cells.append(Cell(start, start + 1, quote, "" if text.startswith("\\\n", start + 1) else "$"))
    return start + 1


def _skip_expansion(text: str, start: int, depth: int) -> int:
    """Offset behind the `$(...)`, `${...}` or backquoted command that starts at `start`."""
    if depth > _MAX_DEPTH:
        raise ConfigError(f"nested deeper than {_MAX_DEPTH} levels", line=line_number(text, start))
    if text[start] == "`":
        return _skip_backquoted(text, start)
    opener, closer = _CLOSERS[text[start : start + 2]]
    at, level = start + 2, 1
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 2
        elif character == "'":
            at = _find(text, "'", at) + 1
        elif character == '"':
            at = _skip_double(text, at, depth)
        elif text.startswith(("$(", "${", "`"), at):
            at = _skip_expansion(text, at, depth + 1)
        elif character == "#" and opener == "(" and text[at - 1] in " \t\n;(":
            at = _find(text, "\n", at)
        else:
            level += {opener: 1, closer: -1}.get(character, 0)
            at += 1
            if not level:
                return at
    raise ConfigError(f"{opener!r} is not closed", line=line_number(text, start))


def _skip_backquoted(text: str, start: int) -> int:
    quoted = _BACKQUOTED.match(text, start)
    if quoted is None:
        raise ConfigError("a backquote is not closed", line=line_number(text, start), hint="Close the quote.")
    return quoted.end()


def _skip_double(text: str, start: int, depth: int) -> int:
    at = start + 1
    while at < len(text) and text[at] != '"':
        if text.startswith(("$(", "${", "`"), at):
            at = _skip_expansion(text, at, depth + 1)
        else:
            at += 2 if text[at] == "\\" else 1
    if at >= len(text):
        raise ConfigError("a double quote is not closed", line=line_number(text, start), hint="Close the quote.")
    return at + 1


def _find(text: str, what: str, start: int) -> int:
    found = text.find(what, start + 1)
    if found < 0:
        raise ConfigError(f"no {what!r} closes this", line=line_number(text, start), hint="Close it.")
    return found
