"""The volume managers that are known: one line each, by the type that blkid gives to their members."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from imgkit.volumes.model import Assembly

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgkit.volumes.model import Member


def _lvm2(members: Sequence[Member]) -> Assembly:
    from imgkit.volumes.lvm2.assembly import assemble  # noqa: PLC0415  only where there is one

    return assemble(members)


VOLUME_MANAGERS: dict[str, Callable[[Sequence[Member]], Assembly]] = {"LVM2_member": _lvm2}
"""Type of the members → what assembles all members of a disk that have it."""


def assemble(members: Sequence[Member]) -> Assembly:
    """Assemble what can be made of the members, each by its own manager. Nothing is raised: see `Assembly.problems`."""
    found = [
        manager(own)
        for kind, manager in VOLUME_MANAGERS.items()
        if (own := [member for member in members if member.kind == kind])
    ]
    return Assembly(
        volumes=tuple(chain.from_iterable(each.volumes for each in found)),
        groups=dict(chain.from_iterable(each.groups.items() for each in found)),
        problems=dict(chain.from_iterable(each.problems.items() for each in found)),
        notices=tuple(chain.from_iterable(each.notices for each in found)),
    )
