"""Walk over the points of attack: every scene, every changing call in it, every action at that call."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hardening.runner import Budget, Figures
from tests.hardening.scene import Scene, judge, lay_out, make_scenes, not_a_message
from tests.hardening.victim import Action, Attack, Ended, Victim

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Point = tuple[Scene, int, Action, int]


def attack_points(budget: Budget, actions: Sequence[tuple[Action, int]]) -> Figures:
    """Attack at every point, in an order that the seed decides; when all were tried, at two points one after the other.

    The second one is in the same command, given again after the first attack.
    """
    figures = Figures()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        folder.mkdir()
        with Victim(Path(name)) as victim:
            points = [*_points(make_scenes(victim, folder), folder, victim, actions)]
            budget.order.shuffle(points)
            number = budget.first
            while budget.wants_more():
                scene, at, action, value = points[number % len(points)]
                lay_out(scene.before, folder)
                ended = victim.run(scene.command(folder), Attack(str(folder), at, action, value))
                kind, place = action.name.lower().replace("_", " "), f"{action.name} {value} at call {at}"
                if number < len(points):
                    wrong = [*judge(scene, folder, victim, ended), *_signal_wrong(scene, folder, action, value, ended)]
                else:
                    again = budget.noise.randint(1, at + 3)
                    ended = victim.run(scene.command(folder), Attack(str(folder), again, action, value))
                    wrong = [*judge(scene, folder, victim, None), *not_a_message(ended)]
                    kind, place = f"{kind} twice", f"{place}, then at call {again}"
                figures.cases[f"{kind}, {scene.name}"] += 1
                figures.findings += [f"{scene.name}, {place}: {item}" for item in wrong]
                number += 1
    return figures


def _points(
    scenes: list[Scene], folder: Path, victim: Victim, actions: Sequence[tuple[Action, int]]
) -> Iterator[Point]:
    for scene in scenes:
        lay_out(scene.before, folder)
        calls = victim.run(scene.command(folder), Attack(str(folder))).calls
        assert calls > 3, f"{scene.name}: only {calls} calls change anything"
        yield from ((scene, at, action, value) for at in range(1, calls + 1) for action, value in actions)


def _signal_wrong(scene: Scene, folder: Path, action: Action, value: int, ended: Ended) -> list[str]:
    """After a signal, nothing is left to recover, whatever the status, and the status is the signal's."""
    if action is not Action.SIGNAL:
        return []
    wrong = [] if ended.status in (0, 128 + value) else [f"status {ended.status}"]
    if ended.status and "imgkit: interrupted" not in ended.stderr:
        wrong.append(f"says {ended.stderr!r}")
    return wrong
