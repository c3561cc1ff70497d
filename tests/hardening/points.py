"""Walk over the points of attack: every scene, every changing call in it, every action at that call."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hardening.runner import Budget, Figures
from tests.hardening.scene import Scene, judge, lay_out, make_scenes
from tests.hardening.victim import Action, Attack, Ended, Victim

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Point = tuple[Scene, int, Action, int]


def attack_points(budget: Budget, actions: Sequence[tuple[Action, int]]) -> Figures:
    """Attack at every point, in an order that the seed decides, until the budget is spent or there are no more."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        folder.mkdir()
        with Victim(Path(name)) as victim:
            points = [*_points(make_scenes(victim, folder), folder, victim, actions)]
            budget.noise.shuffle(points)
            for scene, at, action, value in points:
                if not budget.wants_more():
                    break
                lay_out(scene.before, folder)
                ended = victim.run(scene.command(folder), Attack(str(folder), at, action, value))
                wrong = [*judge(scene, folder, victim, ended), *_signal_wrong(scene, folder, action, value, ended)]
                figures.cases[f"{action.name.lower().replace('_', ' ')}, {scene.name}"] += 1
                figures.findings += [f"{scene.name}, {action.name} {value} at call {at}: {item}" for item in wrong]
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
