"""Send a signal at every call with which a command changes something: what is said has to be what is on the disk."""

from __future__ import annotations

import signal

from tests.hardening.points import attack_points
from tests.hardening.runner import Budget, Figures
from tests.hardening.victim import Action


def attack(budget: Budget) -> Figures:
    """All commands, all calls, each of the signals that ask a program to end."""
    return attack_points(budget, [(Action.SIGNAL, n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)])
