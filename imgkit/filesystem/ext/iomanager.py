"""An I/O manager for libext2fs, written in Python, that reads and writes a `BlockDevice`.

libext2fs asks for whole blocks, or for a negative count that means bytes. Writes that would change nothing are
dropped: the library writes every bitmap and descriptor back, and a copy-on-write layer below would copy them all.

An exception cannot pass through C, so callbacks keep it and report EIO; `raise_failure` raises it afterwards.

Reference: https://git.kernel.org/pub/scm/fs/ext2/e2fsprogs.git/tree/lib/ext2fs/ext2_io.h
"""

from __future__ import annotations

import ctypes
import errno
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_long, c_uint, c_ulonglong, c_void_p, memmove
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgkit.storage.device import BlockDevice

_MAGIC_CHANNEL = 2133571333
_MAGIC_MANAGER = 2133571335
_FIRST_BLOCK_SIZE = 1024


class _Channel(Structure):
    """`struct_io_channel`."""


_Open = CFUNCTYPE(c_long, c_char_p, c_int, POINTER(POINTER(_Channel)))
_Close = CFUNCTYPE(c_long, POINTER(_Channel))
_SetBlockSize = CFUNCTYPE(c_long, POINTER(_Channel), c_int)
_Transfer = CFUNCTYPE(c_long, POINTER(_Channel), c_ulonglong, c_int, c_void_p)
_Range = CFUNCTYPE(c_long, POINTER(_Channel), c_ulonglong, c_ulonglong)


class _Manager(Structure):
    """`struct_io_manager`. Callbacks that are left null make libext2fs do without them."""

    _fields_ = (
        ("magic", c_long),
        ("name", c_char_p),
        ("open", _Open),
        ("close", _Close),
        ("set_blksize", _SetBlockSize),
        ("read_blk", _Transfer),
        ("write_blk", _Transfer),
        ("flush", _Close),
        ("write_byte", c_void_p),
        ("set_option", c_void_p),
        ("get_stats", c_void_p),
        ("read_blk64", _Transfer),
        ("write_blk64", _Transfer),
        ("discard", c_void_p),
        ("cache_readahead", c_void_p),
        ("zeroout", _Range),
        ("reserved", c_long * 14),
    )


_Channel._fields_ = (
    ("magic", c_long),
    ("manager", POINTER(_Manager)),
    ("name", c_char_p),
    ("block_size", c_int),
    ("read_error", c_void_p),
    ("write_error", c_void_p),
    ("refcount", c_int),
    ("flags", c_uint),
    ("reserved", c_long * 14),
    ("private_data", c_void_p),
    ("app_data", c_void_p),
    ("align", c_int),
)


class IoManager:
    """The C structures and callbacks for one block device. It has to outlive the file system that uses it."""

    __slots__ = ("_block_size", "_channel", "_channel_pointer", "_device", "_failure", "_manager")

    def __init__(self, device: BlockDevice) -> None:
        self._device = device
        self._failure: BaseException | None = None
        self._block_size = _FIRST_BLOCK_SIZE
        read, write = _Transfer(self._guarded(self._read)), _Transfer(self._guarded(self._write))
        self._manager = _Manager(
            magic=_MAGIC_MANAGER,
            name=b"imgkit block device",
            open=_Open(self._open),
            close=_Close(lambda _channel: 0),
            set_blksize=_SetBlockSize(self._set_block_size),
            read_blk=read,
            write_blk=write,
            flush=_Close(lambda _channel: 0),
            read_blk64=read,
            write_blk64=write,
            zeroout=_Range(self._guarded(self._zero_out)),
        )
        self._channel = _Channel(
            magic=_MAGIC_CHANNEL,
            manager=ctypes.pointer(self._manager),
            name=b"imgkit",
            block_size=_FIRST_BLOCK_SIZE,
            refcount=1,
        )
        self._channel_pointer = ctypes.pointer(self._channel)

    @property
    def pointer(self) -> object:
        """The manager as an argument for `ext2fs_open2`."""
        return ctypes.byref(self._manager)

    def raise_failure(self) -> None:
        """Raise what a callback has caught since the last call, if anything."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _guarded(self, callback: Callable[..., None]) -> Callable[..., int]:
        def guarded(_channel: object, *arguments: int) -> int:
            try:
                callback(*arguments)
            except BaseException as failure:  # noqa: BLE001  ctypes would drop it and report success; raised later
                self._failure = self._failure or failure
                return errno.EIO
            return 0

        return guarded

    def _open(self, _name: bytes, _flags: int, channel: object) -> int:
        channel[0] = self._channel_pointer  # type: ignore[index]
        return 0

    def _set_block_size(self, _channel: object, size: int) -> int:
        self._block_size = self._channel.block_size = size
        return 0

    def _read(self, block: int, count: int, buffer: int) -> None:
        length = -count if count < 0 else count * self._block_size
        memmove(buffer, self._device.read_at(block * self._block_size, length), length)

    def _write(self, block: int, count: int, buffer: int) -> None:
        offset = block * self._block_size
        data = ctypes.string_at(buffer, -count if count < 0 else count * self._block_size)
        if self._device.read_at(offset, len(data)) != data:
            self._device.write_at(offset, data)

    def _zero_out(self, block: int, count: int) -> None:
        size = self._block_size
        for number in range(block, block + count):
            if any(self._device.read_at(number * size, size)):
                self._device.write_at(number * size, bytes(size))
