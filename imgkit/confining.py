"""When an image is read confined, and who then writes it.

Once the image is open and its engine chosen, a command that only reads confines itself. One that edits forks: the child
goes on, confined, and stages; the parent keeps what writing needs and carries out the plan that the child sends.

An engine that is a kernel of its own, and an image that is read over the network, need what the walls forbid: they are
read without.
"""

from __future__ import annotations

import struct
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from imgkit.errors import EngineError, FormatError
from imgkit.storage.host import HostFile
from imgkit.storage.overlay import Patch, PatchPlan
from imgkit.storage.patchfile import impossible
from imgkit.storage.result import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from imgkit.confinement import Confinement
    from imgkit.formats.image import Image

_IN_PROCESS = ("native", "iso")
_HEAD = struct.Struct("=QQQ")  # size before, size after, number of patches; of a patch: offset and two lengths
_COMMIT = "commit"


def confine_reading(confinement: Confinement | None, image: Image, engine: str) -> None:
    """Confine this process, which has nothing to do but to read what is open and to print.

    Raises EngineError where that is required and not possible.
    """
    if _is_possible(confinement, image, engine):
        from imgkit.confinement import confine_self  # noqa: PLC0415 - ctypes takes its time

        confine_self()


@contextmanager
def confined_commit(
    confinement: Confinement | None,
    image: Image,
    engine: str,
    deliver: Callable[[], AbstractContextManager[Callable[[PatchPlan], None]]],
) -> Iterator[Callable[[PatchPlan], None]]:
    """What carries out a plan: that of `deliver`, or in a confined child, its parent, which has that of `deliver`.

    The parent never comes back from here: it raises ReaderEnded when the child has ended. Raises EngineError as
    `confine_reading` does.
    """
    if not _is_possible(confinement, image, engine):
        with deliver() as carry_out:
            yield carry_out
        return
    assert confinement is not None
    from imgkit.confinement.reader import Child, fork_reader  # noqa: PLC0415 - as above

    side = fork_reader(keep=image.descriptors, read=confinement.read)
    if isinstance(side, Child):
        with deliver() as carry_out:
            side.serve({**confinement.services, _COMMIT: partial(_carried_out, carry_out, image.host.size)})
    yield lambda plan: _done(side.ask(_COMMIT, encode(plan)))


def encode(plan: PatchPlan) -> bytes:
    """A plan as bytes, for another process of this command."""
    pieces = [_HEAD.pack(plan.size_before, plan.size_after, len(plan.patches))]
    for patch in plan.patches:
        pieces += (_HEAD.pack(patch.offset, len(patch.before), len(patch.after)), patch.before, patch.after)
    return b"".join(pieces)


def decode(data: bytes) -> PatchPlan:
    """The plan again. Raises FormatError for bytes that are none, or a plan that no edit comes to."""
    try:
        before, after, count = _HEAD.unpack_from(data)
        patches, position = [], _HEAD.size
        for _ in range(count):
            offset, old, new = _HEAD.unpack_from(data, position)
            position += _HEAD.size
            if position + old + new > len(data):
                raise _no_plan(position)
            patches.append(Patch(offset, data[position : position + old], data[position + old : position + old + new]))
            position += old + new
    except struct.error as error:
        raise _no_plan(len(data)) from error
    plan = PatchPlan(tuple(patches), before, after)
    if position != len(data) or (not plan.is_empty and impossible(plan)):
        raise _no_plan(position)
    return plan


def _is_possible(confinement: Confinement | None, image: Image, engine: str) -> bool:
    if confinement is None:
        return False
    from imgkit.confinement import walls  # noqa: PLC0415 - as above

    why = ""
    if engine not in _IN_PROCESS:
        why = f"the {engine} engine is not confined by imgkit"
    elif not isinstance(image.host, HostFile | Result):
        why = "it is read over the network"
    elif threading.active_count() > 1:
        why = "this process has other threads or work"
    missing = walls().missing()
    if confinement.required and (why or missing):
        raise EngineError(
            f"{image.path}: cannot be read confined: {why or missing}", hint="`imgkit doctor` shows what holds here."
        )
    return not why


def _carried_out(carry_out: Callable[[PatchPlan], None], size: int, data: bytes) -> bytes:
    plan = decode(data)
    if plan.size_before != size:
        raise _no_plan(0)
    carry_out(plan)
    return b""


def _done(_reply: bytes) -> None:
    """The parent has done it, or ended us."""


def _no_plan(position: int) -> FormatError:
    return FormatError("no plan of an edit", structure="staged edit", offset=position)
