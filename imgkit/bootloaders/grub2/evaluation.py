"""What the words of a GRUB script stand for where they are, and what commands set.

Nothing is run: a variable has each of the values that it may have, `UNKNOWN` among them where it comes from outside.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from imgkit.bootloaders.grub2 import environment, variables
from imgkit.bootloaders.grub2.menus import Assignment
from imgkit.bootloaders.grub2.variables import NOT_KNOWN, UNKNOWN, Field, Scope, Values
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgkit.bootloaders.grub2.lookup import Lookup, Scripts
    from imgkit.bootloaders.grub2.script import Command
    from imgkit.bootloaders.grub2.source import Source
    from imgkit.bootloaders.grub2.state import Frame, State
    from imgkit.bootloaders.grub2.words import Word

SETTINGS = ("default", "timeout", "timeout_style")
"""Variables that say what a menu does by itself; each menu begins without them."""

_CHARACTERS_PER_COMMAND = 20
_NAME = re.compile(r"[A-Za-z_]\w*")


class Evaluator:
    """Words of one journey. `count` is what it has cost so far, in commands; who goes on says what is too much."""

    def __init__(self, scripts: Scripts, lookup: Lookup) -> None:
        self.scripts = scripts
        self.lookup = lookup
        self.count = 0

    def spend(self, characters: int) -> None:
        """Count text that was made as the commands that it is worth."""
        self.count += characters // _CHARACTERS_PER_COMMAND

    def assign(self, source: Source, command: Command, frame: Frame, state: State) -> None:
        """What a command sets: an assignment, `set`, `export`, and whatever names a variable for its result."""
        words = [word for word in command.words[1:] if command.name in ("set", "export")] or [command.words[0]]
        for word in words:
            name, equals, _ = word.value.partition("=")
            if equals and _NAME.fullmatch(name):
                found = variables.value(source.text, word, Scope(state.variables, frame.arguments))
                self.spend(sum(map(len, found)))
                values = frozenset(value.partition("=")[2] for value in found)
                state.variables[name] = values
                self._note_setting(source, name, values, word, frame)
        if variables.may_set(command.name, command.words[1:]):
            lists = self.expand(source, command.words[1:], frame, state)
            results = [variables.set_by(command.name, [field.value for field in fields]) for fields in lists]
            for name in {name for result in results for name in result}:
                each = [result.get(name, NOT_KNOWN) for result in results]
                state.variables[name] = functools.reduce(variables.joined, each)

    def _note_setting(self, source: Source, name: str, values: Values, word: Word, frame: Frame) -> None:
        if not frame.page.is_menu or name not in SETTINGS:
            return
        first = next(iter(values))
        value = first if len(values) == 1 and UNKNOWN not in first else word.value.partition("=")[2]
        # GRUB versions without timeout_style have shown their menu already, behind a `sleep`.
        if not (frame.after_sleep and value == "0"):
            frame.page.settings.append(Assignment(source, name, value, word))

    def load(self, source: Source, command: Command, frame: Frame, state: State) -> None:
        """What `load_env` sets: each variable of an environment block, to that value or another."""
        words = list(self.operands(source, command.words[1:], frame, state))
        named = words[words.index("-f") + 1 :][:1] if "-f" in words else []
        named += [word.partition("=")[2] for word in words if word.startswith("--file=")]
        prefixes = state.variables.get("prefix", NOT_KNOWN)
        for name in named or [f"{prefix}/grubenv" for prefix in sorted(prefixes)]:
            found = self.lookup.find(name)
            try:
                block = environment.facts(self.scripts.read(found) or b"") if found else {}
            except ConfigError:  # GRUB complains and goes on
                block = {}
            state.variables |= {name: frozenset({value, UNKNOWN}) for name, value in block.items()}

    def operands(self, source: Source, words: Sequence[Word], frame: Frame, state: State) -> tuple[str, ...]:
        """The words' values: expanded where they are known, else as they are written."""
        found: list[str] = []
        for word in words:
            if not word.is_dynamic:
                found.append(word.value)
                continue
            lists = self.expand(source, [word], frame, state)
            is_known = len(lists) == 1 and not any(UNKNOWN in field.value for field in lists[0])
            found += [field.value for field in lists[0]] if is_known else [word.value]
        return tuple(found)

    def expand(self, source: Source, words: Sequence[Word], frame: Frame, state: State) -> list[tuple[Field, ...]]:
        """The lists of fields that words may become."""
        lists = variables.expand(source.text, words, Scope(state.variables, frame.arguments))
        self.spend(sum(len(each.value) for fields in lists for each in fields))
        return lists
