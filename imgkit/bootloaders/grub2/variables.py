"""What words stand for when a GRUB script runs: variables, arguments of functions, patterns of file names.

Branches make that a variable may have one of several values, so a word stands for one of several lists of fields.
What is not known stands as `UNKNOWN` in a value; no configuration file can hold that character.

How GRUB does it: grub_script_arglist_to_argv in grub-core/script/execute.c, wildcards in grub-core/commands/wildcard.c.
"""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from imgkit.bootloaders.grub2.words import cells

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imgkit.bootloaders.grub2.words import Cell, Word

UNKNOWN = "\0"
Values = frozenset[str]
NOT_KNOWN: Values = frozenset({UNKNOWN})

_MAX_VALUES = 64
_MAX_LENGTH = 1 << 14
_MAX_EXPRESSION = 200
_MAX_REPEATS = 3
_MAX_TEXT = 256
# Groups that are not repeated, sets, and single characters that may be.
_TAME = re.compile(r"(?:\((?!\?)|\)(?![*+?{])|\[[^\[\]]*\][*+?]?|\\[^\w\s][*+?]?|[\^$|]|[^()\[\]\\*+?{}\^$|][*+?]?)*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_SPACE = " \t\n"
_WILD = "*?["
_WILDCARD = re.compile(r"[*?\[]")


class Field(NamedTuple):
    """A word after expansion, and, if it is a pattern of file names, that pattern for `fnmatch`, else ""."""

    value: str
    pattern: str = ""


class Scope(NamedTuple):
    """The variables of a script, and the arguments of the function or menu entry that runs."""

    variables: Mapping[str, Values]
    arguments: tuple[str, ...] = ()

    def values(self, name: str) -> Values:
        """What the variable may be."""
        if name.isdecimal():
            place = int(name) if len(name) < 5 else 0  # noqa: PLR2004 - no function has that many arguments
            return frozenset({self.arguments[place - 1]}) if 0 < place <= len(self.arguments) else frozenset({""})
        if name in ("@", "*"):
            return frozenset({" ".join(self.arguments)})
        if name == "#":
            return frozenset({str(len(self.arguments))})
        return self.variables.get(name, NOT_KNOWN)


def joined(one: Values, other: Values) -> Values:
    """Either value."""
    both = one | other
    return both if len(both) <= _MAX_VALUES else NOT_KNOWN


def expand(text: str, words: Sequence[Word], scope: Scope) -> list[tuple[Field, ...]]:
    """Each list of fields that the words may stand for."""
    if not any(word.is_dynamic or _WILDCARD.search(word.value) for word in words):
        return [tuple(Field(word.value) for word in words)]
    parts = [list(cells(text, word.start, word.stop)) for word in words]
    names = sorted({cell.text for part in parts for cell in part if cell.is_variable})
    choices = [sorted(scope.values(name)) for name in names]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > _MAX_VALUES:
        choices = [choice if len(choice) == 1 else [UNKNOWN] for choice in choices]
    alternatives = []
    for chosen in product(*choices):
        known = dict(zip(names, chosen, strict=True))
        alternatives.append(tuple(field for part in parts for field in _fields(part, known, scope)))
    return list(dict.fromkeys(alternatives))


def value(text: str, word: Word, scope: Scope) -> Values:
    """What one word may stand for, as the value of an assignment."""
    found = {" ".join(field.value for field in fields) for fields in expand(text, [word], scope)}
    return frozenset(value if len(value) <= _MAX_LENGTH else UNKNOWN for value in found)


def _fields(part: Sequence[Cell], known: Mapping[str, str], scope: Scope) -> Iterator[Field]:
    if len(part) == 1 and part[0].is_variable and part[0].text == "@" and part[0].quote:
        yield from map(Field, scope.arguments)
        return
    current: list[tuple[str, bool]] = []
    is_empty = True  # nothing at all, not even an empty string in quotes
    for cell in part:
        if not cell.is_variable:
            current.append((cell.text, not cell.quote))
            is_empty = False
        elif cell.quote:
            current += ((character, False) for character in known[cell.text])
            is_empty = False
        else:
            for character in known[cell.text]:
                if character not in _SPACE:
                    current.append((character, True))
                    is_empty = False
                elif not is_empty:
                    yield _field(current)
                    current, is_empty = [], True
    if not is_empty or not any(cell.is_variable for cell in part):
        yield _field(current)


def _field(characters: Sequence[tuple[str, bool]]) -> Field:
    plain = "".join(character for character, _ in characters)
    if not any(is_open and character in _WILD for character, is_open in characters):
        return Field(plain)
    return Field(
        plain,
        "".join(
            f"[{character}]" if character in _WILD and not is_open else character for character, is_open in characters
        ),
    )


# -- commands that set variables --------------------------------------------------------------------------------------


def may_set(name: str, words: Sequence[Word]) -> bool:
    """Whether a command other than `set` may set variables."""
    return name in ("unset", "read") or any(word.value.startswith(("--set", "-s")) for word in words)


def set_by(name: str, words: Sequence[str]) -> dict[str, Values]:
    """What a command other than `set` makes of variables: `regexp` and `search --set`, `read`, `unset`."""
    if name == "unset":
        return dict.fromkeys(words, frozenset({""}))
    if name == "read":
        return dict.fromkeys(words, NOT_KNOWN)
    wanted: dict[str, str] = {}
    rest: list[str] = []
    remaining = iter(words)
    for word in remaining:
        option, _, value = word.partition("=")
        if option not in ("--set", "-s"):
            rest.append(word)
            continue
        number, _, variable = (value or next(remaining, "")).rpartition(":")
        wanted[variable if _NAME.fullmatch(variable) else "root"] = number or "1"
    if name == "regexp" and len(rest) == 2:  # noqa: PLR2004 - the expression and the string
        return {variable: _captured(rest[0], rest[1], number) for variable, number in wanted.items()}
    return dict.fromkeys(wanted, NOT_KNOWN)


def _captured(expression: str, text: str, number: str) -> Values:
    """A group of a match. Only expressions are tried that cannot take long, whatever the text."""
    is_short = len(text) <= _MAX_TEXT and len(expression) <= _MAX_EXPRESSION
    is_tame = is_short and _TAME.fullmatch(expression) and sum(map(expression.count, "*+?")) <= _MAX_REPEATS
    if not is_tame or UNKNOWN in expression + text:
        return NOT_KNOWN
    try:
        match = re.search(expression, text)
    except re.error:
        return NOT_KNOWN
    if match is None or not number.isdecimal() or int(number) > len(match.groups()):
        return NOT_KNOWN
    return frozenset({match[int(number)] or ""})


# -- conditions -------------------------------------------------------------------------------------------------------


def holds(fields: Sequence[tuple[Field, ...]]) -> bool | None:
    """Whether the command with these words succeeds, of those that only look at strings; None: that is not known."""
    verdicts = {_holds([field.value for field in each]) for each in fields}
    return verdicts.pop() if len(verdicts) == 1 else None


def _holds(words: Sequence[str]) -> bool | None:
    if any(UNKNOWN in word for word in words):
        return None
    match words:
        case ["true" | "false" as name]:
            return name == "true"
        case ["[", *operands, "]"] | ["test", *operands]:
            return _test(operands)
    return None


def _test(operands: Sequence[str]) -> bool | None:
    """GRUB's command `test`, where it compares strings; None where it looks at files or numbers."""
    match operands:
        case []:
            return False
        case [word]:
            return word != ""
        case ["!", *rest]:
            verdict = _test(rest)
            return None if verdict is None else not verdict
        case ["-n" | "-z" as operator, word]:
            return (word == "") == (operator == "-z")
        case [one, "=" | "==" | "!=" as operator, other]:
            return (one == other) == (operator != "!=")
    return None
