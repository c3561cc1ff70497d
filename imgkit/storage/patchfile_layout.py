"""Byte layout of a patch file, imgkit's own format. All integers are little-endian; patches are sorted by offset.

A SHA-256 of everything before it ends the file.
"""

from __future__ import annotations

from construct import Bytes, Const, GreedyBytes, Int16ul, Int32ul, Int64sl, Int64ul, Prefixed, PrefixedArray, Struct

MAGIC = b"imgkit patches\r\n\x1a\n"  # its line ends show a transfer in text mode, as PNG's do
VERSION = 2
DIGEST_SIZE = 32
TOKEN_SIZE = 16

BODY = Struct(
    "magic" / Const(MAGIC),
    "version" / Const(VERSION, Int32ul),
    "token" / Bytes(TOKEN_SIZE),
    "device" / Int64ul,
    "inode" / Int64ul,
    "size_before" / Int64ul,
    "size_after" / Int64ul,
    "mtime_ns" / Int64sl,
    "name" / Prefixed(Int16ul, GreedyBytes),
    "patches"
    / PrefixedArray(
        Int32ul,
        Struct(
            "offset" / Int64ul,
            "before" / Prefixed(Int64ul, GreedyBytes),
            "after" / Prefixed(Int64ul, GreedyBytes),
        ),
    ),
)
