"""Finding installed systems: which volumes are root file systems, and which of them is meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, GuestError, NoRootError, TreeError, UnsupportedError
from imgkit.guest.fstab import find_volumes, parse_fstab
from imgkit.guest.joined import JoinedTree
from imgkit.guest.ostree import find_deployment
from imgkit.guest.subtree import SubtreeFileSystem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgkit.filesystem.base import FileSystem
    from imgkit.guest.volume import Engine, GuestVolume

# What may hold an installed system's root, as blkid says it. A FAT volume never does.
_NO_ROOT = frozenset({"", "vfat", "swap", "exfat", "ntfs", "iso9660", "squashfs", "udf"})
_ROOT_MARKS = ("/etc/fstab", "/etc/os-release", "/usr/lib/os-release")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of a volume, "/" for all of it: what is a root, or is mounted."""

    volume: GuestVolume
    folder: str = "/"

    def open(self, engine: Engine) -> FileSystem:
        """Its files as a file system of their own. Raises what the engine raises."""
        whole = engine.open(self.volume)
        return whole if self.folder == "/" else SubtreeFileSystem(whole, self.folder)


@dataclass(frozen=True, slots=True)
class RootSearch:
    """The roots of a disk, one for each system; what was found on the volumes that might have been, by volume name.

    `snapshots` are other states of these systems: they can be asked for by name.
    """

    roots: tuple[Place, ...]
    snapshots: tuple[Place, ...]
    unreadable: dict[str, UnsupportedError | FormatError]


def find_roots(engine: Engine) -> RootSearch:
    """Look at every volume that may hold a root file system. What cannot be read is kept, not raised."""
    found: list[Place] = []
    unreadable: dict[str, UnsupportedError | FormatError] = {}
    for volume in engine.volumes():
        if volume.group or (volume.kind in _NO_ROOT and not volume.problem):
            continue
        try:
            if (root := _root_in(volume, engine.open(volume))) is not None:
                found.append(root)
        except (UnsupportedError, FormatError) as error:
            unreadable[volume.name] = error
    roots = [root for root in found if _is_the_system(root, found, engine)]
    return RootSearch(tuple(roots), tuple(root for root in found if root not in roots), unreadable)


def choose_root(search: RootSearch, wanted: str | None) -> Place:
    """The root to use: the one that is `wanted` (name, partition number, UUID=, LABEL=), else the only one.

    Raises NoRootError where there is none, GuestError where the choice is open, and what kept volumes from being read
    where that may be the reason.
    """
    if wanted is not None:
        names = {wanted, f"/dev/{wanted}", f"/dev/sda{wanted}"}
        known = (*search.roots, *search.snapshots)
        chosen = [root for root in known if root.volume.name in names]
        if not chosen:
            volumes = find_volumes(wanted, [root.volume for root in search.roots])
            chosen = [root for root in search.roots if root.volume in volumes]
        if len(chosen) == 1:
            return chosen[0]
        raise NoRootError(f"no root file system is called {wanted!r}", hint=f"There are: {_listed(known)}.")
    if len(search.roots) == 1:
        return search.roots[0]
    if search.roots:
        raise GuestError(
            f"{len(search.roots)} installed systems: {_listed(search.roots)}", hint="Choose one with --root NAME."
        )
    for error in search.unreadable.values():
        raise error
    raise NoRootError(
        "no root file system was found",
        hint="`imgkit inspect` shows what the image holds. A data disk, or an empty one, has no console to enable.",
    )


def read_text(file_system: FileSystem, path: str) -> str:
    """A text file of a root, links in front of it followed; "" where there is none."""
    try:
        return JoinedTree({"/": lambda: file_system}).read(path).decode(errors="surrogateescape")
    except TreeError:
        return ""


def listed(volumes: Sequence[GuestVolume]) -> str:
    """Volumes as an error names them."""
    names = (f"{v.name} ({', '.join(filter(None, (v.kind, v.label)))})" for v in volumes)
    return ", ".join(names) or "none"


def _listed(roots: Sequence[Place]) -> str:
    return listed([root.volume for root in roots])


def _root_in(volume: GuestVolume, file_system: FileSystem) -> Place | None:
    if any(file_system.exists(mark) for mark in _ROOT_MARKS):
        return Place(volume)
    deployment = find_deployment(file_system)
    return Place(volume, deployment) if deployment is not None else None


def _is_the_system(root: Place, found: Sequence[Place], engine: Engine) -> bool:
    """Whether a root is what boots: of subvolumes with a root, the default one, or the one that its fstab names."""
    same = [other for other in found if other.volume.device == root.volume.device]
    if len(same) == 1 or any(other.volume.is_default for other in same):
        return root.volume.is_default or len(same) == 1
    named = [other for other in same if _names_itself(other, engine)]
    return root in named if named else True


def _names_itself(root: Place, engine: Engine) -> bool:
    """Whether a root's fstab has its own subvolume as "/": that of a snapshot has the system that it was made of."""
    mounts = parse_fstab(read_text(root.open(engine), "/etc/fstab"))
    return any(mount.point == "/" and mount.is_of(root.volume) for mount in mounts)
