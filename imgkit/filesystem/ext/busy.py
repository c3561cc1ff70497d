"""Whether somebody else may be using the file system: its journal and its multiple mount protection block.

`needs_recovery` in the superblock says that a journal is to be replayed. The journal itself may say more: that it
still holds transactions, or that it was aborted because of an error.

Specification: https://docs.kernel.org/filesystems/ext4/journal.html (big-endian), https://docs.kernel.org/filesystems/ext4/mmp.html
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, UnsupportedError
from imgkit.filesystem.ext import layout
from imgkit.filesystem.ext.layout import Compat, Incompat
from imgkit.filesystem.ext.mapping import map_blocks
from imgkit.filesystem.ext.superblock import GUESTFS_HINT, REPAIR_HINT
from imgkit.filesystem.ext.volume import damaged_block, read_inode

if TYPE_CHECKING:
    from imgkit.filesystem.ext.volume import ExtVolume

_JOURNAL_SUPERBLOCK_TYPES = (3, 4)
_FIRST_VERSION = 3


def refuse_busy(volume: ExtVolume) -> None:
    """Raise UnsupportedError where the journal is not empty or external, or where a host claims the file system."""
    if Incompat.MMP in volume.superblock.incompat:
        _check_mmp(volume)
    if Compat.HAS_JOURNAL in volume.superblock.compat:
        _check_journal(volume)


def _check_mmp(volume: ExtVolume) -> None:
    block = volume.superblock.mmp_block
    if not volume.superblock.first_data_block < block < volume.superblock.blocks_count:
        raise FormatError(
            f"the block for multiple mount protection, {block:,}, does not exist",
            structure="ext superblock",
            offset=layout.SUPERBLOCK_OFFSET,
            field="s_mmp_block",
            hint=REPAIR_HINT,
        )
    raw = volume.read_block(block)[: layout.MMP_BLOCK_SIZE]
    magic, sequence = int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:8], "little")
    if magic != layout.MMP_MAGIC:
        raise _damaged_mmp(volume, block, "it has no magic number", "mmp_magic")
    if volume.superblock.has_metadata_csum:
        checksum = volume.library.crc32c(volume.superblock.checksum_seed, raw[:-4])
        if checksum != int.from_bytes(raw[-4:], "little"):
            raise _damaged_mmp(volume, block, "its checksum does not match", "mmp_checksum")
    if sequence != layout.MMP_CLEAN:
        raise UnsupportedError(
            "another host may have this file system mounted or under check (multiple mount protection)",
            hint="Make sure that nobody uses it, then clear the mark with tune2fs -E clear_mmp.",
        )


def _check_journal(volume: ExtVolume) -> None:
    superblock = volume.superblock
    if not superblock.journal_inode:
        raise UnsupportedError("the journal of this file system is on another device", hint=GUESTFS_HINT)
    inode = read_inode(volume, superblock.journal_inode)
    if inode.type != stat.S_IFREG or not inode.links:
        raise damaged_block(volume, inode.number, 0, "the journal is not a regular file", "ext journal")
    journal = map_blocks(volume, inode)
    if not journal.extents or journal.extents[0].logical or not journal.is_plain:
        raise damaged_block(volume, inode.number, 0, "the journal has holes", "ext journal")
    block = journal.extents[0].physical
    raw = volume.read_block(block)
    magic, kind, _, size, length, first, _, start, error, *more = layout.JOURNAL_SUPERBLOCK.unpack_from(raw)
    if magic != layout.JOURNAL_MAGIC or kind not in _JOURNAL_SUPERBLOCK_TYPES or size != superblock.block_size:
        raise damaged_block(volume, inode.number, block, "the journal has no valid superblock", "ext journal")
    if length > journal.end or not 0 < first < length:
        raise damaged_block(volume, inode.number, block, "the journal is longer than its file", "ext journal")
    if problem := _contradiction(volume, raw, kind, *more):
        raise damaged_block(volume, inode.number, block, problem, "ext journal")
    if start or error:
        what = "holds transactions to be replayed" if start else "was aborted because of an error"
        raise UnsupportedError(f"the journal of this file system {what}", hint=REPAIR_HINT)


def _contradiction(
    volume: ExtVolume,
    raw: bytes,
    kind: int,
    compat: int,
    incompat: int,
    ro_compat: int,
    users: int,
    checksum_type: int,
) -> str:
    """What e2fsck calls broken in a journal's superblock that is found; "" where it is sound."""
    if kind == _FIRST_VERSION:
        return "the journal of version 1 has fields of version 2" if compat or incompat or ro_compat or users else ""
    if users > 1:
        return f"the journal says that {users:,} file systems use it"
    if incompat & ~layout.JOURNAL_INCOMPAT_KNOWN or ro_compat:
        return "the journal has features that are not known"
    sums = [bool(incompat & bit) for bit in layout.JOURNAL_INCOMPAT_CHECKSUMS]
    if sum(sums) + bool(compat & layout.JOURNAL_COMPAT_CHECKSUM) > 1:
        return "the journal has checksums of several kinds"
    if any(sums):
        at = layout.JOURNAL_CHECKSUM_OFFSET
        summed = raw[:at] + bytes(4) + raw[at + 4 : layout.JOURNAL_SUPERBLOCK_SIZE]
        checksum = volume.library.crc32c(0xFFFFFFFF, summed)
        if checksum_type != layout.JOURNAL_CRC32C or checksum != int.from_bytes(raw[at : at + 4], "big"):
            return "the checksum of the journal's superblock does not match"
    return ""


def _damaged_mmp(volume: ExtVolume, block: int, message: str, field: str) -> FormatError:
    return FormatError(
        f"the multiple mount protection block is damaged: {message}",
        structure="ext4 MMP block",
        offset=block * volume.superblock.block_size,
        field=field,
        hint=REPAIR_HINT,
    )
