"""The fields of an inode as something to change: bytes in, bytes out, and times that fit whatever room there is.

Specification: https://docs.kernel.org/filesystems/ext4/inodes.html
"""

from __future__ import annotations

from typing import Any

from imgkit.filesystem.ext.layout import INODE_EXTRA, INODE_EXTRA_SIZE_OFFSET, INODE_SIZE_REV0, InodeFlag

_ATIME, _CTIME, _MTIME, _CREATION = "atime", "ctime", "mtime", "creation time"
_TIME_OFFSETS = {_ATIME: (0x08, 0x8C), _CTIME: (0x0C, 0x84), _MTIME: (0x10, 0x88), _CREATION: (0x90, 0x94)}
"""Offset of the seconds, and of the field with two more bits of them and the nanoseconds."""


class _Field:
    """An unsigned number at an offset; its high half may lie elsewhere."""

    __slots__ = ("_high", "_low", "_size")

    def __init__(self, offset: int, size: int, high: int | None = None) -> None:
        self._low, self._size, self._high = offset, size, high

    def __get__(self, fields: Any, _owner: type | None = None) -> int:
        value = fields.number(self._low, self._size)
        if self._high is not None:
            value |= fields.number(self._high, self._size) << 8 * self._size
        return int(value)

    def __set__(self, fields: Any, value: int) -> None:
        bits = 8 * self._size
        fields.set_number(self._low, self._size, value & (1 << bits) - 1)
        if self._high is not None:
            fields.set_number(self._high, self._size, value >> bits)


class InodeFields:
    """One inode, to be changed. Fields that lie past the inode's own extra size read as 0 and are not written."""

    __slots__ = ("_raw", "_stop")

    mode = _Field(0x00, 2)
    uid = _Field(0x02, 2, 0x78)
    gid = _Field(0x18, 2, 0x7A)
    size = _Field(0x04, 4, 0x6C)
    dtime = _Field(0x14, 4)
    links = _Field(0x1A, 2)
    flags = _Field(0x20, 4)
    version = _Field(0x24, 4, 0x98)
    project = _Field(0x9C, 4)

    def __init__(self, raw: bytes) -> None:
        self._raw = bytearray(raw)
        self._stop = INODE_SIZE_REV0
        if len(raw) > INODE_SIZE_REV0:
            extra = self._raw[INODE_EXTRA_SIZE_OFFSET] | self._raw[INODE_EXTRA_SIZE_OFFSET + 1] << 8
            self._stop = min(INODE_SIZE_REV0 + extra, len(raw))

    @classmethod
    def empty(cls, inode_size: int) -> InodeFields:
        """A zero inode with room for every field that the inode size allows."""
        raw = bytearray(inode_size)
        if inode_size > INODE_SIZE_REV0:
            raw[INODE_EXTRA_SIZE_OFFSET] = INODE_EXTRA.size
        return cls(bytes(raw))

    @property
    def block(self) -> bytes:
        """The 60 bytes of `i_block`."""
        return bytes(self._raw[0x28:0x64])

    @block.setter
    def block(self, value: bytes) -> None:
        self._raw[0x28:0x64] = value.ljust(60, b"\0")

    def to_bytes(self) -> bytes:
        """The inode as it is on disk, with the checksum that it had."""
        return bytes(self._raw)

    def set_sectors(self, sectors: int) -> None:
        """Set the number of sectors, in sectors: the flag that makes the field count blocks is cleared."""
        self.flags &= ~InodeFlag.HUGE_FILE
        self.set_number(0x1C, 4, sectors & 0xFFFFFFFF)
        self.set_number(0x74, 2, sectors >> 32)

    def touch(self, now: int, *, modified: bool) -> None:
        """Set the change time, with `modified` the modification time as well, and count the version up."""
        self._set_time(_CTIME, now)
        if modified:
            self._set_time(_MTIME, now)
        self.version += 1

    def create(self, now: int) -> None:
        """Set all times."""
        for name in _TIME_OFFSETS:
            self._set_time(name, now)

    def number(self, offset: int, size: int) -> int:
        """The little-endian number at an offset."""
        return int.from_bytes(self._raw[offset : offset + size], "little") if offset + size <= self._stop else 0

    def set_number(self, offset: int, size: int, value: int) -> None:
        """Write a little-endian number where the inode has room for it."""
        if offset + size <= self._stop:
            self._raw[offset : offset + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")

    def _set_time(self, name: str, seconds: int) -> None:
        offset, extra = _TIME_OFFSETS[name]
        if extra + 4 > self._stop:
            # 32 signed bits, without the two more: the kernel clamps, too.
            self.set_number(offset, 4, max(-(1 << 31), min(seconds, (1 << 31) - 1)))
            return
        low = (seconds + (1 << 31)) % (1 << 32) - (1 << 31)
        self.set_number(offset, 4, low)
        self.set_number(extra, 4, (seconds - low) >> 32 & 3)
