"""How many appliances run at the same time on a host: as many as its memory holds.

An appliance takes its memory little by little. One that has just begun is counted whole, an older one as what it has
taken by now, which is in the kernel's figure. Whoever wants to start one takes a slot, a locked file, which a kill
frees. All batches of a user on a host share the slots.

Memory: https://docs.kernel.org/filesystems/proc.html (MemAvailable), https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

APPLIANCE = 1_400 << 20  # bytes: libguestfs gives it 1,280 MiB, and QEMU has some of its own
_GROWN = 60.0  # seconds after which an appliance has taken what it takes
_SLOTS = 32
_POLL = 0.5  # seconds


@contextmanager
def appliance_slot() -> Iterator[None]:
    """Wait until there is memory for one more appliance; it is ours for the time of the `with` block.

    The first one may always start. Raises OutputError where no slots can be kept.
    """
    folder = _folder()
    while (slot := _take(folder)) is None:
        time.sleep(_POLL)
    try:
        yield
    finally:
        os.close(slot)


def fits(memory: int, ages: Sequence[float]) -> bool:
    """Whether `memory` (bytes) is enough for one more, with others that run for so many seconds."""
    young = sum(age < _GROWN for age in ages)
    return not ages or memory >= APPLIANCE * (1 + young)


def memory_available(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that may be taken before the host swaps, or a control group of ours is full."""
    lines = (proc / "meminfo").read_text().splitlines()
    host = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    return min([host, *_left_in_groups((proc / "self/cgroup").read_text(), groups)])


def _left_in_groups(membership: str, groups: Path) -> Iterator[int]:
    """What is left in each group above us that has a limit."""
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, names = groups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top, names = groups / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # In a container the path may be the host's, of which nothing is to be seen; the top is the container's then.
        group = top / path.lstrip("/")
        for folder in {top, *(parent for parent in (group, *group.parents) if parent.is_relative_to(top))}:
            try:
                limit, used = ((folder / name).read_text().strip() for name in names[:2])
                fields = dict(row.split() for row in (folder / "memory.stat").read_text().splitlines())
            except OSError:
                continue
            if limit != "max":
                yield max(0, int(limit) - int(used) + int(fields.get(names[2], 0)))


def _folder() -> Path:
    """The folder of the slots. Others may have made one of this name in a place that all can write to."""
    folder = Path(tempfile.gettempdir()) / f"imgkit-appliances-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror})", hint="Set TMPDIR to a directory that you own."
        ) from error
    if status.st_uid != os.getuid():
        raise OutputError(f"{folder}: belongs to another user", hint="Set TMPDIR to a directory that you own.")
    return folder


def _take(folder: Path) -> int | None:
    """A slot, locked, if one more appliance may start."""
    gate = os.open(folder / "gate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    free: int | None = None
    ages: list[float] = []
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        for number in range(_SLOTS):
            slot = os.open(folder / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if _is_locked(slot):
                ages.append(time.time() - os.fstat(slot).st_mtime)
                os.close(slot)
            elif free is None:
                free = slot
            else:
                os.close(slot)
        if free is not None and fits(memory_available(), ages):
            os.utime(free)
            return free
        if free is not None:
            os.close(free)
        return None
    finally:
        os.close(gate)


def _is_locked(slot: int) -> bool:
    try:
        fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
