"""On-disk structures of ext2, ext3 and ext4: declarations only.

The superblock is a `construct` declaration. Structures that are read by the thousand (group descriptors, inodes,
extents, directory entries) are `struct.Struct` formats, because `construct` takes some 100 microseconds for each.

Specification: https://docs.kernel.org/filesystems/ext4/ ; names are those of the Linux kernel's fs/ext4/ext4.h.
All numbers are little-endian.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct

from construct import Array, Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Padding
from construct import Struct as Record

SUPERBLOCK_OFFSET = 1024
SUPERBLOCK_SIZE = 1024
MAGIC = b"\x53\xef"
MAGIC_OFFSET = 0x38

SUPERBLOCK = Record(
    "s_inodes_count" / Int32ul,
    "s_blocks_count_lo" / Int32ul,
    "s_r_blocks_count_lo" / Int32ul,
    "s_free_blocks_count_lo" / Int32ul,
    "s_free_inodes_count" / Int32ul,
    "s_first_data_block" / Int32ul,
    "s_log_block_size" / Int32ul,
    "s_log_cluster_size" / Int32ul,
    "s_blocks_per_group" / Int32ul,
    "s_clusters_per_group" / Int32ul,
    "s_inodes_per_group" / Int32ul,
    Padding(12),  # mount time, write time, mount counts
    "s_magic" / Int16ul,
    "s_state" / Int16ul,
    Padding(12),  # behaviour on errors, minor revision, check times
    "s_creator_os" / Int32ul,
    "s_rev_level" / Int32ul,
    Padding(4),  # owner of the reserved blocks
    "s_first_ino" / Int32ul,
    "s_inode_size" / Int16ul,
    "s_block_group_nr" / Int16ul,
    "s_feature_compat" / Int32ul,
    "s_feature_incompat" / Int32ul,
    "s_feature_ro_compat" / Int32ul,
    "s_uuid" / Bytes(16),
    "s_volume_name" / Bytes(16),
    Padding(64 + 4 + 2),  # last mounted on, compression, preallocation
    "s_reserved_gdt_blocks" / Int16ul,
    "s_journal_uuid" / Bytes(16),  # of an external journal
    "s_journal_inum" / Int32ul,
    "s_journal_dev" / Int32ul,
    "s_last_orphan" / Int32ul,
    "s_hash_seed" / Bytes(16),
    "s_def_hash_version" / Int8ul,
    "s_jnl_backup_type" / Int8ul,
    "s_desc_size" / Int16ul,
    Padding(4),  # default mount options
    "s_first_meta_bg" / Int32ul,
    Padding(4 + 68),  # creation time, backup of the journal's block map
    "s_blocks_count_hi" / Int32ul,
    "s_r_blocks_count_hi" / Int32ul,
    "s_free_blocks_count_hi" / Int32ul,
    "s_min_extra_isize" / Int16ul,
    "s_want_extra_isize" / Int16ul,
    "s_flags" / Int32ul,
    Padding(4),  # RAID stride, MMP interval
    "s_mmp_block" / Int64ul,
    Padding(4),  # RAID stripe width
    "s_log_groups_per_flex" / Int8ul,
    "s_checksum_type" / Int8ul,
    Padding(2 + 8 + 20),  # encryption level, kilobytes written, snapshots
    "s_error_count" / Int32ul,
    Padding(0x240 - 0x198),  # first and last error, mount options
    "s_usr_quota_inum" / Int32ul,
    "s_grp_quota_inum" / Int32ul,
    Padding(4),  # overhead
    "s_backup_bgs" / Array(2, Int32ul),
    Padding(20),  # encryption
    "s_lpf_ino" / Int32ul,
    "s_prj_quota_inum" / Int32ul,
    "s_checksum_seed" / Int32ul,
    Padding(12),  # high bytes of times, error codes, encoding
    "s_orphan_file_inum" / Int32ul,
    Padding(376),
    "s_checksum" / Int32ul,
)


FREE_BLOCKS_OFFSET = 0x0C
FREE_INODES_OFFSET = 0x10
INCOMPAT_OFFSET = 0x60
RO_COMPAT_OFFSET = 0x64
LAST_ORPHAN_OFFSET = 0xE8
FREE_BLOCKS_HIGH_OFFSET = 0x158


class Compat(IntFlag):
    """Features that a program which does not know them may ignore."""

    DIR_PREALLOC = 0x0001
    IMAGIC_INODES = 0x0002
    HAS_JOURNAL = 0x0004
    EXT_ATTR = 0x0008
    RESIZE_INODE = 0x0010
    DIR_INDEX = 0x0020
    LAZY_BG = 0x0040
    EXCLUDE_INODE = 0x0080
    EXCLUDE_BITMAP = 0x0100
    SPARSE_SUPER2 = 0x0200
    FAST_COMMIT = 0x0400
    STABLE_INODES = 0x0800
    ORPHAN_FILE = 0x1000


class ReadOnlyCompat(IntFlag):
    """Features that a program which does not know them may read, but not write."""

    SPARSE_SUPER = 0x0001
    LARGE_FILE = 0x0002
    BTREE_DIR = 0x0004
    HUGE_FILE = 0x0008
    UNINIT_BG = 0x0010
    DIR_NLINK = 0x0020
    EXTRA_ISIZE = 0x0040
    HAS_SNAPSHOT = 0x0080
    QUOTA = 0x0100
    BIGALLOC = 0x0200
    METADATA_CSUM = 0x0400
    REPLICA = 0x0800
    READONLY = 0x1000
    PROJECT = 0x2000
    SHARED_BLOCKS = 0x4000
    VERITY = 0x8000
    ORPHAN_PRESENT = 0x10000


class Incompat(IntFlag):
    """Features without which the file system cannot be read."""

    COMPRESSION = 0x0001
    FILETYPE = 0x0002
    NEEDS_RECOVERY = 0x0004
    JOURNAL_DEV = 0x0008
    META_BG = 0x0010
    EXTENTS = 0x0040
    BIT64 = 0x0080
    MMP = 0x0100
    FLEX_BG = 0x0200
    EA_INODE = 0x0400
    DIRDATA = 0x1000
    CSUM_SEED = 0x2000
    LARGEDIR = 0x4000
    INLINE_DATA = 0x8000
    ENCRYPT = 0x10000
    CASEFOLD = 0x20000


class State(IntFlag):
    """`s_state`."""

    VALID = 0x0001
    ERROR = 0x0002
    ORPHAN = 0x0004
    FC_REPLAY = 0x0020


class GroupFlag:
    """`bg_flags`. Plain numbers, which are compared some ten times faster: there may be many groups."""

    INODE_UNINIT = 0x0001
    BLOCK_UNINIT = 0x0002
    INODE_ZEROED = 0x0004


class InodeFlag:
    """`i_flags`, those that matter here. Plain numbers: the full check tests them for every inode."""

    IMMUTABLE = 0x00000010
    APPEND = 0x00000020
    ENCRYPT = 0x00000800
    INDEX = 0x00001000
    IMAGIC = 0x00002000
    HUGE_FILE = 0x00040000
    EXTENTS = 0x00080000
    VERITY = 0x00100000
    EA_INODE = 0x00200000
    INLINE_DATA = 0x10000000
    PROJINHERIT = 0x20000000
    CASEFOLD = 0x40000000


INHERITED_FLAGS = 0x0001 | 0x0002 | 0x0004 | 0x0008 | 0x0040 | 0x0080 | 0x0400 | 0x4000 | 0x8000 | 0x10000 | 0x20000000
"""What a new inode takes from its directory: the kernel's EXT4_FL_INHERITED, without encryption and case folding."""

INHERITED_BY_FILES = INHERITED_FLAGS & ~(0x10000 | 0x20000000)
"""The same without what only directories carry: DIRSYNC and PROJINHERIT."""

BAD_BLOCKS_INODE = 1
ROOT_INODE = 2
RESIZE_INODE = 7
JOURNAL_INODE = 8
FIRST_INODE_REV0 = 11

GROUP_DESCRIPTOR = Struct("<IIIHHHHIHHHH")
"""block bitmap, inode bitmap, inode table, free blocks, free inodes, used directories, flags, exclude bitmap, checksum
of the block bitmap, checksum of the inode bitmap, unused inodes, checksum: 32 bytes, low halves."""

GROUP_DESCRIPTOR_HIGH = Struct("<IIIHHHHIHH")
"""The high halves of the same fields (without flags and checksum), in the 32 bytes that follow with 64bit."""

GROUP_CHECKSUM_OFFSET = 0x1E
GROUP_UNUSED_OFFSET, GROUP_UNUSED_HIGH_OFFSET = 0x1C, 0x32

INODE = Struct("<HHIIIIIHHII4x60sIII4xHHHH")
"""mode, uid, size, atime, ctime, mtime, dtime, gid, links, blocks, flags, block, generation, xattr block, size (high),
blocks (high), xattr block (high), uid (high), gid (high); i_version lies in the gap after the flags."""

INODE_SIZE_REV0 = 128
INODE_VERSION_OFFSET = 0x24
INODE_CHECKSUM_LOW_OFFSET = 0x7C
INODE_EXTRA_SIZE_OFFSET = 0x80
INODE_CHECKSUM_HIGH_OFFSET = 0x82
INODE_EXTRA = Struct("<HHIIIIIII")
"""From offset 0x80: extra size, checksum (high), ctime extra, mtime extra, atime extra, creation time, its extra,
version (high), project."""

EXTENT_MAGIC = 0xF30A
EXTENT_HEADER = Struct("<HHHHI")
"""magic, entries, maximum, depth, generation."""

EXTENT = Struct("<IHHI")
"""first logical block, length (over 32768: unwritten), start (high), start (low)."""

EXTENT_INDEX = Struct("<IIHH")
"""first logical block, leaf (low), leaf (high), unused."""

EXTENT_MAX_LENGTH = 32768
EXTENT_MAX_DEPTH = 5

DIRECTORY_ENTRY = Struct("<IHBB")
"""inode, record length, name length, file type."""

DIRECTORY_TAIL = Struct("<IHBBI")
"""0, 12, 0, 0xDE, checksum."""

DX_ROOT_INFO = Struct("<IBBBB")
"""0, hash version, length (8), levels, flags: at offset 24 of the first block of an indexed directory."""

DX_ROOT_INFO_OFFSET = 24
DX_ENTRY = Struct("<II")
"""hash, block. The first one of a node holds limit, count and block instead: see `DX_COUNT_LIMIT`."""

DX_COUNT_LIMIT = Struct("<HHI")

XATTR_MAGIC = 0xEA020000
XATTR_HEADER = Struct("<IIIII12x")
"""magic, reference count, blocks, hash, checksum."""

XATTR_CHECKSUM_OFFSET = 16

XATTR_ENTRY = Struct("<BBHIII")
"""name length, name index, value offset, value inode, value size, hash."""

ORPHAN_TAIL = Struct("<II")
"""magic, checksum: at the end of each block of the orphan file, behind the numbers of inodes."""

ORPHAN_MAGIC = 0x0B10CA04

MMP_MAGIC = 0x004D4D50
MMP_CLEAN = 0xFF4D4D50
MMP_BLOCK_SIZE = 1024


class DirectoryType(IntEnum):
    """File type in a directory entry."""

    UNKNOWN = 0
    FILE = 1
    DIRECTORY = 2
    CHARACTER_DEVICE = 3
    BLOCK_DEVICE = 4
    FIFO = 5
    SOCKET = 6
    LINK = 7
