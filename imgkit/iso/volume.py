"""An ISO 9660 volume on a block device: its descriptors, its trees, and files by name.

Directories are read when a path leads into them, and only as far as the name that is looked for. Nothing is written
here, and links are not followed: see `writer` and `tree`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, UnsupportedError
from imgkit.iso import hybrid
from imgkit.iso.descriptors import DescriptorKind, find_later_session, read_descriptors, read_further_sets
from imgkit.iso.directory import Namespace, Naming, Node, directory_at, nodes, own_record, records
from imgkit.iso.eltorito import BootCatalog, read_catalog
from imgkit.iso.extentmap import ExtentMap, map_extents, update_structures
from imgkit.iso.hfsplus import is_hfs_plus
from imgkit.iso.rockridge import find_skip
from imgkit.units import MIB, ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.iso.descriptors import Descriptor, DescriptorSet
    from imgkit.iso.directory import Record
    from imgkit.storage.overlay import Overlay

_CHUNK = MIB
_MOST_REMEMBERED = 100_000
_FARTHEST_SESSION = 64 * MIB


class IsoVolume:
    """An open volume. `name` stands in messages.

    `hfs_plus_differs` says that an edit could not be made in HFS+.
    What was read is remembered; after descriptors, catalogue or tables have changed, `refresh` has them read anew.
    """

    def __init__(self, device: Overlay, name: str, first: DescriptorSet) -> None:
        self.device, self.name = device, name
        self._first = first
        self._listings: dict[int, dict[str, Node]] = {}
        self._keyed: dict[int, dict[str, Node]] = {}
        self._found: dict[tuple[int, str], Node | None] = {}
        self.hfs_plus_differs = False

    @classmethod
    def open(cls, device: Overlay, name: str) -> IsoVolume:
        """Open the volume of an image. UnclassifiedImageError where there is none, FormatError where it is damaged."""
        return cls(device, name, read_descriptors(device, name=name))

    def refresh(self) -> None:
        """Read descriptors, catalogue and tables anew; the extents is kept up to date by whoever changes records."""
        self._first = read_descriptors(self.device, name=self.name)
        for name in ("sets", "tables", "catalog", "namespace", "root"):
            vars(self).pop(name, None)
        self.forget_files()
        if "extents" in vars(self):
            update_structures(self, self.extents)

    def forget_files(self) -> None:
        """Read files' records anew: some have changed, and nothing else has."""
        self._listings.clear()
        self._keyed.clear()
        self._found.clear()
        if "namespace" in vars(self):
            self.namespace.continued.forget()

    @cached_property
    def extents(self) -> ExtentMap:
        """Who uses which bytes, of the whole volume."""
        return map_extents(self)

    @cached_property
    def tables(self) -> hybrid.Tables:
        """The partition tables in front of the volume."""
        return hybrid.read_tables(self.device)

    @cached_property
    def sets(self) -> tuple[DescriptorSet, ...]:
        """All sets of descriptors, the first one first."""
        starts = {slot.where.start for slot in self.tables.slots if slot.where.start % 2048 == 0}
        return self._first, *read_further_sets(self.device, starts)

    @property
    def primary(self) -> Descriptor:
        """The primary volume descriptor."""
        return self._first.descriptors[0]

    @property
    def joliet(self) -> Descriptor | None:
        """The descriptor of the Joliet tree."""
        return next((each for each in self._first.descriptors if each.kind is DescriptorKind.JOLIET), None)

    @cached_property
    def has_later_session(self) -> bool:
        """Whether another session follows the volume, whose files a CD drive shows and this volume does not."""
        appended = [slot.where for slot in self.tables.slots if slot.where.start >= self.primary.space.stop]
        stop = min([self.device.size, self.primary.space.stop + _FARTHEST_SESSION, *(each.start for each in appended)])
        tail = ByteRange(min(self.primary.space.stop, stop), stop)
        return find_later_session(self.device, tail) is not None

    @property
    def udf(self) -> bool:
        """Whether the image is a UDF volume as well."""
        return self._first.udf

    @property
    def hfs_plus(self) -> tuple[int, ...]:
        """Where volumes for Macs begin (HFS+), whose directories name the same files, as grub-mkrescue makes them."""
        starts = sorted({slot.where.start for slot in self.tables.slots})
        return tuple(start for start in starts if is_hfs_plus(self.device, start))

    @cached_property
    def catalog(self) -> BootCatalog | None:
        """The El Torito boot catalogue."""
        return None if self._first.boot_catalog is None else read_catalog(self.device, self._first.boot_catalog)

    @cached_property
    def namespace(self) -> Namespace:
        """The tree whose names are used: Rock Ridge, else Joliet, else plain ISO 9660, as Linux chooses."""
        own = own_record(self.device, self.primary, self.primary.root)
        skip = find_skip(self.device, self.primary, own.system_use)
        if skip is not None:
            return Namespace(self.primary, Naming.ROCK_RIDGE, skip)
        if self.joliet is not None:
            return Namespace(self.joliet, Naming.JOLIET)
        return Namespace(self.primary, Naming.PLAIN)

    @cached_property
    def root(self) -> Node:
        """The root directory."""
        return directory_at(self.device, self.namespace, self.namespace.descriptor.root.start, "")

    def children(self, directory: Node) -> dict[str, Node]:
        """The files of a directory by name; the first of a name counts."""
        key = directory.extents[0].start
        listing = self._listings.get(key)
        if listing is None:
            listing = {}
            for node in nodes(self.device, self.namespace, self._records(directory)):
                listing.setdefault(node.name, node)
            if sum(map(len, self._listings.values())) > _MOST_REMEMBERED:
                self._listings.clear()
                self._keyed.clear()
            keyed: dict[str, Node] = {}
            for node in listing.values():
                keyed.setdefault(self.namespace.key(node.name), node)
            self._listings[key], self._keyed[key] = listing, keyed
        return listing

    def lookup(self, directory: Node, name: str) -> Node | None:
        """The file of a name in a directory, or None."""
        key = directory.extents[0].start
        if key in self._keyed:
            return self._keyed[key].get(self.namespace.key(name))
        if (key, name) not in self._found:
            likely = self.namespace.candidates(self._records(directory), name)
            found = nodes(self.device, self.namespace, likely)
            match = next((node for node in found if self.namespace.matches(node, name)), None)
            self._found[key, name] = match
        return self._found[key, name]

    def chunks(self, node: Node, path: str) -> Iterator[bytes]:
        """Contents of a file in pieces of at most 1 MiB. FormatError where its data leaves the image."""
        if node.refusal:
            hint = "Read it with a kernel: mount the image, or use xorriso -osirrox on."
            raise UnsupportedError(f"{self.name}: {path} {node.refusal}", hint=hint)
        for extent in node.extents:
            if extent.size and extent.stop > self.device.size:
                raise FormatError(
                    f"{path} has data past the end of the image",
                    structure="directory record",
                    offset=node.records[0].position,
                    field="data length",
                    hint="The image is truncated; download it again.",
                )
        for extent in node.extents:
            for start in range(extent.start, extent.stop, _CHUNK):
                yield self.device.read_at(start, min(_CHUNK, extent.stop - start))

    def _records(self, directory: Node) -> Iterator[Record]:
        return records(self.device, self.namespace.descriptor, directory.extents[0])
