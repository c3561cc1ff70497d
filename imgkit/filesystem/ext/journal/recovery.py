"""Replaying a journal into an overlay, so that the file system is what it would be after mounting it.

The device below is not written to: whoever only reads looks at the overlay, which is brought onto the device before the
first edit. So a file system that is read stays as it is, and a dry run and an undo have nothing special to do.

What mounting does besides is done too: the totals of free blocks and inodes, which a kernel does not journal, are those
of the block groups; the journal is empty, the file system needs no recovery, and orphans are deleted or truncated.

Reference: fs/jbd2/recovery.c and fs/ext4/super.c of Linux, e2fsck/journal.c of e2fsprogs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.errors import UnsupportedError
from imgkit.filesystem.ext import layout as ext
from imgkit.filesystem.ext.groups import read_groups
from imgkit.filesystem.ext.journal import layout
from imgkit.filesystem.ext.journal.layout import Incompat
from imgkit.filesystem.ext.journal.log import read_log
from imgkit.filesystem.ext.journal.superblock import open_journal, superblock_checksum
from imgkit.filesystem.ext.layout import Incompat as Feature
from imgkit.filesystem.ext.orphans import release_orphans
from imgkit.filesystem.ext.superblock import (
    GUESTFS_HINT,
    change_superblock,
    has_orphans,
    read_superblock,
    refuse_unclean,
)
from imgkit.filesystem.ext.volume import volume_of
from imgkit.storage.overlay import Overlay

if TYPE_CHECKING:
    from imgkit.filesystem.ext.journal.log import Log, Write
    from imgkit.filesystem.ext.journal.superblock import Journal
    from imgkit.filesystem.ext.library import Library
    from imgkit.storage.device import BlockDevice

_MOST_BYTES = 256 << 20
"""What a replay may write, which is held in memory. Most blocks in a full journal of 1 GiB come several times."""


def recover(device: BlockDevice, library: Library, *, now: int) -> Overlay | None:
    """The file system as mounting it would leave it, as an overlay over it; None where mounting would change nothing.

    `now` is the time of the deletion of orphans, in seconds. FormatError where the journal or the orphans contradict
    the rest, UnsupportedError for what is not done here.
    """
    superblock = read_superblock(device, library)
    needs_recovery = Feature.NEEDS_RECOVERY in superblock.incompat
    if not needs_recovery and not has_orphans(superblock):
        return None
    overlay = Overlay(device)
    if needs_recovery:
        _recover_journal(open_journal(volume_of(device, superblock, library)), overlay)
    superblock = read_superblock(overlay, library)
    refuse_unclean(superblock, writable=has_orphans(superblock), orphans=True)
    release_orphans(overlay, library, now=now)
    return overlay


def _recover_journal(journal: Journal, overlay: Overlay) -> None:
    if journal.error:
        raise UnsupportedError("the journal of this file system was aborted because of an error", hint=GUESTFS_HINT)
    if journal.refusal:
        raise UnsupportedError(
            f"the journal of this file system {journal.refusal}, which is not replayed here", hint=GUESTFS_HINT
        )
    log = read_log(journal) if journal.start else None
    if log is not None:
        _replay(journal, log, overlay)
    _finish_superblock(overlay, journal.volume.library)
    _empty(journal, log, overlay)


def _replay(journal: Journal, log: Log, overlay: Overlay) -> None:
    size = journal.volume.superblock.block_size
    if len(log.writes) * size > _MOST_BYTES:
        raise UnsupportedError(
            f"the journal of this file system has {len(log.writes):,} blocks to be replayed, which are too many here",
            hint=GUESTFS_HINT,
        )
    for block, write in log.writes.items():
        overlay.write_at(block * size, _contents(journal, write))


def _contents(journal: Journal, write: Write) -> bytes:
    data = journal.read(write.source)
    if journal.checksum_seed is not None:
        crc32c = journal.volume.library.crc32c
        checksum = crc32c(crc32c(journal.checksum_seed, write.sequence.to_bytes(4, "big")), data)
        # Version 2 has room for the low half only.
        if checksum & (0xFFFFFFFF if Incompat.CSUM_V3 in journal.incompat else 0xFFFF) != write.checksum:
            message = f"the checksum of a block of transaction {write.sequence} in the journal does not match"
            raise journal.damage(message, write.source)
    return layout.MAGIC_BYTES + data[4:] if write.escaped else data


def _finish_superblock(overlay: Overlay, library: Library) -> None:
    """Take the totals from the block groups, and the mark off."""
    superblock = read_superblock(overlay, library)
    groups = read_groups(overlay, superblock, library)
    free_blocks = sum(group.free_blocks for group in groups) * superblock.cluster_ratio
    values = {
        ext.FREE_BLOCKS_OFFSET: free_blocks & 0xFFFFFFFF,
        ext.FREE_INODES_OFFSET: sum(group.free_inodes for group in groups),
        ext.INCOMPAT_OFFSET: int(superblock.incompat & ~Feature.NEEDS_RECOVERY),
    }
    if superblock.has_64bit:
        values[ext.FREE_BLOCKS_HIGH_OFFSET] = free_blocks >> 32
    change_superblock(overlay, superblock, library, values)


def _empty(journal: Journal, log: Log | None, overlay: Overlay) -> None:
    """Leave the journal without transactions; the next one gets a number that no block in it has."""
    raw = bytearray(journal.raw)
    number = ((journal.sequence if log is None else log.next_sequence) + 1) % (1 << 32)
    raw[layout.SEQUENCE_OFFSET : layout.SEQUENCE_OFFSET + 4] = number.to_bytes(4, "big")
    raw[layout.START_OFFSET : layout.START_OFFSET + 4] = bytes(4)
    if journal.checksum_seed is not None:
        checksum = superblock_checksum(journal.volume, bytes(raw))
        raw[layout.CHECKSUM_OFFSET : layout.CHECKSUM_OFFSET + 4] = checksum.to_bytes(4, "big")
    size = journal.volume.superblock.block_size
    overlay.write_at(journal.blocks.extents[0].physical * size, bytes(raw))
