"""What all attacks share: a budget, what they count, what they find.

An area is a module of this folder with a function `attack(budget) -> Figures`, and a line in AREAS. It asks
`budget.wants_more()` before each case, and draws what is random from `budget.noise`, so that a seed repeats a run.
The suite runs every area with a small number of cases (`test_hardening.py`); `make harden HOURS=1` has two processes
attack until the time is over, and reaches GOALS well before.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

AREAS = {"kills": 60, "faults": 60, "signals": 40, "powercuts": 800, "mutate": 1500}
"""The areas by module, and the cases of each in a run of the suite: some seconds of one CPU."""

GOALS = {"kills": 3_200, "faults": 3_200, "signals": 1_100, "powercuts": 11_000, "mutate": 330_000}
"""The cases of each area that an hour has to reach; they take about a third of it."""


@dataclass
class Budget:
    """How much an attack may do: so many cases, and none after `deadline` (of time.monotonic).

    An attack that knows all its cases beforehand begins with number `first`, so that several share them out.
    """

    seed: int = 1
    cases: int = 1
    first: int = 0
    deadline: float | None = None
    noise: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.noise = random.Random(f"{self.seed} {self.first}")
        self.order = random.Random(self.seed)
        self._taken = 0

    def wants_more(self) -> bool:
        """Whether there is room for one case more, which counts as taken then."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            return False
        self._taken += 1
        return self._taken <= self.cases


@dataclass
class Figures:
    """What an attack did: `cases` by kind, and `findings`, a line for each thing that must not happen."""

    cases: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All cases."""
        return sum(self.cases.values())

    def add(self, other: Figures) -> None:
        """Count what another process did."""
        self.cases += other.cases
        self.findings += other.findings

    def table(self, area: str) -> str:
        """One line for each kind, one for all of them, and one for each finding."""
        lines = [f"{area:<12} {kind:<40} {count:>9,}" for kind, count in sorted(self.cases.items())]
        lines.append(f"{area:<12} {'in all':<40} {self.total:>9,}")
        return "\n".join([*lines, *(f"{area:<12} FOUND {finding}" for finding in self.findings)])


def attack(area: str, budget: Budget) -> Figures:
    """Run one area."""
    module = import_module(f"tests.hardening.{area}")
    return cast("Callable[[Budget], Figures]", module.attack)(budget)
