"""What every file system offers: the verbs of a tree, extended by what makes it one file system on one device."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol, Self

from imgkit.tree import Tree


class Check(StrEnum):
    """How thoroughly a file system is checked before it is edited."""

    AUTO = "auto"
    """In full before the first edit where that is cheap, or where no checksums guard the structures."""

    FULL = "full"
    """In full when it is opened."""


class FileSystem(Tree, Protocol):
    """One file system. No symbolic link is followed: all components of a path but the last are directories.

    Edits are staged on the block device; `flush` completes them, and `close` without `flush` abandons them in an
    undefined state, which is what the caller wants who throws the overlay away.
    """

    @property
    def kind(self) -> str:
        """Its type as blkid says it: ext2, ext3, ext4 or vfat."""
        ...

    @property
    def uuid(self) -> str:
        """UUID or serial number as blkid says it; "" where it has none."""
        ...

    @property
    def label(self) -> str:
        """Volume label; "" where it has none."""
        ...

    def flush(self) -> None:
        """Bring everything that is staged onto the block device."""
        ...

    def close(self) -> None:
        """Let go of all resources; nothing is flushed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...
