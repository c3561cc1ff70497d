"""Volume groups from the physical volumes of one disk: which metadata counts, and the block devices that it describes.

Of several copies of a group's metadata the one with the highest sequence number counts, as with LVM. A copy that is
damaged is passed over, and said, as long as there is a good one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, ImgkitError, UnsupportedError
from imgkit.storage.device import Window
from imgkit.storage.mapped import Linear, Striped
from imgkit.volumes.lvm2.config import parse
from imgkit.volumes.lvm2.group import parse_group
from imgkit.volumes.lvm2.label import damage, read_label, read_text
from imgkit.volumes.model import Assembly, Extent, LogicalVolume

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imgkit.storage.device import BlockDevice
    from imgkit.volumes.lvm2.group import Group, Segment, Stripe, Volume
    from imgkit.volumes.lvm2.label import Label, Text
    from imgkit.volumes.model import Member

_OTHER_ENGINE = "Use LVM itself: --engine uml or --engine guestfs."
_ALONE = "Name the image that holds the file systems; `imgkit inspect` shows what this one holds."
_WHOLE = "Bring all physical volumes of the group into one image, or see `vgreduce --removemissing`."


@dataclass(slots=True)
class _Findings:
    """What is known while members are read: by the member's name, by the group's UUID, and by that and a number."""

    labels: dict[str, Label] = field(default_factory=dict)
    problems: dict[str, ImgkitError] = field(default_factory=dict)
    damages: dict[str, ImgkitError] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    conflicts: dict[tuple[str, int], FormatError] = field(default_factory=dict)


def assemble(members: Sequence[Member]) -> Assembly:
    """The logical volumes of all groups on these members. What is damaged or incomplete is kept as a problem."""
    found = _Findings()
    for member in members:
        try:
            found.labels[member.name] = read_label(member.device)
        except FormatError as error:
            found.problems[member.name] = error
    _refuse_twins(found)
    usable = [member for member in members if member.name not in found.problems]
    for member in usable:
        _read_copies(member, found)
    volumes: list[LogicalVolume] = []
    groups: dict[str, str] = {}
    for group in sorted(found.groups.values(), key=lambda group: (group.name, group.uuid)):
        named = {physical.uuid: name for name, physical in group.physical.items() if not physical.missing}
        uuids = {member.name: found.labels[member.name].uuid for member in usable}
        own = {named[uuids[member.name]]: member for member in usable if uuids[member.name] in named}
        try:
            if conflict := found.conflicts.get((group.uuid, group.sequence)):
                raise conflict
            volumes += _Assembler(group, own, _is_ambiguous(group, found)).volumes()
            groups.update(dict.fromkeys((member.name for member in own.values()), group.name))
        except ImgkitError as error:
            found.problems.update(dict.fromkeys((member.name for member in own.values()), error))
    notices = []
    for member in usable:
        damaged = found.damages.get(member.name)
        if member.name in groups and damaged:
            notices.append(f"{member.name}: a copy of its LVM2 metadata is damaged and not used: {damaged}")
        elif member.name not in groups:
            alone = f"{member.name} is a physical volume of LVM2 that belongs to no volume group"
            found.problems.setdefault(member.name, damaged or UnsupportedError(alone, hint=_ALONE))
    return Assembly(tuple(volumes), groups, found.problems, tuple(notices))


def _refuse_twins(found: _Findings) -> None:
    """Two members with one UUID are copies of each other, of which nobody knows which one counts."""
    first: dict[str, str] = {}
    for name, label in found.labels.items():
        if label.uuid in first:
            error = UnsupportedError(
                f"{first[label.uuid]} and {name} are copies of one LVM2 physical volume ({label.uuid})",
                hint="Remove one of them, or give it another identity with vgimportclone.",
            )
            found.problems[first[label.uuid]] = found.problems[name] = error
        first.setdefault(label.uuid, name)


def _read_copies(member: Member, found: _Findings) -> None:
    """Take in every copy of the metadata on one member."""
    for area in found.labels[member.name].areas:
        try:
            text = read_text(member.device, area)
            if text is not None:
                _take(parse_group(parse(text.raw, text.offset)), text, found)
        except (FormatError, UnsupportedError) as error:
            found.damages.setdefault(member.name, error)


def _take(group: Group, text: Text, found: _Findings) -> None:
    known = found.groups.get(group.uuid)
    if known is None or known.sequence < group.sequence:
        found.groups[group.uuid] = group
    elif known.sequence == group.sequence and known != group:
        message = f"two copies of the LVM2 metadata of {group.name} have number {group.sequence} and differ"
        found.conflicts[group.uuid, group.sequence] = damage(message, text.offset, f"{group.name}/seqno")


def _is_ambiguous(group: Group, found: _Findings) -> bool:
    return any(other.name == group.name and other.uuid != group.uuid for other in found.groups.values())


class _Assembler:
    """Builds the block devices of one group from the members that are there, by their names in its metadata."""

    __slots__ = ("_ambiguous", "_group", "_members")

    def __init__(self, group: Group, members: dict[str, Member], ambiguous: bool) -> None:
        self._group, self._members, self._ambiguous = group, members, ambiguous
        for name, member in members.items():
            end = group.physical[name].data.stop
            if end > member.device.size:
                raise damage(
                    f"{member.name} has {member.device.size:,} bytes, but {group.name} counts on {end:,}",
                    0,
                    f"{group.name}/physical_volumes/{name}/pe_count",
                )

    def volumes(self) -> Iterator[LogicalVolume]:
        """All volumes that a user sees."""
        for volume in self._group.volumes:
            if volume.visible:
                yield self._volume(volume)

    def _volume(self, volume: Volume) -> LogicalVolume:
        name = f"/dev/{self._group.name}/{volume.name}"
        problem = self._problem(volume, name)
        return LogicalVolume(
            name=name,
            group=self._group.name,
            size=volume.size,
            device=None if problem else _joined([self._device(segment) for segment in volume.segments]),
            writable=volume.writable,
            extents=tuple(self._extents(volume.segments)),
            problem=problem,
            mapper_uuid="LVM-" + (self._group.uuid + volume.uuid).replace("-", ""),
        )

    def _problem(self, volume: Volume, name: str) -> UnsupportedError | None:
        if self._ambiguous:
            message = f"{name}: two volume groups are called {self._group.name}"
            return UnsupportedError(message, hint="Rename one of them: vgrename UUID NAME.")
        if self._group.refusal:
            return UnsupportedError(f"{name}: its volume group {self._group.refusal}", hint=_OTHER_ENGINE)
        if volume.refusal:
            return UnsupportedError(
                f"{name} {volume.refusal}, which the native engine does not serve", hint=_OTHER_ENGINE
            )
        if not volume.segments:
            return UnsupportedError(f"{name} has no segments", hint=_OTHER_ENGINE)
        missing = sorted({stripe.volume for stripe in _stripes(volume.segments)} - self._members.keys())
        if missing:
            uuid = self._group.physical[missing[0]].uuid
            return UnsupportedError(f"{name} lies on physical volume {uuid}, which is missing", hint=_WHOLE)
        return None

    def _device(self, segment: Segment) -> BlockDevice:
        parts = [Window(self._members[stripe.volume].device, stripe.where) for stripe in segment.stripes]
        return Striped(parts, segment.chunk) if segment.chunk else parts[0]

    def _extents(self, segments: Iterable[Segment]) -> Iterator[Extent]:
        for stripe in _stripes(segments):
            if stripe.volume in self._members:
                yield Extent(self._members[stripe.volume].name, stripe.where)


def _joined(parts: list[BlockDevice]) -> BlockDevice:
    return parts[0] if len(parts) == 1 else Linear(parts)


def _stripes(segments: Iterable[Segment]) -> Iterator[Stripe]:
    return (stripe for segment in segments for stripe in segment.stripes)
