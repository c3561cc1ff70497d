"""Every regular expression of the package takes time in proportion to the text, whatever the text is.

The texts are made of the expression itself: what it starts with, then one of its characters (or two of them in turn, or
one of its words) over and over, then what it does not expect. Only growth counts: an expression fails if a text
twice as long takes more than three times as long, when that is long enough to be measured.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import itertools
import pkgutil
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import pytest

import imgkit
from imgkit.installers.families import debian

METHODS = ("match", "fullmatch", "search", "finditer", "findall", "sub", "subn", "split")
SHORTEST, LONGEST = 1 << 12, 1 << 17
MEASURABLE = 1.0  # seconds of processor time
SUSPICIOUS = 0.002  # of the shortest text: a hundred times what it takes to look at each character once
SUFFIXES = ("", "\n", "\x01", "x")
# Those that take longer, and how long a text they are given: the caller cuts it, or the store takes no longer keys and
# the pattern is the user's own.
BOUNDED = {"imgkit.installers.families.debian._DISK_INFO[0]": debian._MAX_INFO, "imgkit.remote.s3place._PART[0]": 1024}
KINDS = {codes.CATEGORY_SPACE: " ", codes.CATEGORY_DIGIT: "1", codes.CATEGORY_WORD: "b", codes.CATEGORY_NOT_SPACE: "b"}
REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)
LOOKING = (codes.ASSERT, codes.ASSERT_NOT)
COMMON = " a0/=\\\"'\n"


class Use(NamedTuple):
    """An expression, where it is written, and the method that the package calls."""

    where: str
    pattern: re.Pattern[Any]
    method: str


def modules() -> Iterator[tuple[str, ast.Module]]:
    for found in pkgutil.walk_packages(imgkit.__path__, "imgkit."):
        if not found.name.endswith("__main__"):
            spec = importlib.util.find_spec(found.name)
            assert spec is not None
            assert spec.origin is not None
            yield found.name, ast.parse(Path(spec.origin).read_text())


def patterns_in(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from patterns_in((*value, *value.values()))
    elif isinstance(value, (tuple, list, set, frozenset)):
        for each in value:
            yield from patterns_in(each)


def calls(tree: ast.Module) -> dict[str, set[str]]:
    """The methods that are taken of each name in a module."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            owner = node.value
            name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
            found.setdefault(name, set()).add(node.attr)
    return found


def written_in_place(tree: ast.Module) -> Iterator[tuple[int, str, re.Pattern[Any]]]:
    """Expressions that are given to re.search and its like as they are used."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="re"), attr=method), args=[ast.Constant(value=text), *_]
            ) if method in METHODS:
                flags = re.MULTILINE if "re.MULTILINE" in ast.unparse(node) else re.NOFLAG
                yield node.lineno, method, re.compile(text, flags)  # type: ignore[type-var]


def built_in_place(tree: ast.Module) -> Iterator[tuple[int, str, re.Pattern[Any]]]:
    """Expressions that are made at run time, with a word in the place of each part that is not written there."""
    called = calls(tree)
    names = {
        call: target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
        for call in ast.walk(node.value)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="re"), attr=method), args=[ast.JoinedStr(values=parts), *_]
            ) if method in (*METHODS, "compile"):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "word" for part in parts)
                flags = re.MULTILINE if "re.MULTILINE" in ast.unparse(node) else re.NOFLAG
                methods = called.get(names.get(node, ""), {"search"}) if method == "compile" else {method}
                for each in sorted(methods):
                    yield node.lineno, each, re.compile(text, flags)


def uses() -> list[Use]:
    trees = dict(modules())
    own = {name: calls(tree) for name, tree in trees.items()}
    found = []
    for name, tree in trees.items():
        for variable, value in vars(importlib.import_module(name)).items():
            for number, pattern in enumerate(patterns_in(value)):
                elsewhere = set().union(*(each.get(variable, set()) for each in own.values()))
                methods = own[name].get(variable) or elsewhere or {"match", "fullmatch"}
                found += [Use(f"{name}.{variable}[{number}]", pattern, method) for method in sorted(methods)]
        for line, method, pattern in (*written_in_place(tree), *built_in_place(tree)):
            found.append(Use(f"{name}:{line}", pattern, method))
    return list({(use.pattern, use.method): use for use in found}.values())


def sample(items: Iterable[Any]) -> tuple[str, set[str], set[str]]:
    """A short text that the parsed expression takes, every character that it names, and every word."""
    text, characters, words, word = "", set[str](), set[str](), ""
    for code, argument in items:
        one, named = character(code, argument)
        parts = [sample(each) for each in inside(code, argument)]
        characters |= named.union(*(more for _, more, _ in parts))
        words |= set().union(*(longer for _, _, longer in parts))
        if parts and code not in LOOKING:
            one = parts[0][0] * (max(argument[0], 1) if code in REPEATS else 1)
        word = word + one if code is codes.LITERAL else ""
        words |= {word} if len(word) > 1 else set()
        text += one[:64]
    return text, characters | set(text), words


def character(code: object, argument: Any) -> tuple[str, set[str]]:
    """One that a part of an expression takes, if it takes one, and those that it names."""
    if code is codes.LITERAL:
        return chr(argument), set()
    if code is codes.IN:
        return member(argument)
    if code is codes.NOT_LITERAL:
        return "c" if chr(argument) == "b" else "b", {chr(argument)}
    return "b" if code is codes.ANY else "", set()


def inside(code: object, argument: Any) -> list[Any]:
    """The expressions within a part of one."""
    if code is codes.BRANCH:
        return list(argument[1])
    if code is codes.ATOMIC_GROUP:
        return [argument]
    if code is codes.SUBPATTERN:
        return [argument[3]]
    if code in REPEATS:
        return [argument[2]]
    return [argument[1]] if code in LOOKING else []


def member(items: Iterable[Any]) -> tuple[str, set[str]]:
    """One character of a set, and those that stand for its parts."""
    named, excluded, is_negated = list[str](), set[str](), False
    for code, argument in items:
        if code is codes.NEGATE:
            is_negated = True
        elif code is codes.LITERAL:
            named.append(chr(argument))
        elif code is codes.RANGE:
            named.append(chr(argument[0]))
            excluded |= set(map(chr, range(argument[0], min(argument[1] + 1, argument[0] + 128))))
        elif code is codes.CATEGORY:
            named.append(KINDS.get(argument, "!"))
    if is_negated:
        return next(each for each in "bc1! \U00010000" if each not in {*named, *excluded}), set(named)
    return named[0], set(named)


def texts(pattern: re.Pattern[Any]) -> Iterator[tuple[str, str, str]]:
    """Starts, what is repeated, and ends."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    whole, characters, words = sample(parser.parse(source, pattern.flags & ~re.UNICODE & ~re.DEBUG))
    ordered = sorted(characters | set(COMMON))
    prefixes = sorted({whole[:length] for length in range(min(len(whole), 24) + 1)} | {whole})
    pairs = map("".join, itertools.permutations(sorted(characters)[:8], 2))
    pumps = [*ordered, *sorted(words)[:20], *pairs, whole]
    yield from itertools.product(prefixes[:6] + prefixes[-3:], filter(None, dict.fromkeys(pumps)), SUFFIXES)


def seconds(use: Use, text: str) -> float:
    given: Any = text if isinstance(use.pattern.pattern, str) else text.encode("latin-1", "replace")
    called = getattr(use.pattern, use.method)
    start = time.process_time()
    if use.method in ("sub", "subn"):
        called(given[:0], given)
    elif use.method == "finditer":
        for _ in called(given):
            pass
    else:
        called(given)
    return time.process_time() - start


def grows_too_fast(use: Use, start: str, pump: str, end: str) -> bool:
    if use.where in BOUNDED:
        return seconds(use, (start + pump * (length := BOUNDED[use.where]) + end)[:length]) > MEASURABLE
    before, length = 0.0, SHORTEST
    while length <= LONGEST:
        now = seconds(use, start + pump * (length // len(pump)) + end)
        if now > MEASURABLE:
            return now > 3 * before
        if length == SHORTEST and now < SUSPICIOUS:
            return False
        before, length = now, 2 * length
    return False


USES = uses()


def test_the_expressions_are_found():
    assert len(USES) > 120
    assert {"imgkit.bootloaders.grub2.words._TOKEN[0]", "imgkit.bootloaders.bootmenu._MARKS[0]"} <= {
        use.where for use in USES
    }
    assert any(use.where.startswith("imgkit.configtext.shellvars:") for use in USES)  # it is built at run time


def test_an_expression_that_is_not_linear_is_told():
    assert grows_too_fast(Use("", re.compile(r"[ \t]*="), "search"), "", " ", "x")
    assert not grows_too_fast(Use("", re.compile(r"[ \t]*="), "match"), "", " ", "x")


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.where}.{use.method}")
def test_a_text_twice_as_long_takes_twice_as_long(use):
    for start, pump, end in texts(use.pattern):
        assert not grows_too_fast(use, start, pump, end), (use.pattern.pattern, start, pump, end)
