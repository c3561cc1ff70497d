"""The system's libext2fs through ctypes: prototypes, structures, checksums and error texts.

Loaded on first use. The library has no stable C structures on paper, but `struct_ext2_filsys` up to `now` and the I/O
manager have kept their layout from e2fsprogs 1.46 to 1.47; `editor` compares what it finds there with the superblock
before it trusts it. Older releases cannot add entries to an indexed directory and are refused.

Reference: https://git.kernel.org/pub/scm/fs/ext2/e2fsprogs.git/tree/lib/ext2fs/ext2fs.h
"""

from __future__ import annotations

import ctypes
import functools
from ctypes import (
    POINTER,
    byref,
    c_char_p,
    c_int,
    c_int64,
    c_long,
    c_size_t,
    c_uint,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any

from imgkit.errors import EngineError

_SONAME = "libext2fs.so.2"
_COM_ERR_SONAME = "libcom_err.so.2"
_OLDEST_VERSION = 146  # major and minor; the third number is not part of it
_HINT = (
    "Install e2fsprogs 1.46 or newer (package libext2fs2, libext2fs2t64 or e2fsprogs-libs), or use --engine guestfs."
)

ERROR_BLOCK_ALLOC_FAIL = 2133571400
ERROR_INODE_ALLOC_FAIL = 2133571401
ERROR_DIR_NO_SPACE = 2133571366
ERROR_INLINE_DATA_NO_SPACE = 2133571495
ERROR_EA_NO_SPACE = 2133571491

OPEN_RW = 0x01
OPEN_64BITS = 0x20000
OPEN_SKIP_MMP = 0x100000
FILE_WRITE = 0x0001
BITMAP_RBTREE = 2


class FileSystemStruct(ctypes.Structure):
    """The head of `struct_ext2_filsys`, as far as it is used here."""

    _fields_ = (
        ("magic", c_long),
        ("io", c_void_p),
        ("flags", c_int),
        ("device_name", c_char_p),
        ("super", c_void_p),
        ("blocksize", c_uint),
        ("fragsize", c_int),
        ("group_desc_count", c_uint32),
        ("desc_blocks", ctypes.c_ulong),
        ("group_desc", c_void_p),
        ("inode_blocks_per_group", c_uint),
        ("inode_map", c_void_p),
        ("block_map", c_void_p),
        ("callbacks", c_void_p * 5),
        ("badblocks", c_void_p),
        ("dblist", c_void_p),
        ("stride", c_uint32),
        ("orig_super", c_void_p),
        ("image_header", c_void_p),
        ("umask", c_uint32),
        ("now", c_long),
        ("cluster_ratio_bits", c_int),
        ("default_bitmap_type", c_uint16),
    )


FileSystemPointer = POINTER(FileSystemStruct)

# Name: argument types. All of them return errcode_t, a long, 0 for success.
_PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "ext2fs_open2": (c_char_p, c_char_p, c_int, c_int, c_uint, c_void_p, POINTER(FileSystemPointer)),
    "ext2fs_read_bitmaps": (FileSystemPointer,),
    "ext2fs_flush": (FileSystemPointer,),
    "ext2fs_new_inode": (FileSystemPointer, c_uint32, c_int, c_void_p, POINTER(c_uint32)),
    "ext2fs_write_inode_full": (FileSystemPointer, c_uint32, c_char_p, c_int),
    "ext2fs_file_open": (FileSystemPointer, c_uint32, c_int, POINTER(c_void_p)),
    "ext2fs_file_write": (c_void_p, c_char_p, c_uint, POINTER(c_uint)),
    "ext2fs_file_flush": (c_void_p,),
    "ext2fs_file_set_size2": (c_void_p, c_int64),
    "ext2fs_file_close": (c_void_p,),
    "ext2fs_inline_data_set": (FileSystemPointer, c_uint32, c_void_p, c_char_p, c_size_t),
    "ext2fs_inline_data_expand": (FileSystemPointer, c_uint32),
    "ext2fs_punch": (FileSystemPointer, c_uint32, c_void_p, c_char_p, c_uint64, c_uint64),
    "ext2fs_link": (FileSystemPointer, c_uint32, c_char_p, c_uint32, c_int),
    "ext2fs_unlink": (FileSystemPointer, c_uint32, c_char_p, c_uint32, c_int),
    "ext2fs_expand_dir": (FileSystemPointer, c_uint32),
    "ext2fs_mkdir": (FileSystemPointer, c_uint32, c_uint32, c_char_p),
    "ext2fs_symlink": (FileSystemPointer, c_uint32, c_uint32, c_char_p, c_char_p),
    "ext2fs_free_ext_attr": (FileSystemPointer, c_uint32, c_void_p),
    "ext2fs_xattrs_open": (FileSystemPointer, c_uint32, POINTER(c_void_p)),
    "ext2fs_xattrs_flags": (c_void_p, POINTER(c_uint), POINTER(c_uint)),
    "ext2fs_xattrs_read": (c_void_p,),
    "ext2fs_xattr_set": (c_void_p, c_char_p, c_char_p, c_size_t),
    "ext2fs_xattr_remove": (c_void_p, c_char_p),
    "ext2fs_xattrs_close": (POINTER(c_void_p),),
    "ext2fs_dirhash2": (c_int, c_char_p, c_int, c_void_p, c_int, c_char_p, POINTER(c_uint32), POINTER(c_uint32)),
}

# The same for functions that return something else.
_OTHER_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "ext2fs_get_library_version": (c_int, (POINTER(c_char_p), POINTER(c_char_p))),
    "initialize_ext2_error_table": (None, ()),
    "ext2fs_free": (None, (FileSystemPointer,)),
    "ext2fs_inode_alloc_stats2": (None, (FileSystemPointer, c_uint32, c_int, c_int)),
    "ext2fs_block_alloc_stats2": (None, (FileSystemPointer, c_uint64, c_int)),
    "ext2fs_block_alloc_stats_range": (None, (FileSystemPointer, c_uint64, c_uint32, c_int)),
    "ext2fs_crc32c_le": (c_uint32, (c_uint32, c_char_p, c_size_t)),
    "ext2fs_crc16": (c_uint16, (c_uint16, c_char_p, c_uint)),
}


class Library:
    """libext2fs, loaded: its functions by their names without the prefix, and its checksums and hashes as methods."""

    __slots__ = ("_crc16", "_crc32c", "_dirhash", "_error_message", "_functions", "version")

    def __init__(self, functions: Any, error_message: Any, version: str) -> None:
        self._functions = functions
        self._error_message = error_message
        self._crc16 = functions.ext2fs_crc16
        self._crc32c = functions.ext2fs_crc32c_le
        self._dirhash = functions.ext2fs_dirhash2
        self.version = version

    def __getattr__(self, name: str) -> Any:
        """The C function `ext2fs_<name>`."""
        return getattr(self._functions, f"ext2fs_{name}")

    def crc32c(self, seed: int, data: bytes) -> int:
        """CRC-32C (Castagnoli) of `data`, continued from `seed`, not inverted at the end."""
        return int(self._crc32c(seed, data, len(data)))

    def crc16(self, seed: int, data: bytes) -> int:
        """CRC-16 (ANSI) of `data`, continued from `seed`."""
        return int(self._crc16(seed, data, len(data)))

    def directory_hash(self, version: int, name: bytes, seed: bytes) -> int | None:
        """Hash of a name in an indexed directory, or None for a hash version that the library does not know."""
        major, minor = c_uint32(), c_uint32()
        if self._dirhash(version, name, len(name), None, 0, seed, byref(major), byref(minor)):
            return None
        return major.value

    def error_text(self, code: int) -> str:
        """What an error code means, in libext2fs's words."""
        return str(self._error_message(code).decode(errors="replace"))


@functools.cache
def load() -> Library:
    """The library, loaded once. EngineError where it is missing or too old."""
    try:
        functions = ctypes.CDLL(_SONAME)
        com_err = ctypes.CDLL(_COM_ERR_SONAME)
        for name, arguments in _PROTOTYPES.items():
            function = getattr(functions, name)
            function.argtypes, function.restype = arguments, c_long
        for name, (result, arguments) in _OTHER_PROTOTYPES.items():
            function = getattr(functions, name)
            function.argtypes, function.restype = arguments, result
    except (OSError, AttributeError) as error:
        raise EngineError(f"libext2fs, which edits ext2, ext3 and ext4, cannot be used: {error}", hint=_HINT) from error
    com_err.error_message.argtypes, com_err.error_message.restype = (c_long,), c_char_p
    functions.initialize_ext2_error_table()
    text, date = c_char_p(), c_char_p()
    number = functions.ext2fs_get_library_version(byref(text), byref(date))
    version = (text.value or b"?").decode()
    if number < _OLDEST_VERSION:
        raise EngineError(f"libext2fs {version} is too old", hint=_HINT)
    return Library(functions, com_err.error_message, version)
