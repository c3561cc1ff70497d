"""Have every call with which a command changes something fail: the disk is full, broken, not ours, cannot do that."""

from __future__ import annotations

import errno

from tests.hardening.points import attack_points
from tests.hardening.runner import Budget, Figures
from tests.hardening.victim import Action

_ERRORS = (
    errno.ENOSPC,
    errno.EIO,
    errno.EPERM,
    errno.EACCES,
    errno.EINVAL,
    errno.EROFS,
    errno.EDQUOT,
    errno.EOPNOTSUPP,
)


def attack(budget: Budget) -> Figures:
    """All commands, all calls, eight errors at each, and a write that stops short."""
    return attack_points(budget, [*((Action.FAIL, number) for number in _ERRORS), (Action.SHORT, 0)])
