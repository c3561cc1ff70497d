"""The superblock of ext2, ext3 and ext4, and the rules that keep damaged or busy file systems away from libext2fs.

Parsing validates every field that sizes something, so that what is built on a `Superblock` is bounded by the size of
the block device. It does not repair, and it does not look at backup copies.

Specification: https://docs.kernel.org/filesystems/ext4/super.html
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from imgkit.errors import FormatError, UnsupportedError
from imgkit.filesystem.ext import layout
from imgkit.filesystem.ext.layout import Compat, Incompat, ReadOnlyCompat, State

if TYPE_CHECKING:
    from enum import IntFlag

    from imgkit.filesystem.ext.library import Library
    from imgkit.storage.device import BlockDevice, BlockReader

REPAIR_HINT = "Repair a copy of the image with e2fsck, or use the Linux driver: --engine uml or --engine guestfs."
GUESTFS_HINT = "Use the Linux driver: --engine uml or --engine guestfs."

_MAX_GROUPS = 1 << 17
"""16 TiB with the usual 128 MiB groups: bounds the memory and time that descriptors and bitmaps take."""

_READABLE = (
    Incompat.FILETYPE
    | Incompat.META_BG
    | Incompat.EXTENTS
    | Incompat.BIT64
    | Incompat.MMP
    | Incompat.FLEX_BG
    | Incompat.EA_INODE
    | Incompat.CSUM_SEED
    | Incompat.LARGEDIR
    | Incompat.INLINE_DATA
    | Incompat.ENCRYPT
    | Incompat.CASEFOLD
)
# New names in a case-folded or encrypted directory need its rules or its key.
_WRITABLE = _READABLE & ~(Incompat.ENCRYPT | Incompat.CASEFOLD)

_WRITABLE_RO_COMPAT = (
    ReadOnlyCompat.SPARSE_SUPER
    | ReadOnlyCompat.LARGE_FILE
    | ReadOnlyCompat.BTREE_DIR
    | ReadOnlyCompat.HUGE_FILE
    | ReadOnlyCompat.UNINIT_BG
    | ReadOnlyCompat.DIR_NLINK
    | ReadOnlyCompat.EXTRA_ISIZE
    | ReadOnlyCompat.BIGALLOC
    | ReadOnlyCompat.METADATA_CSUM
    | ReadOnlyCompat.VERITY
    | ReadOnlyCompat.ORPHAN_PRESENT
)
# Compatible features whose data structures an edit would leave stale.
_NOT_WRITABLE_COMPAT = Compat.EXCLUDE_BITMAP | Compat.EXCLUDE_INODE | Compat.LAZY_BG | Compat.IMAGIC_INODES


@dataclass(frozen=True, slots=True)
class Superblock:
    """What the superblock says, with 64-bit fields joined. Sizes are in bytes.

    Features that are asked for with every inode or group have a field of their own. With `has_group_checksums` group
    descriptors carry a checksum, and may declare bitmaps and inode tables uninitialised.
    """

    raw: bytes
    block_size: int
    cluster_ratio: int
    blocks_count: int
    free_blocks_count: int
    inodes_count: int
    free_inodes_count: int
    first_data_block: int
    blocks_per_group: int
    inodes_per_group: int
    inode_size: int
    first_inode: int
    descriptor_size: int
    first_meta_group: int
    reserved_gdt_blocks: int
    backup_groups: tuple[int, int]
    compat: Compat
    incompat: Incompat
    ro_compat: ReadOnlyCompat
    state: State
    error_count: int
    journal_inode: int
    journal_device: int
    last_orphan: int
    orphan_file_inode: int
    quota_inodes: tuple[int, int, int]
    mmp_block: int
    hash_seed: bytes
    unsigned_hash: bool
    checksum_seed: int
    has_metadata_csum: bool
    has_group_checksums: bool
    has_flexible_groups: bool
    has_64bit: bool
    has_huge_files: bool
    has_large_directories: bool
    uuid: str
    label: str

    @property
    def group_count(self) -> int:
        """Number of block groups."""
        return -(-(self.blocks_count - self.first_data_block) // self.blocks_per_group)

    @property
    def clusters_per_group(self) -> int:
        """Bits of a block bitmap that stand for something."""
        return self.blocks_per_group // self.cluster_ratio

    @property
    def inode_table_blocks(self) -> int:
        """Length of each group's inode table."""
        return -(-self.inodes_per_group * self.inode_size // self.block_size)

    @property
    def descriptors_per_block(self) -> int:
        """Group descriptors in one block."""
        return self.block_size // self.descriptor_size

    @property
    def kind(self) -> str:
        """The name that blkid gives to this set of features: ext2, ext3 or ext4."""
        return _kind(self.compat, self.incompat, self.ro_compat)


def identify(device: BlockReader) -> tuple[str, str, str] | None:
    """Kind as blkid says it, label and UUID of what has the magic number of ext, damaged or not; None without it."""
    if device.size < layout.SUPERBLOCK_OFFSET + layout.SUPERBLOCK_SIZE:
        return None
    raw = device.read_at(layout.SUPERBLOCK_OFFSET, layout.SUPERBLOCK_SIZE)
    if not _has_magic(raw):
        return None
    fields = _parse(raw)
    kind = _kind(fields.s_feature_compat, fields.s_feature_incompat, fields.s_feature_ro_compat)
    return kind, _label(fields.s_volume_name), _uuid(fields.s_uuid)


def read_superblock(device: BlockReader, library: Library) -> Superblock:
    """Parse and validate the primary superblock.

    FormatError where there is none, where a field contradicts another one, the checksum or the device's size;
    UnsupportedError for a revision, feature or size that is not understood.
    """
    if device.size < layout.SUPERBLOCK_OFFSET + layout.SUPERBLOCK_SIZE:
        raise _damage(f"the block device has only {device.size:,} bytes", "s_magic")
    raw = device.read_at(layout.SUPERBLOCK_OFFSET, layout.SUPERBLOCK_SIZE)
    if not _has_magic(raw):
        raise _damage("not an ext2, ext3 or ext4 superblock", "s_magic")
    fields = _parse(raw)
    _check_features(fields)
    if fields.s_feature_ro_compat & ReadOnlyCompat.METADATA_CSUM:
        _check_checksum(fields, raw, library)
    superblock = _build(fields, raw, library)
    _check_geometry(fields, superblock)
    if superblock.blocks_count * superblock.block_size > device.size:
        raise FormatError(
            f"the file system has {superblock.blocks_count:,} blocks of {superblock.block_size:,} bytes, "
            f"but only {device.size:,} bytes are there",
            structure="ext superblock",
            offset=layout.SUPERBLOCK_OFFSET,
            field="s_blocks_count",
            hint="The image or the partition is truncated; download it again.",
        )
    return superblock


def has_orphans(superblock: Superblock) -> bool:
    """Whether inodes may be waiting to be deleted or truncated, in a list or in the orphan file."""
    return superblock.last_orphan != 0 or ReadOnlyCompat.ORPHAN_PRESENT in superblock.ro_compat


def refuse_unclean(superblock: Superblock, *, writable: bool, orphans: bool = False) -> None:
    """Raise UnsupportedError for a file system that is busy, in error or, if `writable`, has features not edited here.

    What a replay or a repair would change is unknown here, so that reading is refused as well: the text that is read
    would be out of date. `orphans` says that the caller will deal with these.
    """
    for applies, what in (
        (Incompat.NEEDS_RECOVERY in superblock.incompat, "its journal needs recovery (needs_recovery)"),
        (State.ERROR in superblock.state, "it is marked as having errors"),
        (State.VALID not in superblock.state, "it was not cleanly unmounted"),
        (State.ORPHAN in superblock.state, "its orphans are being recovered"),
        (State.FC_REPLAY in superblock.state, "its fast-commit journal is being replayed"),
        (has_orphans(superblock) and not orphans, "it has orphan inodes that are still to be deleted"),
        (superblock.error_count != 0, "its superblock has recorded errors that no check has cleared since"),
    ):
        if applies:
            raise UnsupportedError(f"this {superblock.kind} file system is not clean: {what}", hint=REPAIR_HINT)
    if not writable:
        return
    unknown = (
        _beyond(superblock.incompat, _WRITABLE)
        + _beyond(superblock.ro_compat, _WRITABLE_RO_COMPAT)
        + _names(superblock.compat & _NOT_WRITABLE_COMPAT)
    )
    if unknown:
        raise UnsupportedError(
            f"this {superblock.kind} file system has features that are only read here: {', '.join(unknown)}",
            hint=GUESTFS_HINT,
        )


def change_superblock(device: BlockDevice, superblock: Superblock, library: Library, values: dict[int, int]) -> None:
    """Write 32-bit fields of the primary superblock, by their offsets, and its checksum."""
    raw = bytearray(superblock.raw)
    for offset, value in values.items():
        raw[offset : offset + 4] = value.to_bytes(4, "little")
    if superblock.has_metadata_csum:
        raw[-4:] = library.crc32c(0xFFFFFFFF, bytes(raw[:-4])).to_bytes(4, "little")
    device.write_at(layout.SUPERBLOCK_OFFSET, bytes(raw))


@functools.lru_cache(maxsize=16)
def _parse(raw: bytes) -> Any:
    """The fields, remembered: every superblock is looked at to tell what it is, and again when it is opened."""
    return layout.SUPERBLOCK.parse(raw)


def _has_magic(raw: bytes) -> bool:
    return raw[layout.MAGIC_OFFSET : layout.MAGIC_OFFSET + 2] == layout.MAGIC


def _check_features(fields: Any) -> None:
    if fields.s_rev_level > 1:
        raise UnsupportedError(f"ext revision {fields.s_rev_level} is unknown", hint=GUESTFS_HINT)
    if fields.s_feature_incompat & Incompat.JOURNAL_DEV:
        raise UnsupportedError(
            "this is an external journal of ext3 or ext4 (journal_dev), not a file system", hint=None
        )
    unknown = _beyond(Incompat(fields.s_feature_incompat), _READABLE | Incompat.NEEDS_RECOVERY)
    if unknown:
        raise UnsupportedError(
            f"this ext file system has features that are not understood here: {', '.join(unknown)}",
            hint=GUESTFS_HINT,
        )


def _check_checksum(fields: Any, raw: bytes, library: Library) -> None:
    if fields.s_checksum_type != 1:
        raise _damage(f"unknown checksum type {fields.s_checksum_type}", "s_checksum_type")
    if library.crc32c(0xFFFFFFFF, raw[:-4]) != fields.s_checksum:
        raise _damage("the superblock's checksum does not match", "s_checksum")


def _build(fields: Any, raw: bytes, library: Library) -> Superblock:
    if fields.s_log_block_size > 6:  # noqa: PLR2004
        raise _damage(f"a block size of 2 to the power of {fields.s_log_block_size + 10}", "s_log_block_size")
    incompat, dynamic = Incompat(fields.s_feature_incompat), fields.s_rev_level >= 1
    wide = Incompat.BIT64 in incompat
    bigalloc = bool(fields.s_feature_ro_compat & ReadOnlyCompat.BIGALLOC)
    ratio_bits = fields.s_log_cluster_size - fields.s_log_block_size
    if not 0 <= ratio_bits <= (16 if bigalloc else 0):
        raise _damage("the cluster size contradicts the block size", "s_log_cluster_size")
    # With its own seed, a file system keeps its checksums when its UUID is changed.
    own_seed = Incompat.CSUM_SEED in incompat
    seed = fields.s_checksum_seed if own_seed else library.crc32c(0xFFFFFFFF, fields.s_uuid)
    return Superblock(
        raw=raw,
        block_size=1024 << fields.s_log_block_size,
        cluster_ratio=1 << ratio_bits,
        blocks_count=fields.s_blocks_count_lo | (fields.s_blocks_count_hi << 32 if wide else 0),
        free_blocks_count=fields.s_free_blocks_count_lo | (fields.s_free_blocks_count_hi << 32 if wide else 0),
        inodes_count=fields.s_inodes_count,
        free_inodes_count=fields.s_free_inodes_count,
        first_data_block=fields.s_first_data_block,
        blocks_per_group=fields.s_blocks_per_group,
        inodes_per_group=fields.s_inodes_per_group,
        inode_size=fields.s_inode_size if dynamic else layout.INODE_SIZE_REV0,
        first_inode=fields.s_first_ino if dynamic else layout.FIRST_INODE_REV0,
        descriptor_size=fields.s_desc_size if wide else layout.GROUP_DESCRIPTOR.size,
        first_meta_group=fields.s_first_meta_bg if Incompat.META_BG in incompat else -1,
        reserved_gdt_blocks=fields.s_reserved_gdt_blocks,
        backup_groups=tuple(fields.s_backup_bgs),
        compat=Compat(fields.s_feature_compat),
        incompat=incompat,
        ro_compat=ReadOnlyCompat(fields.s_feature_ro_compat),
        state=State(fields.s_state),
        error_count=fields.s_error_count if dynamic else 0,
        journal_inode=fields.s_journal_inum,
        journal_device=fields.s_journal_dev,
        last_orphan=fields.s_last_orphan,
        orphan_file_inode=fields.s_orphan_file_inum,
        quota_inodes=(fields.s_usr_quota_inum, fields.s_grp_quota_inum, fields.s_prj_quota_inum),
        mmp_block=fields.s_mmp_block,
        hash_seed=fields.s_hash_seed,
        unsigned_hash=bool(fields.s_flags & 2),
        checksum_seed=seed,
        has_metadata_csum=bool(fields.s_feature_ro_compat & ReadOnlyCompat.METADATA_CSUM),
        has_group_checksums=bool(
            fields.s_feature_ro_compat & (ReadOnlyCompat.METADATA_CSUM | ReadOnlyCompat.UNINIT_BG)
        ),
        has_flexible_groups=Incompat.FLEX_BG in incompat,
        has_64bit=wide,
        has_huge_files=bool(fields.s_feature_ro_compat & ReadOnlyCompat.HUGE_FILE),
        has_large_directories=Incompat.LARGEDIR in incompat,
        uuid=_uuid(fields.s_uuid),
        label=_label(fields.s_volume_name),
    )


def _check_geometry(fields: Any, superblock: Superblock) -> None:
    """Every number that something is divided by, multiplied with, or allocated from."""
    block_size, inode_size = superblock.block_size, superblock.inode_size
    wide = Incompat.BIT64 in superblock.incompat
    ratio = superblock.cluster_ratio
    # Block 0 is left to a boot loader where the superblock does not lie in it or in its cluster.
    first_data_block = int(block_size == layout.SUPERBLOCK_OFFSET and ratio == 1)
    bits = 8 * block_size
    for holds, field in (
        (superblock.first_data_block == first_data_block, "s_first_data_block"),
        (superblock.blocks_count > superblock.first_data_block, "s_blocks_count"),
        (fields.s_clusters_per_group * ratio == superblock.blocks_per_group, "s_clusters_per_group"),
        (0 < superblock.clusters_per_group <= bits and superblock.clusters_per_group % 8 == 0, "s_blocks_per_group"),
        (0 < superblock.inodes_per_group <= bits and superblock.inodes_per_group % 8 == 0, "s_inodes_per_group"),
        (
            layout.INODE_SIZE_REV0 <= inode_size <= block_size and inode_size & (inode_size - 1) == 0,
            "s_inode_size",
        ),
        (
            not wide or (superblock.descriptor_size in (64, 128, 256, 512, 1024)),
            "s_desc_size",
        ),
        (superblock.free_blocks_count <= superblock.blocks_count, "s_free_blocks_count"),
        (superblock.free_inodes_count <= superblock.inodes_count, "s_free_inodes_count"),
        (layout.FIRST_INODE_REV0 <= superblock.first_inode <= superblock.inodes_count, "s_first_ino"),
        (
            superblock.reserved_gdt_blocks <= (block_size // 4 if Compat.RESIZE_INODE in superblock.compat else 0),
            "s_reserved_gdt_blocks",
        ),
        (fields.s_log_groups_per_flex <= 31, "s_log_groups_per_flex"),  # noqa: PLR2004
        (not (superblock.journal_inode and any(fields.s_journal_uuid)), "s_journal_uuid"),
        (
            not (Compat.RESIZE_INODE in superblock.compat and Incompat.META_BG in superblock.incompat),
            "s_feature_incompat",
        ),
        (
            not (superblock.has_metadata_csum and ReadOnlyCompat.UNINIT_BG in superblock.ro_compat),
            "s_feature_ro_compat",
        ),
    ):
        if not holds:
            raise _damage("the field contradicts the rest of the superblock", field)
    groups = superblock.group_count
    if groups > _MAX_GROUPS:
        raise UnsupportedError(f"an ext file system of {groups:,} block groups is too large here", hint=GUESTFS_HINT)
    if groups * superblock.inodes_per_group != superblock.inodes_count:
        raise _damage("the number of inodes is not that of the block groups together", "s_inodes_count")
    if superblock.first_meta_group > -(-groups // superblock.descriptors_per_block):
        raise _damage("the first meta block group lies past the last group", "s_first_meta_bg")


def _kind(compat: int, incompat: int, ro_compat: int) -> str:
    ext3_ro = ReadOnlyCompat.SPARSE_SUPER | ReadOnlyCompat.LARGE_FILE | ReadOnlyCompat.BTREE_DIR
    ext3_incompat = Incompat.FILETYPE | Incompat.NEEDS_RECOVERY | Incompat.META_BG
    if incompat & Incompat.JOURNAL_DEV:
        return "jbd"
    if ro_compat & ~ext3_ro or incompat & ~ext3_incompat:
        return "ext4"
    return "ext3" if compat & Compat.HAS_JOURNAL else "ext2"


def _label(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode(errors="replace")


def _uuid(raw: bytes) -> str:
    return str(UUID(bytes=raw)) if any(raw) else ""


def _beyond(flags: IntFlag, known: IntFlag) -> list[str]:
    """Names of the features that are not among the known ones."""
    # As plain numbers: the complement of an IntFlag leaves out what has no name.
    return _names(type(flags)(int(flags) & ~int(known)))


def _names(flags: IntFlag) -> list[str]:
    """Names of the features as tune2fs says them, hexadecimal for those that are not known."""
    known = list(flags)
    rest = int(flags) & ~sum(known)
    names = ["64bit" if flag is Incompat.BIT64 else str(flag.name).lower() for flag in known]
    return names + ([f"{rest:#x}"] if rest else [])


def _damage(message: str, field: str) -> FormatError:
    return FormatError(
        message, structure="ext superblock", offset=layout.SUPERBLOCK_OFFSET, field=field, hint=REPAIR_HINT
    )
