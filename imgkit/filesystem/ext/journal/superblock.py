"""The journal's own superblock and the blocks of its inode, validated.

Specification: see `layout`.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgkit.errors import UnsupportedError
from imgkit.filesystem.ext.journal import layout
from imgkit.filesystem.ext.journal.layout import Compat, Incompat
from imgkit.filesystem.ext.mapping import map_blocks
from imgkit.filesystem.ext.superblock import GUESTFS_HINT
from imgkit.filesystem.ext.volume import damaged_block, read_inode

if TYPE_CHECKING:
    from imgkit.errors import FormatError
    from imgkit.filesystem.ext.mapping import BlockMap
    from imgkit.filesystem.ext.volume import ExtVolume

STRUCTURE = "ext journal"
_CHECKSUMS = int(Incompat.CSUM_V2 | Incompat.CSUM_V3)
_ALL = sum(Incompat)
_WORDS = {
    Incompat.ASYNC_COMMIT: "commits asynchronously (journal_async_commit)",
    Incompat.FAST_COMMIT: "has an area for fast commits (fast_commit)",
}


@dataclass(frozen=True, slots=True)
class Journal:
    """An open journal. The log is a ring of the blocks from `first` to `length`, both of the journal's own numbers.

    `start` is where the oldest transaction begins, 0 where there is none; `sequence` is that transaction's number.
    `checksum_seed` is None where blocks have no checksums.
    """

    volume: ExtVolume
    inode: int
    blocks: BlockMap
    raw: bytes
    length: int
    first: int
    sequence: int
    start: int
    error: int
    compat: Compat
    incompat: Incompat
    checksum_seed: int | None

    def read(self, number: int) -> bytes:
        """One block of the journal."""
        return self.volume.read_block(self.blocks.physical(number))

    def holds(self, block: int) -> bool:
        """Whether a block of the file system is one of the journal's own."""
        return any(0 <= block - extent.physical < extent.length for extent in self.blocks.extents)

    def damage(self, message: str, number: int) -> FormatError:
        """FormatError about a block of the journal."""
        return damaged_block(self.volume, self.inode, self.blocks.physical(number), message, STRUCTURE)

    @property
    def refusal(self) -> str:
        """What of its features is not replayed here, or ""."""
        if Compat.CHECKSUM in self.compat:
            return "has checksums of whole transactions (journal_checksum)"
        return next((words for flag, words in _WORDS.items() if flag in self.incompat), "")


def open_journal(volume: ExtVolume) -> Journal:
    """The journal of a file system that has one.

    FormatError where it contradicts itself, UnsupportedError for one that is on another device.
    """
    superblock = volume.superblock
    if not superblock.journal_inode:
        raise UnsupportedError("the journal of this file system is on another device", hint=GUESTFS_HINT)
    inode = read_inode(volume, superblock.journal_inode)
    if inode.type != stat.S_IFREG or not inode.links:
        raise damaged_block(volume, inode.number, 0, "the journal is not a regular file", STRUCTURE)
    blocks = map_blocks(volume, inode)
    if not blocks.extents or blocks.extents[0].logical or not blocks.is_plain:
        raise damaged_block(volume, inode.number, 0, "the journal has holes", STRUCTURE)
    raw = volume.read_block(blocks.extents[0].physical)[: layout.SUPERBLOCK_SIZE]
    fields = layout.SUPERBLOCK.parse(raw)
    is_v2 = fields.h_blocktype == layout.SUPERBLOCK_V2
    if problem := _contradiction(volume, blocks, fields, raw):
        raise damaged_block(volume, inode.number, blocks.extents[0].physical, problem, STRUCTURE)
    incompat = Incompat(fields.s_feature_incompat if is_v2 else 0)
    checksummed = bool(incompat & _CHECKSUMS)
    return Journal(
        volume=volume,
        inode=inode.number,
        blocks=blocks,
        raw=raw,
        length=fields.s_maxlen,
        first=fields.s_first,
        sequence=fields.s_sequence,
        start=fields.s_start,
        error=fields.s_errno,
        compat=Compat(fields.s_feature_compat if is_v2 else 0),
        incompat=incompat,
        checksum_seed=volume.library.crc32c(0xFFFFFFFF, fields.s_uuid) if checksummed else None,
    )


def _contradiction(volume: ExtVolume, blocks: BlockMap, fields: Any, raw: bytes) -> str:
    """What e2fsck calls broken in the superblock; "" where it is sound."""
    features = (fields.s_feature_compat, fields.s_feature_incompat, fields.s_feature_ro_compat)
    is_v2 = fields.h_blocktype == layout.SUPERBLOCK_V2
    if (
        fields.h_magic != layout.MAGIC
        or fields.h_blocktype not in (layout.SUPERBLOCK_V1, layout.SUPERBLOCK_V2)
        or fields.s_blocksize != volume.superblock.block_size
    ):
        return "the journal has no valid superblock"
    if fields.s_maxlen > blocks.end or not 0 < fields.s_first < fields.s_maxlen:
        return "the journal is longer than its file"
    if fields.s_start and not fields.s_first <= fields.s_start < fields.s_maxlen:
        return f"the journal's log starts outside it, in block {fields.s_start:,}"
    if not is_v2:
        return "the journal of version 1 has fields of version 2" if any(features) or fields.s_nr_users else ""
    if fields.s_nr_users > 1:
        return f"the journal says that {fields.s_nr_users:,} file systems use it"
    if fields.s_feature_incompat & ~_ALL or fields.s_feature_ro_compat:
        return "the journal has features that are not known"
    kinds = (fields.s_feature_incompat & _CHECKSUMS).bit_count() + bool(fields.s_feature_compat & Compat.CHECKSUM)
    if kinds > 1:
        return "the journal has checksums of several kinds"
    if fields.s_feature_incompat & _CHECKSUMS and (
        fields.s_checksum_type != layout.CHECKSUM_CRC32C or fields.s_checksum != superblock_checksum(volume, raw)
    ):
        return "the checksum of the journal's superblock does not match"
    return ""


def superblock_checksum(volume: ExtVolume, raw: bytes) -> int:
    """The checksum that belongs into the journal's superblock."""
    at = layout.CHECKSUM_OFFSET
    return volume.library.crc32c(0xFFFFFFFF, raw[:at] + bytes(4) + raw[at + 4 :])
