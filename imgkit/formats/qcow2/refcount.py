"""Refcounts of host clusters: looked up, changed, and grown; and clusters allocated at the end of the file.

All state is in the device: nothing is cached, so nothing can disagree with it.
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, UnsupportedError
from imgkit.formats.qcow2 import layout

if TYPE_CHECKING:
    from imgkit.formats.qcow2.header import Header
    from imgkit.storage.overlay import Overlay

_MAX_TABLE_BYTES = 8 << 20
_MOST_EMPTY_BLOCKS = 16384
_MOST_EMPTY_BYTES = 64 << 20


class Refcounts:
    """The refcount table and its blocks. Clusters are named by their index in the file."""

    def __init__(self, device: Overlay, header: Header) -> None:
        self._device = device
        self._cluster_size = header.cluster_size
        self._bits = header.refcount_bits
        self._per_block = header.cluster_size * 8 // header.refcount_bits
        self._table_offset = header.refcount_table_offset
        self._table_entries = header.refcount_table_size // 8

    def get(self, cluster: int) -> int:
        """Refcount of a cluster; 0 where there is no refcount block."""
        block = self._block_offset(cluster // self._per_block)
        if not block:
            return 0
        offset, shift = self._position(block, cluster)
        raw = int.from_bytes(self._device.read_at(offset, max(self._bits // 8, 1)), "big")
        return raw >> shift & ((1 << self._bits) - 1)

    def release(self, cluster: int) -> None:
        """Take one reference from a cluster. Raises FormatError if it has none."""
        count = self.get(cluster)
        if not count:
            raise self._error("cluster in use has refcount 0", cluster)
        self._set(cluster, count - 1)

    def check_single(self, cluster: int) -> None:
        """Raise FormatError unless the cluster has one reference, as tables claim that are about to be written to."""
        if self.get(cluster) != 1:
            raise self._error(f"cluster is claimed by one table alone, but has refcount {self.get(cluster)}", cluster)

    def allocate(self) -> int:
        """Offset of a new cluster at the end of the file, with refcount 1, full of zeros."""
        cluster = self._append(1)
        self._set(cluster, 1)
        return cluster * self._cluster_size

    def last_used(self) -> int:
        """Index of the last cluster that is in use."""
        entries = array("Q", self._device.read_at(self._table_offset, self._table_entries * 8))
        if sys.byteorder == "little":
            entries.byteswap()
        empty = {0}
        for index in range(len(entries) - 1, -1, -1):
            if entries[index] & layout.OFFSET_MASK in empty:  # a table may name one block a million times
                continue
            block = self._block_offset(index)
            used = self._device.read_at(block, self._cluster_size).rstrip(b"\0")
            if used:
                in_last_byte = used[-1].bit_length() - 1 if self._bits < 8 else 0  # noqa: PLR2004
                return index * self._per_block + ((len(used) - 1) * 8 + in_last_byte) // self._bits
            empty.add(block)
            if len(empty) > min(_MOST_EMPTY_BLOCKS, _MOST_EMPTY_BYTES // self._cluster_size):
                raise self._error("refcount table ends with more empty blocks than any image has", 0)
        return 0

    def _set(self, cluster: int, count: int) -> None:
        index = cluster // self._per_block
        block = self._block_offset(index) or self._new_block(index)
        offset, shift = self._position(block, cluster)
        width = max(self._bits // 8, 1)
        raw = int.from_bytes(self._device.read_at(offset, width), "big")
        raw = raw & ~(((1 << self._bits) - 1) << shift) | count << shift
        self._device.write_at(offset, raw.to_bytes(width, "big"))

    def _position(self, block: int, cluster: int) -> tuple[int, int]:
        """Byte offset of a refcount, and its shift within the byte where several share one."""
        bit = cluster % self._per_block * self._bits
        return block + bit // 8, bit % 8

    def _block_offset(self, index: int) -> int:
        """Offset of a refcount block, 0 if there is none."""
        if index >= self._table_entries:
            return 0
        entry = int.from_bytes(self._device.read_at(self._table_offset + index * 8, 8), "big") & layout.OFFSET_MASK
        if entry % self._cluster_size or entry + self._cluster_size > self._device.size:
            raise FormatError(
                f"refcount block at {entry:,} is not a cluster of the file",
                structure="qcow2 refcount table",
                offset=self._table_offset + index * 8,
                hint="Check the image with `qemu-img check`.",
            )
        return entry

    def _append(self, count: int) -> int:
        """Index of the first of `count` unused clusters at the end of the file, which grows. No refcount is set."""
        first = -(-self._device.size // self._cluster_size)
        while any(self.get(first + k) for k in range(count)):  # leaked clusters past the end
            first += 1
        self._device.grow((first + count) * self._cluster_size)
        return first

    def _new_block(self, index: int) -> int:
        if index >= self._table_entries:
            self._grow_table(index)
            if made := self._block_offset(index):  # the grown table's own clusters needed the same block
                return made
        cluster = self._append(1)
        offset = cluster * self._cluster_size
        self._write_table_entry(index, offset)
        # The block may count itself; else this makes the block that does, which covers clusters further on.
        self._set(cluster, 1)
        return offset

    def _grow_table(self, index: int) -> None:
        """Move the table to a longer one at the end of the file, with room for entry `index` and for its own blocks."""
        old_offset, old_size = self._table_offset, self._table_entries * 8
        size = -(-max(index + 2, self._table_entries * 2) * 8 // self._cluster_size) * self._cluster_size
        if size > _MAX_TABLE_BYTES:
            raise UnsupportedError(
                "qcow2 refcount table would be larger than 8 MiB",
                hint="Convert the image to larger clusters: `qemu-img convert -O qcow2 -o cluster_size=64k`.",
            )
        clusters = size // self._cluster_size
        first = self._append(clusters)
        self._table_offset, self._table_entries = first * self._cluster_size, size // 8
        self._device.write_at(self._table_offset, self._device.read_at(old_offset, old_size))
        self._device.write_at(
            layout.REFCOUNT_TABLE_OFFSET,
            layout.REFCOUNT_TABLE.build({"offset": self._table_offset, "clusters": clusters}),
        )
        for cluster in range(first, first + clusters):
            self._set(cluster, 1)
        for cluster in range(old_offset // self._cluster_size, (old_offset + old_size) // self._cluster_size):
            self._set(cluster, 0)

    def _write_table_entry(self, index: int, offset: int) -> None:
        self._device.write_at(self._table_offset + index * 8, offset.to_bytes(8, "big"))

    def _error(self, message: str, cluster: int) -> FormatError:
        return FormatError(
            message,
            structure="qcow2 cluster",
            offset=cluster * self._cluster_size,
            field="refcount",
            hint="Check the image with `qemu-img check`.",
        )
