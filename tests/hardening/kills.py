"""Kill a command before, after and in the middle of every call with which it changes something."""

from __future__ import annotations

from tests.hardening.points import attack_points
from tests.hardening.runner import Budget, Figures
from tests.hardening.victim import Action


def attack(budget: Budget) -> Figures:
    """All commands, all calls, three ways to die at each."""
    actions = [(action, 0) for action in (Action.KILL_BEFORE, Action.KILL_AFTER, Action.KILL_HALF)]
    return attack_points(budget, actions)
