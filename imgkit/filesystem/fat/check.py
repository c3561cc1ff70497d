"""Whether a FAT volume contradicts itself: every directory, every chain, every cluster with one owner. No repair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.filesystem.fat import layout
from imgkit.filesystem.fat.directory import entries, root_entries
from imgkit.filesystem.fat.layout import Attribute
from imgkit.filesystem.fat.volume import damage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgkit.filesystem.fat.directory import FatEntry
    from imgkit.filesystem.fat.volume import FatVolume


def check_fully(volume: FatVolume) -> None:
    """FormatError for the first contradiction.

    Clusters that are marked as used but belong to no file are let pass: nothing will ever be written there.
    """
    owned = bytearray(volume.boot.last_cluster + 1)
    if volume.boot.root_cluster:
        _own(owned, volume.chain(volume.boot.root_cluster), "the root directory", 0)
    waiting: list[Iterable[FatEntry]] = [root_entries(volume)]
    while waiting:
        seen: set[str] = set()
        for entry in waiting.pop():
            if entry.attributes & Attribute.VOLUME_ID:
                continue
            _check_name(entry, seen)
            _own(owned, _checked_chain(volume, entry), entry.name, entry.offset)
            if entry.is_directory:
                waiting.append(entries(volume, entry.cluster))
    _check_fsinfo(volume)


def _check_name(entry: FatEntry, seen: set[str]) -> None:
    key = entry.name.casefold()
    if key in seen or not entry.name or "/" in entry.name:
        raise damage(f"the name {entry.name!r} occurs twice or impossible", entry.offset, "DIR_Name")
    seen.add(key)


def _checked_chain(volume: FatVolume, entry: FatEntry) -> list[int]:
    chain = volume.chain(entry.cluster)
    if entry.is_directory:
        if entry.size or not chain:
            raise damage(f"the directory {entry.name!r} has a size, or no cluster", entry.offset, "DIR_FileSize")
    elif -(-entry.size // volume.boot.cluster_size) != len(chain):
        message = f"{entry.name!r} has {entry.size:,} bytes in {len(chain):,} clusters"
        raise damage(message, entry.offset, "DIR_FileSize")
    return chain


def _own(owned: bytearray, chain: list[int], name: str, offset: int) -> None:
    for cluster in chain:
        if owned[cluster]:
            raise damage(f"cluster {cluster} of {name!r} belongs to another file as well", offset, "DIR_FstClus")
        owned[cluster] = 1


def _check_fsinfo(volume: FatVolume) -> None:
    """The count of free clusters in FSInfo, which FatFs trusts, has to be right or unknown."""
    offset = volume.boot.fsinfo_offset
    if not offset:
        return
    info = layout.FSINFO.parse(volume.device.read_at(offset, layout.FSINFO.sizeof()))
    if (info.FSI_LeadSig, info.FSI_StrucSig, info.FSI_TrailSig) != layout.FSINFO_SIGNATURES:
        raise damage("the FSInfo sector has no signature", offset, "FSI_LeadSig")
    if info.FSI_Free_Count not in (layout.FSINFO_UNKNOWN, volume.free_clusters()):
        raise damage(f"FSInfo counts {info.FSI_Free_Count:,} free clusters wrongly", offset, "FSI_Free_Count")
