"""Mutated images and settings: refused or served, never a crash, a hang, or a file system that is worse than before.

Foreign exceptions are findings, as are excesses of time and memory, and what an oracle says (`mutatedisks`). A finding
names kind and seed: `python -m tests.hardening --again KIND SEED` repeats the case.
"""

from __future__ import annotations

import itertools
import random
import resource
import time
from functools import partial
from typing import TYPE_CHECKING

from imgkit.errors import ImgkitError
from tests.hardening import mutatedisks, mutatetext
from tests.hardening.changes import changed_bytes, changed_text
from tests.hardening.parsers import PARSERS
from tests.hardening.runner import Budget, Figures

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST = 10.0  # seconds of the processor for one case: five times what it may take, for slow machines
_MOST_MEMORY = 128 << 10  # KiB by which one case may make the process grow

_DISKS = {"partitions": 12, "iso": 8, "qcow2": 4, "ext": 3, "fat": 3}
"""Kinds that an oracle judges, with their share of a hundred cases."""
_SETTINGS, _PARSED = 25, 45


def attack(budget: Budget) -> Figures:
    """Mutate until the budget is used up, the kinds in turns."""
    figures = Figures()
    turns = itertools.cycle(_turns())
    while budget.wants_more():
        kind = next(turns)
        seed = budget.noise.getrandbits(48)
        figures.cases[kind] += 1
        if problem := run(kind, seed):
            figures.findings.append(f"{kind!r} {seed}: {problem}")
    return figures


def run(kind: str, seed: int) -> str:
    """What is wrong in one case, or ""."""
    noise = random.Random(seed)
    started, before = time.process_time(), _memory()
    try:
        problem = _cases()[kind](noise)
    except ImgkitError:
        problem = ""
    except Exception as error:  # noqa: BLE001 - what must not come out
        problem = f"{type(error).__name__}: {error}"
    if time.process_time() - started > _LONGEST:
        problem = f"took {time.process_time() - started:.0f} seconds"
    if _memory() - before > _MOST_MEMORY:
        problem = f"took {(_memory() - before) >> 10} MiB"
    return problem


def _cases() -> dict[str, Callable[[random.Random], str]]:
    parsers = {f"parse {name}": partial(_parsed, name) for name in PARSERS}
    return {**mutatedisks.KINDS, "settings": mutatetext.case, **parsers}


def _turns() -> list[str]:
    """A hundred or so turns, the kinds mixed."""
    parsers = [f"parse {name}" for name in PARSERS]
    turns = [kind for kind, share in _DISKS.items() for _ in range(share)]
    turns += ["settings"] * _SETTINGS + parsers * max(_PARSED // len(parsers), 1)
    random.Random(0).shuffle(turns)
    return turns


def _parsed(name: str, noise: random.Random) -> str:
    parser = PARSERS[name]
    seed = noise.choice(parser.seeds())
    change = changed_text if parser.is_text else changed_bytes
    parser.feed(change(seed, noise))
    return ""


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
