"""Logs in ext journals, written by debugfs: the blocks by which two states of a file system differ, as transactions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from imgkit.filesystem.ext import library
from imgkit.filesystem.ext.journal import layout
from imgkit.filesystem.ext.journal.superblock import Journal, open_journal, superblock_checksum
from imgkit.filesystem.ext.superblock import read_superblock
from imgkit.filesystem.ext.volume import volume_of
from tests.support import oracle
from tests.support.memorydevice import MemoryDevice


def journal_of(data: bytes | bytearray) -> Journal:
    device = MemoryDevice(data)
    superblock = read_superblock(device, library.load())
    return open_journal(volume_of(device, superblock, library.load()))


def differing(before: bytes, after: bytes, block_size: int) -> list[int]:
    """The numbers of the blocks that differ."""
    return [
        number
        for number in range(len(before) // block_size)
        if before[number * block_size : (number + 1) * block_size]
        != after[number * block_size : (number + 1) * block_size]
    ]


def with_log(
    image: Path, states: Sequence[bytes], block_size: int, *, version: int = 3, revoked: Sequence[int] = ()
) -> bytes:
    """The first state, with a log whose transactions lead from each state to the next, and a last one that revokes."""
    image.write_bytes(states[0])
    opening = f"jo -c -v {version}" if version else "jo"

    def write(arguments: str) -> None:
        oracle.run("debugfs", "-w", "-f", "-", image, text_in=f"{opening}\njw {arguments}\njc\n")

    for before, after in pairwise(states):
        numbers = differing(before, after, block_size)
        contents = image.with_name("blocks")
        contents.write_bytes(b"".join(after[n * block_size : (n + 1) * block_size] for n in numbers))
        write(f"-b {','.join(map(str, numbers))} {contents}")
    if revoked:
        write(f"-r {','.join(map(str, revoked))}")
    return image.read_bytes()


def rotated(data: bytes, shift: int) -> bytes:
    """The same log, so many blocks further on in its ring."""
    journal = journal_of(data)
    size, ring = journal.volume.superblock.block_size, journal.length - journal.first
    result = bytearray(data)

    def place(number: int) -> slice:
        at = journal.blocks.physical(number) * size
        return slice(at, at + size)

    for index in range(ring):
        source = place(journal.first + index)
        result[place(journal.first + (index + shift) % ring)] = data[source]
    raw = bytearray(journal.raw)
    start = journal.first + (journal.start - journal.first + shift) % ring
    raw[layout.START_OFFSET : layout.START_OFFSET + 4] = start.to_bytes(4, "big")
    return with_superblock(bytes(result), bytes(raw))


def with_superblock(data: bytes, raw: bytes) -> bytes:
    """The file system with another superblock of the journal, whose checksum is made right."""
    journal = journal_of(data)
    if journal.checksum_seed is not None:
        checksum = superblock_checksum(journal.volume, raw).to_bytes(4, "big")
        raw = raw[: layout.CHECKSUM_OFFSET] + checksum + raw[layout.CHECKSUM_OFFSET + 4 :]
    at = journal.blocks.physical(0) * journal.volume.superblock.block_size
    return data[:at] + raw + data[at + len(raw) :]
