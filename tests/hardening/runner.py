"""What all attacks share: a budget, what they count, what they find.

An area is a module of this folder with a function `attack(budget) -> Figures`, and a line in AREAS. It asks
`budget.wants_more()` before each case, and draws what is random from `budget.noise`, so that a seed repeats a run.
The suite runs every area with a small number of cases (`test_hardening.py`); `make harden HOURS=1` goes by the clock.
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

AREAS = {"kills": 60, "faults": 60, "signals": 40, "powercuts": 800, "mutate": 300}
"""The areas by module, and the cases of each in a run of the suite: some seconds of one CPU."""


@dataclass
class Budget:
    """How much an attack may do: so many cases, or until so many seconds have passed. `folder` is its to use."""

    seed: int = 1
    cases: int | None = None
    seconds: float | None = None
    noise: random.Random = field(init=False)

    def __post_init__(self) -> None:
        assert (self.cases is None) != (self.seconds is None), "a budget is a number of cases or a time"
        self.noise = random.Random(self.seed)
        self._taken = 0
        self._start = time.monotonic()

    def wants_more(self) -> bool:
        """Whether there is room for one case more, which counts as taken then."""
        if self.cases is not None:
            self._taken += 1
            return self._taken <= self.cases
        assert self.seconds is not None
        return time.monotonic() - self._start < self.seconds

    @property
    def is_long(self) -> bool:
        """Whether the clock ends it: then an attack goes round again with other seeds when it has tried everything."""
        return self.seconds is not None


@dataclass
class Figures:
    """What an attack did: `cases` by kind, and `findings`, a line for each thing that must not happen."""

    cases: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def table(self, area: str) -> str:
        """One line for each kind, and one for each finding."""
        lines = [f"{area:<12} {kind:<40} {count:>9,}" for kind, count in sorted(self.cases.items())]
        return "\n".join([*lines, *(f"{area:<12} FOUND {finding}" for finding in self.findings)])


def attack(area: str, budget: Budget) -> Figures:
    """Run one area."""
    module = import_module(f"tests.hardening.{area}")
    return cast("Callable[[Budget], Figures]", module.attack)(budget)
