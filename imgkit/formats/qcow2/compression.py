"""Compressed clusters: where they lie, and their contents, never more than one cluster of them."""

from __future__ import annotations

import io
import zlib

from imgkit.errors import FormatError
from imgkit.formats.qcow2 import layout

_SECTOR = 512


def location(entry: int, cluster_size: int) -> tuple[int, int]:
    """Offset and greatest length, in bytes, of the compressed data that an L2 entry describes.

    The offset takes 62 - (cluster_bits - 8) bits; above it stands the number of additional 512-byte sectors.
    """
    offset_bits = 62 - (cluster_size.bit_length() - 1 - 8)
    offset = entry & ((1 << offset_bits) - 1)
    sectors = (entry & (layout.COMPRESSED - 1)) >> offset_bits
    return offset, (sectors + 1) * _SECTOR - offset % _SECTOR


def decompress(data: bytes, kind: str, cluster_size: int, offset: int) -> bytes:
    """One cluster from its compressed `data`, which may be followed by anything. Raises FormatError."""
    try:
        cluster = _inflate(data, cluster_size) if kind == "deflate" else _unzstd(data, cluster_size)
    except (zlib.error, ValueError) as error:
        raise _error(str(error), kind, offset) from error
    if len(cluster) != cluster_size:
        raise _error(f"holds {len(cluster):,} of {cluster_size:,} bytes", kind, offset)
    return cluster


def _inflate(data: bytes, cluster_size: int) -> bytes:
    return zlib.decompressobj(-15).decompress(data, cluster_size)


def _unzstd(data: bytes, cluster_size: int) -> bytes:
    import zstandard  # noqa: PLC0415 - few images use it

    decompressor = zstandard.ZstdDecompressor(max_window_size=max(cluster_size, 1 << 23))
    try:
        with decompressor.stream_reader(io.BytesIO(data)) as reader:
            return reader.read(cluster_size)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def _error(message: str, kind: str, offset: int) -> FormatError:
    return FormatError(
        f"compressed cluster cannot be read: {message}",
        structure="qcow2 compressed cluster",
        offset=offset,
        field=kind,
        hint="The image is damaged; check it with `qemu-img check`.",
    )
