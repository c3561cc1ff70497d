"""Whether somebody else may be using the file system: its journal and its multiple mount protection block.

`needs_recovery` in the superblock says that a journal is to be replayed. The journal itself may say more: that it
still holds transactions, or that it was aborted because of an error.

Specification: https://docs.kernel.org/filesystems/ext4/journal.html (big-endian), https://docs.kernel.org/filesystems/ext4/mmp.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.errors import FormatError, UnsupportedError
from imgkit.filesystem.ext import layout
from imgkit.filesystem.ext.journal.superblock import open_journal
from imgkit.filesystem.ext.layout import Compat, Incompat
from imgkit.filesystem.ext.superblock import REPAIR_HINT

if TYPE_CHECKING:
    from imgkit.filesystem.ext.volume import ExtVolume


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
    journal = open_journal(volume)
    if journal.start or journal.error:
        what = "holds transactions to be replayed" if journal.start else "was aborted because of an error"
        raise UnsupportedError(f"the journal of this file system {what}", hint=REPAIR_HINT)


def _damaged_mmp(volume: ExtVolume, block: int, message: str, field: str) -> FormatError:
    return FormatError(
        f"the multiple mount protection block is damaged: {message}",
        structure="ext4 MMP block",
        offset=block * volume.superblock.block_size,
        field=field,
        hint=REPAIR_HINT,
    )
