"""Which lane of the suite this run is: the whole of it, or the quick one, which does without tools and built images.

In a whole run a missing tool fails the test that needs it. The quick lane (`make quick`, pytest's --quick) is for a
machine on which nothing is installed but Python: there such a test is skipped, by a reason that is counted in the end.
"""

from __future__ import annotations

import pytest

SLOW = ("boot", "appliance", "batch")
"""Marks of tests that the quick lane leaves out."""

_QUICK = False


def choose(*, quick: bool) -> None:
    """Called once, by tests/conftest.py."""
    global _QUICK  # noqa: PLW0603  a run has one lane
    _QUICK = quick


def is_quick() -> bool:
    """Whether this is the quick lane."""
    return _QUICK


def need(there: object, what: str, remedy: str) -> None:
    """Skip the calling test in the quick lane where `what` is not there; fail it elsewhere."""
    if there:
        return
    if _QUICK:
        pytest.skip(f"the quick lane does without {what}")
    pytest.fail(f"{what} is missing; {remedy}")
