"""Where following a GRUB script has come to: what is set, and in what surroundings the next command runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from imgkit.bootloaders.grub2 import terminal, variables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgkit.bootloaders.grub2.menus import Anchor, Page, Step
    from imgkit.bootloaders.grub2.script import Function
    from imgkit.bootloaders.grub2.source import Source
    from imgkit.bootloaders.grub2.terminal import Terminals
    from imgkit.bootloaders.grub2.variables import Values


class Frame(NamedTuple):
    """Where a command runs: the function's or entry's arguments, what is certain, and the file's statement."""

    page: Page
    arguments: tuple[str, ...]
    is_certain: bool
    anchor: Anchor
    own_anchor: Anchor
    depth: int = 0
    after_sleep: bool = False


@dataclass(slots=True)
class State:
    """What is set at one place of a script, along all paths to it."""

    variables: dict[str, Values]
    functions: dict[str, tuple[tuple[Source, Function], ...]]
    terminals: frozenset[Terminals]

    def copy(self) -> State:
        """A state of its own."""
        return State(dict(self.variables), dict(self.functions), self.terminals)

    def become_one_of(self, others: Sequence[State]) -> None:
        """The state behind branches. A variable that only one of them sets is taken for empty in the others."""
        names = {name for other in others for name in other.variables}
        unset = frozenset({""})
        self.variables = {name: others[0].variables.get(name, unset) for name in names}
        for other in others[1:]:
            for name in names:
                self.variables[name] = variables.joined(self.variables[name], other.variables.get(name, unset))
        functions = [(name, found) for other in others for name, found in other.functions.items()]
        self.functions = {}
        for name, found in functions:
            self.functions[name] = tuple(dict.fromkeys((*self.functions.get(name, ()), *found)))
        self.terminals = terminal.bounded(frozenset().union(*(other.terminals for other in others)))


@dataclass(slots=True)
class Opening:
    """How a menu is opened: with what state, behind what terminal commands; of several ways, all in one."""

    state: State
    switches: list[Step]
    by_itself: bool
    place: int

    def merge(self, state: State, switches: Sequence[Step], *, by_itself: bool) -> bool:
        """Take another way in as well; whether it tells anything new."""
        merged = self.state.copy()
        merged.become_one_of([self.state, state])
        is_new = merged.variables != self.state.variables or merged.terminals != self.state.terminals
        self.state, self.by_itself = merged, self.by_itself or by_itself
        known = {id(step.command) for step in self.switches}
        self.switches += [step for step in switches if id(step.command) not in known]
        return is_new
