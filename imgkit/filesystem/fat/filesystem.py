"""A FAT volume as a tree: names to entries, and the verbs on them.

Owner and mode are those that Linux shows by default: root, 0755, without write bits where the read-only attribute is
set. Times are taken as UTC. Names are compared without regard to case, as everywhere on FAT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from imgkit.errors import FormatError, PathNotFoundError, TreeError, UnsupportedError
from imgkit.filesystem.base import Check
from imgkit.filesystem.fat import directory, editor
from imgkit.filesystem.fat.check import check_fully
from imgkit.filesystem.fat.layout import ENTRY_SIZE, Attribute
from imgkit.filesystem.fat.volume import damage, open_volume, read_boot_sector
from imgkit.filesystem.paths import components
from imgkit.tree import FileType, Stat, refuse_large

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.filesystem.fat.directory import FatEntry
    from imgkit.filesystem.fat.volume import FatVolume
    from imgkit.storage.device import BlockDevice, BlockReader
    from imgkit.tree import Attributes

_CODE_PAGE = "cp437"
_NAME_MAX = 255
_FORBIDDEN = set('"*:<>?|\\\x7f') | {chr(code) for code in range(32)}
_SIZE_MAX = (1 << 32) - 1
_MOST_REMEMBERED = 1 << 17


def open_fat(device: BlockDevice, *, writable: bool, now: int, check: Check = Check.AUTO) -> FatFileSystem:
    """Open a clean volume. It has no checksums, so that a full check always precedes the first edit.

    FormatError where a structure contradicts itself, UnsupportedError for a dirty volume or one not served here.
    """
    volume = open_volume(device)
    if writable:
        editor.require_editable(volume.boot)
    if check is Check.FULL:
        check_fully(volume)
    return FatFileSystem(volume, writable=writable, now=now, checked=check is Check.FULL)


class FatFileSystem:
    """The verbs of `FileSystem`. All raise TreeError for what a path does not allow."""

    kind = "vfat"

    __slots__ = ("_checked", "_listings", "_now", "_volume", "_writable")

    def __init__(self, volume: FatVolume, *, writable: bool, now: int, checked: bool) -> None:
        self._volume, self._writable, self._now, self._checked = volume, writable, now, checked
        self._listings: dict[int, dict[str, FatEntry]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def uuid(self) -> str:
        """Serial number, such as 1E45-E1C3."""
        return serial_text(self._volume.boot.serial)

    @property
    def label(self) -> str:
        """Label of the root directory, or else of the boot sector."""
        return directory.volume_label(self._volume.device, self._volume.boot)

    def flush(self) -> None:
        """Nothing is left to do: every edit is complete on the block device."""

    def close(self) -> None:
        """Nothing is held."""

    def read(self, path: str, /) -> bytes:
        """Contents of a file of at most READ_LIMIT bytes; `read_chunks` has no limit."""
        entry = self._file(path)
        refuse_large(entry.size, path)
        return b"".join(self._contents(entry))

    def read_chunks(self, path: str, /) -> Iterator[bytes]:
        """Contents of a file in pieces of at most 1 MiB."""
        return self._contents(self._file(path))

    def exists(self, path: str, /) -> bool:
        """Whether the path leads to anything."""
        names = components(path)
        return not names or self._find(names) is not None

    def listdir(self, path: str, /) -> list[str]:
        """Sorted names in a directory."""
        return sorted(entry.name for entry in self._entries(self._directory(path)))

    def stat(self, path: str, /, *, follow: bool = True) -> Stat:  # noqa: ARG002  there are no links
        """Metadata of what is at the path. The root directory has no time."""
        if not components(path):
            return Stat(FileType.DIRECTORY, 0o755, 0, 0, 0, 0)
        entry = self._entry(path)
        kind = FileType.DIRECTORY if entry.is_directory else FileType.FILE
        mode = 0o555 if entry.attributes & Attribute.READ_ONLY and not entry.is_directory else 0o755
        return Stat(kind, mode, 0, 0, entry.size, directory.decode_time(entry.time))

    def readlink(self, path: str, /) -> str:
        """Always TreeError: FAT has no symbolic links."""
        self._entry(path)
        raise TreeError("not a symbolic link", path=path)

    def symlink(self, target: str, path: str, /) -> None:
        """Always TreeError: FAT has no symbolic links."""
        raise TreeError(f"FAT has no symbolic links, so none to {target}", path=path)

    def write(self, path: str, data: bytes, /) -> None:
        """Replace the contents of a file, whose attributes stay as they are, or create it."""
        self._begin_edits()
        if len(data) > _SIZE_MAX:
            raise TreeError("a file on FAT is smaller than 4 GiB", path=path)
        names = components(path)
        entry = self._find(names) if names else None
        if entry is None:
            target = self._new_path(path)
            editor.write_file(self._volume.device, self._volume.boot, target, data, create=True)
            self._stamp(path, created=True)
            return
        if entry.is_directory:
            raise TreeError("not a regular file", path=path)
        device, read_only = self._volume.device, entry.attributes & Attribute.READ_ONLY
        if read_only:
            editor.set_attributes(device, entry.offset, entry.attributes & ~Attribute.READ_ONLY)
        editor.write_file(device, self._volume.boot, self._aliases(names), data, create=False)
        editor.set_attributes(device, entry.offset, entry.attributes | Attribute.ARCHIVE)
        self._stamp(path, created=False)

    def mkdir(self, path: str, /) -> None:
        """Make one directory."""
        self._begin_edits()
        editor.make_directory(self._volume.device, self._volume.boot, self._new_path(path))
        entry = self._stamp(path, created=True)
        first = self._volume.boot.cluster_offset(entry.cluster)
        for offset in (first, first + ENTRY_SIZE):  # "." and ".."
            editor.stamp(self._volume.device, offset, self._now, created=True)

    def set_attributes(self, path: str, attributes: Attributes, /) -> None:
        """Nothing: FAT has no owners, and no modes but one bit."""

    def remove(self, path: str, /) -> None:
        """Remove a file or an empty directory."""
        self._begin_edits()
        names = components(path)
        if not names:
            raise TreeError("the root directory cannot be removed", path=path)
        entry = self._entry(path)
        if entry.is_directory and next(self._entries(entry), None) is not None:
            raise TreeError("the directory is not empty", path=path)
        if entry.attributes & Attribute.READ_ONLY:
            editor.set_attributes(self._volume.device, entry.offset, entry.attributes & ~Attribute.READ_ONLY)
        editor.remove(self._volume.device, self._volume.boot, self._aliases(names))
        self._reopen()

    def _begin_edits(self) -> None:
        """Before the first edit: make sure that nothing contradicts what edits build on."""
        if not self._writable:
            raise UnsupportedError("the file system was opened for reading only")
        if not self._checked:
            check_fully(self._volume)
            self._checked = True

    def _stamp(self, path: str, *, created: bool) -> FatEntry:
        """Read the volume again after an edit, and set the times of the entry at a path. Returns the entry."""
        self._reopen()
        entry = self._entry(path)
        editor.stamp(self._volume.device, entry.offset, self._now, created=created)
        self._listings.clear()
        return entry

    def _reopen(self) -> None:
        self._volume = open_volume(self._volume.device)
        self._listings.clear()

    def _contents(self, entry: FatEntry) -> Iterator[bytes]:
        left = entry.size
        for piece in self._volume.read_clusters(self._volume.chain(entry.cluster)):
            yield piece[:left]
            left = max(left - len(piece), 0)
        if left:
            raise damage(f"{entry.name!r} is longer than its cluster chain", entry.offset, "DIR_FileSize")

    def _entries(self, parent: FatEntry | None) -> Iterator[FatEntry]:
        """Entries of a directory, None for the root, without the volume label."""
        found = (
            directory.root_entries(self._volume) if parent is None else directory.entries(self._volume, parent.cluster)
        )
        return (entry for entry in found if not entry.attributes & Attribute.VOLUME_ID)

    def _find(self, names: list[str]) -> FatEntry | None:
        entry: FatEntry | None = None
        for name in names:
            if entry is not None and not entry.is_directory:
                return None
            entry = self._names(entry).get(name.casefold())
            if entry is None:
                return None
        return entry

    def _names(self, parent: FatEntry | None) -> dict[str, FatEntry]:
        """The entries of a directory by all of their names, case folded; remembered until the next edit."""
        key = 0 if parent is None else parent.cluster
        if key not in self._listings:
            if sum(map(len, self._listings.values())) > _MOST_REMEMBERED:
                self._listings.clear()
            listing: dict[str, FatEntry] = {}
            for entry in self._entries(parent):
                for name in entry.names:
                    listing.setdefault(name, entry)
            self._listings[key] = listing
        return self._listings[key]

    def _entry(self, path: str) -> FatEntry:
        entry = self._find(components(path))
        if entry is None:
            raise PathNotFoundError("no such file or directory", path=path)
        return entry

    def _file(self, path: str) -> FatEntry:
        if not components(path) or (entry := self._entry(path)).is_directory:
            raise TreeError("not a regular file", path=path)
        return entry

    def _directory(self, path: str) -> FatEntry | None:
        if not components(path):
            return None
        entry = self._entry(path)
        if not entry.is_directory:
            raise TreeError("not a directory", path=path)
        return entry

    def _aliases(self, names: list[str]) -> bytes:
        """A path of things that exist in short names, by which FatFs finds also what its code page cannot spell."""
        parts, entry = [b""], None
        for name in names:
            entry = self._names(entry)[name.casefold()]
            parts.append(entry.alias)
        return b"/".join(parts)

    def _new_path(self, path: str) -> bytes:
        """A path to be made, whose last name does not exist yet."""
        if self.exists(path):
            raise TreeError("it exists already", path=path)
        *parents, name = components(path)
        self._directory("/" + "/".join(parents))
        if len(name) > _NAME_MAX or name[-1] in ". " or name[0] == " " or _FORBIDDEN & set(name):
            raise TreeError("FAT does not allow this name", path=path)
        try:
            return self._aliases(parents) + b"/" + name.encode(_CODE_PAGE)
        except UnicodeEncodeError:
            raise UnsupportedError(
                f"{path}: a new name on FAT can only have characters of code page 437 here",
                hint="Use the Linux driver: --engine uml or --engine guestfs.",
            ) from None


def identify(device: BlockReader) -> tuple[str, str] | None:
    """Label and serial number of what has the boot sector of a FAT volume, dirty or not; None without it."""
    try:
        boot = read_boot_sector(device)
        return directory.volume_label(device, boot), serial_text(boot.serial)
    except (FormatError, UnsupportedError):
        return None


def serial_text(serial: int | None) -> str:
    """A volume's serial number as blkid says it; "" for none."""
    return "" if serial is None else f"{serial >> 16:04X}-{serial & 0xFFFF:04X}"
