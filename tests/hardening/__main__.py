"""`python -m tests.hardening [--hours H] [--seed N] [AREA...]`: attack for so long with two processes, and count.

Exit status 1 if anything was found that must not happen. The areas take turns, each with its share of the cases that an
hour has to reach (`runner.GOALS`), and go on with other cases until the time is over.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import TYPE_CHECKING

from tests.hardening import mutate
from tests.hardening.runner import AREAS, GOALS, Budget, Figures, attack

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROCESSES = 2
_ROUNDS = 5  # in which the goals of an hour are reached


def main() -> int:
    """Run the areas that are asked for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.hardening", description=__doc__)
    parser.add_argument("--hours", type=float, default=0.02, help="time for all areas together [default: 0.02]")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats a run [default: the time]")
    parser.add_argument("--again", nargs=2, metavar=("KIND", "SEED"), help="one mutated input, as a finding names it")
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"of {', '.join(AREAS)} [default: all]")
    wanted = parser.parse_args()
    if wanted.again:
        print(mutate.run(wanted.again[0], int(wanted.again[1])) or "nothing found")
        return 0
    areas = wanted.areas or list(AREAS)
    if unknown := sorted(set(areas) - set(AREAS)):
        parser.error(f"no such area: {', '.join(unknown)}")
    print(f"seed {wanted.seed}", flush=True)
    figures = run(areas, wanted.seed, wanted.hours)
    for area in areas:
        print(figures[area].table(area))
    for area in areas:
        print(f"{area:<12} {figures[area].total:>9,} cases of {GOALS[area]:,} for an hour")
    found = sum(len(each.findings) for each in figures.values())
    print(f"{found} findings")
    return 1 if found else 0


def run(areas: list[str], seed: int, hours: float) -> dict[str, Figures]:
    """What each area did when the time is over."""
    deadline = time.monotonic() + hours * 3600
    figures = {area: Figures() for area in areas}
    jobs = _jobs(areas, seed, hours, deadline)
    running: dict[Future[Figures], str] = {}
    with ProcessPoolExecutor(_PROCESSES, multiprocessing.get_context("spawn")) as pool:
        while True:
            while len(running) < _PROCESSES and time.monotonic() < deadline:
                area, budget = next(jobs)
                running[pool.submit(attack, area, budget)] = area
            if not running:
                return figures
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                area = running.pop(done)
                figures[area].add(done.result())
                for finding in done.result().findings:
                    print(f"{area:<12} FOUND {finding}", flush=True)
                print(f"{area:<12} {figures[area].total:>9,} cases so far", flush=True)


def _jobs(areas: list[str], seed: int, hours: float, deadline: float) -> Iterator[tuple[str, Budget]]:
    share = min(hours, 1)
    rounds = max(round(_ROUNDS * share), 1)
    for turn in itertools.count():
        for area in areas:
            cases = max(int(GOALS[area] * share / rounds), 1)
            yield area, Budget(seed, cases, turn * cases, deadline)


if __name__ == "__main__":
    sys.exit(main())
