"""The files of an ISO as a tree, FAT boot images included, for recipes and commands.

A path may lead through a FAT image into it: `/boot/grub/efi.img` is a file like any other, and below it, as if it were
a directory, is what it holds: `/boot/grub/efi.img/EFI/debian/grub.cfg`. FAT file systems that are no file of the
volume, such as an appended partition, are reached as `/[partition 2]/EFI/...`; listings of "/" do not show them, and a
file of that name comes first.

Files can be given new contents, added and removed, in the volume and in FAT images.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, PathNotFoundError, TreeError, UnsupportedError, naming
from imgkit.iso import media
from imgkit.iso.bootimages import find_fat_images, holds_fat, open_image
from imgkit.iso.writer import check_editable, write_file
from imgkit.tree import FileType, Stat, refuse_large

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.filesystem.fat.filesystem import FatFileSystem
    from imgkit.iso.bootimages import FatImage
    from imgkit.iso.directory import Node
    from imgkit.iso.volume import IsoVolume
    from imgkit.tree import Attributes
    from imgkit.units import ByteRange

_MAX_LINKS = 40  # as Linux has it (path_resolution(7))
_BY_MTOOLS = "Copy the FAT image out with `imgkit cat`, edit it with mtools, and put it back with `imgkit write`."


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a path leads: to a file of the volume, or to `inner` in the FAT image that it names."""

    path: str
    node: Node | None
    image: ByteRange | None = None
    inner: str = ""


class IsoTree:
    """The tree of a volume (see `imgkit.tree.Tree`).

    `now` stamps what is new and what is written in FAT images, in seconds since the epoch; records of the volume that
    were there keep their times.
    When all is written, `finish` brings the checksums that the image carries about itself up to date.
    """

    def __init__(self, volume: IsoVolume, *, now: int) -> None:
        self.volume = volume
        self._now = now
        self._images: dict[tuple[int, bool], FatFileSystem] = {}
        self._sums = media.Sums()

    @property
    def notices(self) -> tuple[str, ...]:
        """Facts that whoever edits the image should hear."""
        hfs = "A Mac that starts from its HFS+ directory does not see all changes."
        stale = (
            f"{place} is signed and was left as it is: it has the old checksums of the changed files. "
            "If the installer refuses that, start it with insecure=1."
            for place in self._sums.stale
        )
        return (*((hfs,) if self.volume.hfs_plus_differs else ()), *stale)

    def read(self, path: str, /) -> bytes:
        """Contents of a regular file of at most READ_LIMIT bytes; `read_chunks` has no limit."""
        place = self._existing(path)
        if place.node is not None:
            refuse_large(place.node.stat.size, path)
        else:
            with naming(path):
                return self._inside(place).read(place.inner)
        return b"".join(self._contents(place, path))

    def read_chunks(self, path: str, /) -> Iterator[bytes]:
        """Contents of a regular file in pieces of at most 1 MiB."""
        return self._contents(self._existing(path), path)

    def exists(self, path: str, /) -> bool:
        """Whether the path leads to anything."""
        try:
            place = self._resolve(path)
        except PathNotFoundError:
            return False
        return place.node is not None or (place.image is not None and self._inside(place).exists(place.inner))

    def listdir(self, path: str, /) -> list[str]:
        """Sorted names in a directory, or in the root directory of a FAT image."""
        place = self._existing(path)
        if place.node is not None and place.node.stat.type is FileType.DIRECTORY:
            return sorted(self.volume.children(place.node))
        place = self._entered(place, path)
        with naming(path):
            return self._inside(place).listdir(place.inner)

    def stat(self, path: str, /, *, follow: bool = True) -> Stat:
        """Metadata of what is at the path."""
        place = self._existing(path, follow=follow)
        if place.node is not None:
            return place.node.stat
        with naming(path):
            return self._inside(place).stat(place.inner)

    def readlink(self, path: str, /) -> str:
        """Target of a symbolic link, as stored."""
        place = self._existing(path, follow=False)
        if place.node is None or place.node.stat.type is not FileType.LINK:
            raise TreeError("not a symbolic link", path=path)
        return place.node.target

    def write(self, path: str, data: bytes, /) -> None:
        """Replace the contents of a regular file, or make one; it is executable if it begins as a program does."""
        place = self._resolve(path)
        if place.image is not None:
            with naming(path), self._edited(place) as file_system:
                file_system.write(place.inner, data)
            return
        if place.node is None:
            from imgkit.iso.directoryedit import add_file  # noqa: PLC0415  here and below: enabling a console needs none

            self._sums.added.add(place.path)
            add_file(self.volume, place.path, data, now=self._now)
            self._images.clear()
            return
        if place.node.stat.type is not FileType.FILE:
            raise TreeError("not a regular file", path=path)
        self._note(place.path)
        write_file(self.volume, place.node, path, data)
        self._images.clear()  # one may have been this file, or have moved

    def symlink(self, target: str, path: str, /) -> None:
        """Make a symbolic link, which needs Rock Ridge."""
        place = self._resolve(path, follow=False)
        if place.image is not None:
            raise UnsupportedError(f"{self.volume.name}: {path} lies in a FAT file system, which has no links")
        from imgkit.iso.directoryedit import add_link  # noqa: PLC0415

        _check_new(place, path)
        add_link(self.volume, place.path, target, now=self._now)

    def set_attributes(self, path: str, attributes: Attributes, /) -> None:
        """Nothing: all of an ISO that is added belongs to root, and may be read by all."""

    def mkdir(self, path: str, /) -> None:
        """Make one directory."""
        place = self._resolve(path)
        if place.image is None:
            from imgkit.iso.directoryedit import add_directory  # noqa: PLC0415

            _check_new(place, path)
            add_directory(self.volume, place.path, now=self._now)
            return
        with naming(path), self._edited(place) as file_system:
            file_system.mkdir(place.inner)

    def remove(self, path: str, /) -> None:
        """Remove a file, a link, or an empty directory."""
        place = self._existing(path, follow=False)
        if place.node is not None:
            self._remove(place, place.node, path)
            return
        with naming(path), self._edited(place) as file_system:
            file_system.remove(place.inner)

    def _remove(self, place: _Place, node: Node, path: str) -> None:
        if node.stat.type is FileType.DIRECTORY and (place.path == "/" or self.volume.children(node)):
            raise TreeError("is the root directory" if place.path == "/" else "directory is not empty", path=path)
        from imgkit.iso.directoryedit import remove  # noqa: PLC0415

        self._sums.removed.add(place.path)
        remove(self.volume, place.path, node)
        self._images.clear()

    def boot_roots(self) -> tuple[str, ...]:
        """Paths of the FAT file systems that firmware may find and take for a root of its own."""
        return tuple(image.path for image in self.fat_images())

    def fat_images(self) -> tuple[FatImage, ...]:
        """The FAT file systems that firmware may find."""
        return find_fat_images(self.volume)

    def finish(self) -> None:
        """Complete the edits: the lists of checksums in the volume first, and then the sum over the whole image."""
        media.refresh(self, self._sums)

    def identity(self, path: str) -> int | str | None:
        """What all names of a file of the volume share, links followed; None where there is none.

        It is the first byte of the data, or the path of an empty file, which has none.
        """
        try:
            place = self._resolve(path)
        except PathNotFoundError:
            return None
        if place.node is None or place.node.stat.type is not FileType.FILE:
            return None
        return place.node.extents[0].start if place.node.stat.size else place.path

    def _resolve(self, path: str, *, follow: bool = True) -> _Place:
        """Where a path leads, links followed inside the tree; a place of no node where only the last name is missing.

        Raises PathNotFoundError for anything else that is not there, TreeError for links without end.
        """
        if not path.startswith("/"):
            raise TreeError("path is not absolute", path=path, hint=f"Write it as /{path}.")
        pending = [name for name in path.split("/") if name not in ("", ".")]
        if pending and pending[0].startswith("[") and self.volume.lookup(self.volume.root, pending[0]) is None:
            return self._resolve_unnamed(path, pending)
        done: list[Node] = [self.volume.root]
        links = 0
        while pending:
            name = pending.pop(0)
            if name == "..":
                done = done[:-1] or done
                continue
            here = _path(done, name)
            node = self.volume.lookup(done[-1], name)
            if node is None:
                if not pending:
                    return _Place(here, None)
                raise self._missing(path, _path(done))
            if node.stat.type is FileType.LINK and (pending or follow):
                links += 1
                if links > _MAX_LINKS:
                    raise TreeError("too many levels of symbolic links", path=path)
                done = done[:1] if node.target.startswith("/") else done
                pending = [name for name in node.target.split("/") if name not in ("", ".")] + pending
            elif node.stat.type is FileType.DIRECTORY:
                _check_loop(done, node)
                done.append(node)
            else:
                return self._resolve_behind(path, _Place(here, node), node, pending)
        return _Place(_path(done) or "/", done[-1])

    def _resolve_behind(self, path: str, place: _Place, node: Node, names: list[str]) -> _Place:
        """The place of names behind a file, which has to be a FAT image; without names, the file's own."""
        if not names and not path.endswith("/"):
            return place
        if not self._holds_fat(node):
            raise PathNotFoundError(f"{place.path} is not a directory", path=path)
        return _Place(place.path, None, node.extents[0], "/" + "/".join(names))

    def _resolve_unnamed(self, path: str, names: list[str]) -> _Place:
        """A path that begins with the name of a FAT file system that is no file."""
        for image in self.fat_images():
            if image.path == f"/{names[0]}":
                return _Place(image.path, None, image.where, "/" + "/".join(names[1:]))
        raise self._missing(path, "")

    def _missing(self, path: str, directory: str) -> PathNotFoundError:
        hint = f"`imgkit ls IMAGE {directory or '/'}` lists what exists."
        return PathNotFoundError("no such file or directory", path=path, hint=hint)

    def _existing(self, path: str, *, follow: bool = True) -> _Place:
        place = self._resolve(path, follow=follow)
        if place.node is None and place.image is None:
            raise self._missing(path, place.path.rpartition("/")[0])
        return place

    def _contents(self, place: _Place, path: str) -> Iterator[bytes]:
        if place.node is None:
            with naming(path):
                yield from self._inside(place).read_chunks(place.inner)
        elif place.node.stat.type is not FileType.FILE:
            raise TreeError("not a regular file", path=path)
        else:
            yield from self.volume.chunks(place.node, path)

    def _holds_fat(self, node: Node) -> bool:
        return node.stat.size > 0 and len(node.extents) == 1 and holds_fat(self.volume, node.extents[0])

    def _entered(self, place: _Place, path: str) -> _Place:
        """The root directory of the FAT image that a file is."""
        if place.node is None:
            return place
        if place.node.stat.type is not FileType.FILE or not self._holds_fat(place.node):
            raise TreeError("not a directory", path=path)
        return _Place(place.path, None, place.node.extents[0], "/")

    def _inside(self, place: _Place, *, writable: bool = False) -> FatFileSystem:
        assert place.image is not None
        key = (place.image.start, writable)
        if key not in self._images:
            self._images[key] = open_image(self.volume, place.image, writable=writable, now=self._now)
        return self._images[key]

    @contextmanager
    def _edited(self, place: _Place) -> Iterator[FatFileSystem]:
        """The file system of a place for an edit; what was opened for reading is opened anew after it."""
        assert place.image is not None
        check_editable(self.volume)
        self._note(place.path)
        try:
            yield self._inside(place, writable=True)
        except (FormatError, UnsupportedError) as error:
            error.hint = _BY_MTOOLS  # an ISO has no other engine
            raise
        self._images.pop((place.image.start, False), None)

    def _note(self, path: str) -> None:
        """Remember the checksums of a file before its first edit."""
        if self.identity(path) is not None:
            self._sums.note(self, path)


def _check_new(place: _Place, path: str) -> None:
    if place.node is not None:
        raise TreeError("exists", path=path)


def _check_loop(done: list[Node], node: Node) -> None:
    if any(each.extents[0].start == node.extents[0].start for each in done):
        raise FormatError(
            "a directory contains itself",
            structure="directory record",
            offset=node.records[0].position,
            field="extent",
            hint="The image is damaged; download it again.",
        )


def _path(nodes: list[Node], *names: str) -> str:
    return "".join(f"/{name}" for name in (*(node.name for node in nodes[1:]), *names))
