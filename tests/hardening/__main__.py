"""`python -m tests.hardening [--hours H] [--seed N] [AREA...]`: attack for so long, and count.

Exit status 1 if anything was found that must not happen. Areas run one after the other and share the time.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.hardening.runner import AREAS, Budget, attack


def main() -> int:
    """Run the areas that are asked for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.hardening", description=__doc__)
    parser.add_argument("--hours", type=float, default=0.02, help="time for all areas together [default: 0.02]")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats a run [default: the time]")
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"of {', '.join(AREAS)} [default: all]")
    wanted = parser.parse_args()
    areas = wanted.areas or list(AREAS)
    if unknown := sorted(set(areas) - set(AREAS)):
        parser.error(f"no such area: {', '.join(unknown)}")
    print(f"seed {wanted.seed}")
    found = 0
    for area in areas:
        figures = attack(area, Budget(wanted.seed, seconds=wanted.hours * 3600 / len(areas)))
        print(figures.table(area), flush=True)
        found += len(figures.findings)
    print(f"{found} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
