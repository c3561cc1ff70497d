"""Cut the power at any instant: replay what a command did to the disk, without what was not durable yet.

The injector records every call that changes something. A disk may have kept any part of what no later fsync made
durable: contents, size and attributes of a file after fsync of the file, its name after fsync of the directory. Of a
write it may have kept the beginning.
"""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hardening.runner import Budget, Figures
from tests.hardening.scene import MARK, Scene, State, judge, lay_out, make_scenes
from tests.hardening.victim import Attack, Victim

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

_NAMES = ("create", "rename", "unlink", "link")


@dataclass(frozen=True)
class Call:
    """One call that changed something. `file` tells inodes apart; `offset` is a size for a truncation."""

    kind: str
    file: int
    name: str
    name2: str
    offset: int
    data: bytes


@dataclass
class _Inode:
    data: bytearray = field(default_factory=bytearray)
    mark: bytes | None = None


def attack(budget: Budget) -> Figures:
    """Every command, cut after each of its calls: all is kept, nothing is that was not durable, or any part of it."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        folder.mkdir()
        with Victim(Path(name)) as victim:
            records = [(scene, _record(scene, folder, victim)) for scene in make_scenes(victim, folder)]
            for scene, calls, kept, cut in _cuts(records, budget):
                state = _replayed(scene.before, calls, kept, cut, folder)
                lay_out(state, folder)
                wrong = judge(scene, folder, victim, None, again=False)
                figures.cases[f"power cut, {scene.name}"] += 1
                lost = sorted(set(range(len(calls))) - kept)
                figures.findings += [f"{scene.name}, {len(calls)} calls without {lost}: {item}" for item in wrong]
    return figures


def _cuts(
    records: Sequence[tuple[Scene, list[Call]]], budget: Budget
) -> Iterator[tuple[Scene, list[Call], set[int], int | None]]:
    """A scene, the calls before the cut, which of them are on the disk, and how much of the last write is."""
    prefixes = [(scene, calls[:n]) for scene, calls in records for n in range(len(calls) + 1)]
    budget.order.shuffle(prefixes)
    for number in itertools.count(budget.first):
        if not budget.wants_more():
            return
        turn, which = divmod(number, len(prefixes))
        scene, calls = prefixes[which]
        pending = _pending(calls)
        durable = set(range(len(calls))) - set(pending)
        yield scene, calls, durable | _some(pending, turn, budget.noise), _cut(calls, budget.noise)


def _some(pending: list[int], turn: int, noise: random.Random) -> set[int]:
    if turn < 2:
        return set(pending) if turn == 0 else set()
    share = noise.random()
    return {index for index in pending if noise.random() < share}


def _cut(calls: list[Call], noise: random.Random) -> int | None:
    if not calls or calls[-1].kind != "write" or noise.random() < 0.5:
        return None
    return noise.randrange(len(calls[-1].data) + 1)


def _pending(calls: list[Call]) -> list[int]:
    """Indices of the calls that no fsync has made durable."""
    pending: list[int] = []
    for index, call in enumerate(calls):
        if call.kind != "fsync":
            pending.append(index)
        elif call.file < 0:  # a directory
            pending = [at for at in pending if calls[at].kind not in _NAMES]
        else:
            pending = [at for at in pending if calls[at].kind in _NAMES or calls[at].file != call.file]
    return pending


def _record(scene: Scene, folder: Path, victim: Victim) -> list[Call]:
    lay_out(scene.before, folder)
    log = folder.parent / "log"
    log.unlink(missing_ok=True)
    ended = victim.run(scene.command(folder), Attack(str(folder), record=str(log)))
    assert ended.status == 0, ended
    files = {name: number for number, name in enumerate(scene.before)}
    return list(_parsed(log.read_bytes(), folder, files))


def _parsed(log: bytes, folder: Path, files: dict[str, int]) -> Iterator[Call]:
    at, numbers = 0, itertools.count(len(files))
    while at < len(log):
        end = log.index(b"\n", at)
        kind, path, path2, offset, length = log[at:end].decode().split("\t")
        at = end + 1 + int(length)
        name, name2 = Path(path).name, path2 if kind.endswith("attr") else Path(path2).name
        if kind == "create" and name not in files:
            files[name] = next(numbers)
        is_folder = path == str(folder)
        yield Call(kind, -1 if is_folder else files[name], name, name2, int(offset), log[end + 1 : at])
        if kind in ("rename", "link"):
            files[name2] = files[name]
        if kind in ("rename", "unlink"):
            del files[name]


def _replayed(before: State, calls: list[Call], kept: set[int], cut: int | None, folder: Path) -> State:
    inodes = {number: _Inode(bytearray(data), mark) for number, (data, mark) in enumerate(before.values())}
    names = {name: number for number, name in enumerate(before)}
    for index, call in enumerate(calls):
        if index in kept and call.kind != "fsync":
            data = call.data[:cut] if cut is not None and index == len(calls) - 1 else call.data
            _apply(call, data, names, inodes.setdefault(call.file, _Inode()))
    return {name: (bytes(inodes[number].data), inodes[number].mark) for name, number in names.items()}


def _apply(call: Call, data: bytes, names: dict[str, int], inode: _Inode) -> None:
    match call.kind:
        case "create":
            names[call.name] = call.file
        case "unlink":
            names.pop(call.name, None)
        case "link":
            names[call.name2] = call.file
        case "rename":
            names.pop(call.name, None)
            names[call.name2] = call.file
        case "truncate":
            inode.data.extend(bytes(max(0, call.offset - len(inode.data))))
            del inode.data[call.offset :]
        case "write":
            inode.data.extend(bytes(max(0, call.offset + len(data) - len(inode.data))))
            inode.data[call.offset : call.offset + len(data)] = data
        case "setxattr" if call.name2 == MARK:
            inode.mark = data
        case "removexattr" if call.name2 == MARK:
            inode.mark = None
