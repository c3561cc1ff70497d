"""What is odd about the partitions of a table that was read: sentences for a person, nothing is refused here."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from imgkit.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.partition.model import Partition, PartitionTable

_MOST_NOTICES = 20  # a hostile table could have 32,768


def layout_notices(table: PartitionTable, disk_size: int) -> tuple[str, ...]:
    """Sentences about partitions that are empty, out of bounds, overlapping, or of one GUID."""
    notices = [
        *_bounds(table, disk_size),
        *_overlaps(table.partitions),
        *_shared_guids(table.partitions),
    ]
    more = len(notices) - _MOST_NOTICES
    return (*notices[:_MOST_NOTICES], f"{more:,} more notices of this kind.") if more > 0 else tuple(notices)


def _bounds(table: PartitionTable, disk_size: int) -> Iterator[str]:
    for partition in table.partitions:
        number, where = partition.number, partition.where
        if not where.size:
            yield f"Partition {number} ends before it begins."
        elif where.stop > disk_size:
            excess = format_size(where.stop - disk_size)
            yield f"Partition {number} reaches {excess} past the end of the image."
        elif table.usable and not table.usable.contains(where):
            yield f"Partition {number} leaves the range that the GPT offers to partitions."


def _overlaps(partitions: tuple[Partition, ...]) -> Iterator[str]:
    """Each partition that begins inside an earlier one; extended partitions, which contain others, do not count."""
    data = [partition for partition in partitions if partition.where.size and not partition.extended]
    reaching: Partition | None = None
    for partition in sorted(data, key=lambda partition: partition.where):
        if reaching is not None and partition.where.start < reaching.where.stop:
            yield f"Partitions {reaching.number} and {partition.number} overlap."
        if reaching is None or partition.where.stop > reaching.where.stop:
            reaching = partition


def _shared_guids(partitions: tuple[Partition, ...]) -> Iterator[str]:
    numbers = defaultdict(list)
    for partition in partitions:
        if partition.partuuid:
            numbers[partition.partuuid].append(partition.number)
    for partuuid, sharing in numbers.items():
        if len(sharing) > 1:
            listed = ", ".join(map(str, sharing))
            yield f"Partitions {listed} share the PARTUUID {partuuid}, which therefore identifies none of them."
