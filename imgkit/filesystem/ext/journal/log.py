"""The transactions in a journal: which blocks of the file system they write, and which of these writes were revoked.

    |superblock| ... |descriptor|block|block|revoke|commit|descriptor|block|commit| old blocks ...
                      `start`                       a transaction counts from its commit on

Only descriptor, revoke and commit blocks are read here: what they cost is bounded by the length of the journal.

Specification: see `layout`; fs/jbd2/recovery.c of Linux for what a checksum that does not match means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from imgkit.filesystem.ext.journal import layout
from imgkit.filesystem.ext.journal.layout import Incompat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.filesystem.ext.journal.superblock import Journal

_WRAP = 1 << 32
_CHECKSUM = "a checksum does not match"


class Write(NamedTuple):
    """One block that a transaction writes: where its contents lie in the journal, and how to tell that it is whole."""

    source: int
    escaped: bool
    sequence: int
    checksum: int


@dataclass(slots=True)
class Transaction:
    """One transaction, while it is read. Writes to `revoked` blocks do not count, be they its own or older ones."""

    sequence: int
    writes: dict[int, Write] = field(default_factory=dict)
    revoked: set[int] = field(default_factory=set)
    problem: tuple[str, int] | None = None
    """What is wrong with it, and in which block of the journal. It matters only if the transaction was committed."""

    def note(self, message: str, block: int) -> None:
        """Keep the first problem."""
        self.problem = self.problem or (message, block)


@dataclass(frozen=True, slots=True)
class Log:
    """What a replay has to write, by block of the file system, and the number that the next transaction would have."""

    writes: dict[int, Write]
    transactions: int
    next_sequence: int


def read_log(journal: Journal) -> Log:
    """All committed transactions, as one. FormatError where a committed one is damaged."""
    writes: dict[int, Write] = {}
    count = 0
    for transaction in _transactions(journal):
        for block, write in transaction.writes.items():
            _check_target(journal, block, write)
        # A revocation speaks of the writes before it and of those of its own transaction; later ones count.
        writes.update(transaction.writes)
        for block in transaction.revoked:
            writes.pop(block, None)
        count += 1
    return Log(writes, count, (journal.sequence + count) % _WRAP)


def _transactions(journal: Journal) -> Iterator[Transaction]:
    """The committed transactions, oldest first."""
    sequence, position, committed_at = journal.sequence, journal.start, (0, 0)
    transaction = Transaction(sequence)
    left = journal.length - journal.first
    while left > 0:
        block = journal.read(position)
        magic, kind, number = layout.HEADER.unpack_from(block)
        if magic != layout.MAGIC or number != sequence:
            return
        used = 1
        if kind == layout.COMMIT_BLOCK:
            time = layout.COMMIT_TIME.unpack_from(block, layout.COMMIT_TIME_OFFSET)
            # Blocks of an earlier use of the journal may look like the next transaction: their time tells.
            if not _is_whole_commit(journal, block):
                transaction.note(_CHECKSUM, position)
            if transaction.problem and time < committed_at:
                return
            if transaction.problem:
                message, where = transaction.problem
                raise journal.damage(f"transaction {sequence} of the journal: {message}", where)
            yield transaction
            sequence, committed_at = (sequence + 1) % _WRAP, time
            transaction = Transaction(sequence)
        else:
            following = _read_block(journal, transaction, position, kind, block)
            if following is None:
                return
            used += following
        left -= used
        position = _after(journal, position, used)
    if left < 0:
        raise journal.damage("a transaction in the journal is longer than the journal", journal.start)


def _read_block(journal: Journal, transaction: Transaction, here: int, kind: int, block: bytes) -> int | None:
    """Take in a descriptor or revoke block. Returns how many blocks follow that belong to it, None for another one."""
    if kind not in (layout.DESCRIPTOR_BLOCK, layout.REVOKE_BLOCK):
        return None
    if not _is_whole(journal, block):
        transaction.note(_CHECKSUM, here)
    if kind == layout.DESCRIPTOR_BLOCK:
        return _read_tags(journal, transaction, here, block)
    _read_revocations(journal, transaction, here, block)
    return 0


def _after(journal: Journal, position: int, count: int) -> int:
    """The block that comes so many blocks later in the ring."""
    ring = journal.length - journal.first
    return journal.first + (position - journal.first + count) % ring


def _read_tags(journal: Journal, transaction: Transaction, here: int, block: bytes) -> int:
    """Note the writes that a descriptor block announces. Returns how many blocks follow it."""
    wide, v3 = Incompat.BIT64 in journal.incompat, Incompat.CSUM_V3 in journal.incompat
    size = layout.TAG_V3.size if v3 else layout.TAG.size + 4 * wide + 2 * (Incompat.CSUM_V2 in journal.incompat)
    end = len(block) - (layout.TAIL_SIZE if journal.checksum_seed is not None else 0)
    at, count = layout.HEADER.size, 0
    while at + size <= end:
        if v3:
            number, flags, high, checksum = layout.TAG_V3.unpack_from(block, at)
        else:
            number, checksum, flags = layout.TAG.unpack_from(block, at)
            high = int.from_bytes(block[at + layout.TAG.size : at + layout.TAG.size + 4], "big") if wide else 0
        number |= high << 32 if wide else 0
        count += 1
        escaped = bool(flags & layout.TAG_ESCAPED)
        transaction.writes[number] = Write(_after(journal, here, count), escaped, transaction.sequence, checksum)
        if flags & layout.TAG_LAST:
            break
        at += size + (0 if flags & layout.TAG_SAME_UUID else layout.UUID_SIZE)
    return count


def _check_target(journal: Journal, block: int, write: Write) -> None:
    superblock = journal.volume.superblock
    if not superblock.first_data_block <= block < superblock.blocks_count:
        raise journal.damage(f"the journal writes block {block:,}, which does not exist", write.source)
    if journal.holds(block):
        raise journal.damage(f"the journal writes block {block:,}, which is its own", write.source)


def _read_revocations(journal: Journal, transaction: Transaction, here: int, block: bytes) -> None:
    """Note the blocks that a revoke block names."""
    (used,) = layout.REVOKE_COUNT.unpack_from(block, layout.HEADER.size)
    size = 8 if Incompat.BIT64 in journal.incompat else 4
    end = len(block) - (layout.TAIL_SIZE if journal.checksum_seed is not None else 0)
    start = layout.HEADER.size + layout.REVOKE_COUNT.size
    if not start <= used <= end:
        transaction.note(f"a revoke block uses {used:,} bytes", here)
        return
    transaction.revoked.update(
        int.from_bytes(block[at : at + size], "big") for at in range(start, used - size + 1, size)
    )


def _is_whole(journal: Journal, block: bytes) -> bool:
    """Whether the checksum at the end of a block matches, where blocks have one."""
    if journal.checksum_seed is None:
        return True
    checksum = journal.volume.library.crc32c(journal.checksum_seed, block[: -layout.TAIL_SIZE] + bytes(4))
    return checksum.to_bytes(4, "big") == block[-layout.TAIL_SIZE :]


def _is_whole_commit(journal: Journal, block: bytes) -> bool:
    if journal.checksum_seed is None:
        return True
    at = layout.COMMIT_CHECKSUM_OFFSET
    checksum = journal.volume.library.crc32c(journal.checksum_seed, block[:at] + bytes(4) + block[at + 4 :])
    return checksum.to_bytes(4, "big") == block[at : at + 4]
