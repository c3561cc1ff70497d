"""The qcow2 header: parsed, bounded, and refused by name where it asks for what is not served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from construct import ConstructError

from imgkit.errors import FormatError, UnsupportedError
from imgkit.formats.qcow2 import layout
from imgkit.units import ByteRange

if TYPE_CHECKING:
    from imgkit.storage.device import BlockReader

# QEMU's own bounds (block/qcow2.h), so that what it opens is what we open.
_CLUSTER_BITS = range(9, 22)
_MAX_L1_BYTES = 32 << 20
_MAX_REFCOUNT_TABLE_BYTES = 8 << 20
_MAX_REFCOUNT_ORDER = 6
_MAX_BACKING_NAME = 1023
_MAX_SNAPSHOTS = 65536
_MAX_SNAPSHOT_TABLE = 64 << 20
_CRYPT_METHODS = {1: "AES", 2: "LUKS"}
_HEADER_V2_LENGTH = 72
_HEADER_V3_LENGTH = 104


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One internal snapshot: its identifier and name."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says, checked. Sizes and offsets are in bytes; `bitmaps` is that extension, or none."""

    version: int
    size: int
    cluster_size: int
    refcount_bits: int
    l1_offset: int
    l1_size: int
    refcount_table_offset: int
    refcount_table_size: int
    autoclear: int
    compression: str
    extended_l2: bool
    backing_file: str | None
    backing_format: str | None
    data_file: str | None
    bitmaps: bytes
    snapshots: tuple[Snapshot, ...]

    @property
    def l2_entry_size(self) -> int:
        """Bytes of one entry of an L2 table."""
        return 16 if self.extended_l2 else 8

    @property
    def l2_entries(self) -> int:
        """Entries of one L2 table."""
        return self.cluster_size // self.l2_entry_size

    def overlaps_tables(self, offset: int) -> bool:
        """Whether the host cluster at `offset` holds the header, or part of the L1 or of the refcount table."""
        cluster = ByteRange(offset, offset + self.cluster_size)
        tables = (
            (0, self.cluster_size),
            (self.l1_offset, self.l1_size * 8),
            (self.refcount_table_offset, self.refcount_table_size),
        )
        return any(cluster.overlaps(ByteRange(start, start + size)) for start, size in tables)


def parse_header(device: BlockReader) -> Header:
    """Read the header of a qcow2 file.

    Raises FormatError for a header that contradicts itself or the file, UnsupportedError for encryption, for the
    corrupt and the dirty bit, and for incompatible features that are not known.
    """
    head = device.read_at(0, min(device.size, _HEADER_V3_LENGTH + 8))
    fields = _parse(layout.HEADER, head, 0)
    if fields.version not in (2, 3):
        raise _error(f"version {fields.version} is not one of 2 and 3", 4, "version")
    if fields.cluster_bits not in _CLUSTER_BITS:
        raise _error(f"clusters of 2^{fields.cluster_bits} bytes are outside 2^9 to 2^21", 20, "cluster_bits")
    if fields.crypt_method:
        name = _CRYPT_METHODS.get(fields.crypt_method, f"method {fields.crypt_method}")
        raise UnsupportedError(
            f"qcow2 image is encrypted ({name})", hint="Decrypt a copy with `qemu-img convert --object secret,…` first."
        )
    cluster_size = 1 << fields.cluster_bits
    features, refcount_order, length = _features(fields.version, head, cluster_size)
    _refuse_features(features.incompatible_features, device, length, cluster_size)
    backing_file = _backing_file(device, fields)
    extensions = _extensions(device, length, _end_of_extensions(fields, cluster_size))
    extended_l2 = bool(features.incompatible_features & layout.INCOMPATIBLE_EXTENDED_L2)
    header = Header(
        version=fields.version,
        size=fields.size,
        cluster_size=cluster_size,
        refcount_bits=1 << refcount_order,
        l1_offset=fields.l1_table_offset,
        l1_size=fields.l1_size,
        refcount_table_offset=fields.refcount_table_offset,
        refcount_table_size=fields.refcount_table_clusters * cluster_size,
        autoclear=features.autoclear_features,
        compression=_compression(features.incompatible_features, head, length),
        extended_l2=extended_l2,
        backing_file=backing_file,
        backing_format=_text(extensions.get(layout.EXTENSION_BACKING_FORMAT)),
        data_file=_data_file(features.incompatible_features, extensions),
        bitmaps=extensions.get(layout.EXTENSION_BITMAPS, b""),
        snapshots=_snapshots(device, fields),
    )
    _check_tables(header, device)
    return header


def _features(version: int, head: bytes, cluster_size: int) -> tuple[Any, int, int]:
    if version == 2:  # noqa: PLR2004
        zero = layout.HEADER_V3.parse(bytes(layout.HEADER_V3.sizeof()))
        return zero, 4, _HEADER_V2_LENGTH
    features = _parse(layout.HEADER_V3, head[_HEADER_V2_LENGTH:], _HEADER_V2_LENGTH)
    if not _HEADER_V3_LENGTH <= features.header_length <= cluster_size or features.header_length % 8:
        raise _error(f"length {features.header_length} is not one of a version 3 header", 100, "header_length")
    if features.refcount_order > _MAX_REFCOUNT_ORDER:
        raise _error(f"refcounts of 2^{features.refcount_order} bits are wider than 64", 96, "refcount_order")
    return features, features.refcount_order, features.header_length


def _refuse_features(incompatible: int, device: BlockReader, length: int, cluster_size: int) -> None:
    if incompatible & layout.INCOMPATIBLE_CORRUPT:
        raise UnsupportedError(
            "qcow2 image is marked corrupt", hint="Repair a copy with `qemu-img check -r all IMAGE`, then try again."
        )
    if incompatible & layout.INCOMPATIBLE_DIRTY:
        raise UnsupportedError(
            "qcow2 image is marked dirty: its refcounts were not written when it was last used",
            hint="Run `qemu-img check -r all IMAGE`, then try again.",
        )
    if unknown := incompatible & ~layout.INCOMPATIBLE_KNOWN:
        bits = [bit for bit in range(64) if unknown >> bit & 1]
        names = _feature_names(_extensions(device, length, cluster_size).get(layout.EXTENSION_FEATURE_NAMES, b""))
        known_as = ", ".join(names.get(bit, f"bit {bit}") for bit in bits)
        raise UnsupportedError(
            f"qcow2 image needs incompatible features that are not known here: {known_as}",
            hint="Convert it with the program that made it, such as `qemu-img convert -O qcow2`.",
        )


def _feature_names(table: bytes) -> dict[int, str]:
    """Names of the incompatible features, by bit."""
    names = {}
    for start in range(0, len(table) - layout.FEATURE_NAME_SIZE + 1, layout.FEATURE_NAME_SIZE):
        kind, bit = table[start], table[start + 1]
        if kind == 0:
            names[bit] = table[start + 2 : start + layout.FEATURE_NAME_SIZE].rstrip(b"\0").decode(errors="replace")
    return names


def _end_of_extensions(fields: Any, cluster_size: int) -> int:
    """Extensions end where the backing file's name begins, at the latest with the first cluster."""
    return min(fields.backing_file_offset or cluster_size, cluster_size)


def _extensions(device: BlockReader, start: int, end: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    head = layout.EXTENSION.sizeof()
    end = min(end, device.size)
    while start + head <= end:
        extension = layout.EXTENSION.parse(device.read_at(start, head))
        if extension.type == layout.EXTENSION_END:
            break
        if start + head + extension.length > end:
            raise _error(f"extension of {extension.length} bytes leaves the header", start, "extension length")
        found[extension.type] = device.read_at(start + head, extension.length)
        start += head + (extension.length + 7) // 8 * 8
    return found


def _compression(incompatible: int, head: bytes, length: int) -> str:
    kind = 0
    if length > _HEADER_V3_LENGTH:
        if len(head) <= layout.COMPRESSION_TYPE_OFFSET:
            raise _error("file ends before the header does", 104, "compression_type")
        kind = head[layout.COMPRESSION_TYPE_OFFSET]
    if bool(kind) != bool(incompatible & layout.INCOMPATIBLE_COMPRESSION):
        raise _error(f"compression type {kind} contradicts the incompatible features", 104, "compression_type")
    if kind > 1:
        raise UnsupportedError(
            f"qcow2 image uses compression type {kind}, which is neither deflate nor zstd",
            hint="Convert it with the QEMU that wrote it: qemu-img convert -O qcow2 IMAGE NEW.",
        )
    return ("deflate", "zstd")[kind]


def _backing_file(device: BlockReader, fields: Any) -> str | None:
    if not fields.backing_file_offset:
        return None
    if fields.backing_file_size > _MAX_BACKING_NAME:
        raise _error(f"name of {fields.backing_file_size} bytes is longer than 1,023", 16, "backing_file_size")
    end = fields.backing_file_offset + fields.backing_file_size
    if end > min(1 << fields.cluster_bits, device.size):
        raise _error("name of the backing file leaves the first cluster", 8, "backing_file_offset")
    return _text(device.read_at(fields.backing_file_offset, fields.backing_file_size))


def _data_file(incompatible: int, extensions: dict[int, bytes]) -> str | None:
    if not incompatible & layout.INCOMPATIBLE_DATA_FILE:
        return None
    name = _text(extensions.get(layout.EXTENSION_DATA_FILE))
    if not name:
        raise _error("an external data file is announced but not named", 72, "incompatible_features")
    return name


def _snapshots(device: BlockReader, fields: Any) -> tuple[Snapshot, ...]:
    if fields.nb_snapshots > _MAX_SNAPSHOTS:
        raise _error(f"{fields.nb_snapshots:,} snapshots are more than 65,536", 60, "nb_snapshots")
    snapshots = []
    position = fields.snapshots_offset
    head = layout.SNAPSHOT.sizeof()
    for _ in range(fields.nb_snapshots):
        try:
            entry = layout.SNAPSHOT.parse(device.read_at(position, head))
            names = device.read_at(position + head + entry.extra_data_size, entry.id_size + entry.name_size)
        except FormatError as error:
            raise FormatError(
                "snapshot table leaves the file", structure="qcow2 snapshot table", offset=position
            ) from error
        snapshots.append(Snapshot(_text(names[: entry.id_size]) or "", _text(names[entry.id_size :]) or ""))
        length = head + entry.extra_data_size + entry.id_size + entry.name_size
        position += (length + 7) // 8 * 8
        if position - fields.snapshots_offset > _MAX_SNAPSHOT_TABLE:
            raise FormatError(
                "snapshot table is longer than 64 MiB", structure="qcow2 snapshot table", offset=fields.snapshots_offset
            )
    return tuple(snapshots)


def _check_tables(header: Header, device: BlockReader) -> None:
    cluster = header.cluster_size
    needed = -(-header.size // (cluster * header.l2_entries))
    if max(header.l1_size, needed) * 8 > _MAX_L1_BYTES:
        raise _error("L1 table is larger than 32 MiB", 36, "l1_size")
    if header.l1_size < needed:
        raise _error(f"L1 table of {header.l1_size:,} entries is too small; size needs {needed:,}", 36, "l1_size")
    if header.refcount_table_size > _MAX_REFCOUNT_TABLE_BYTES:
        raise _error("refcount table is larger than 8 MiB", 56, "refcount_table_clusters")
    if not header.refcount_table_size:
        raise _error("there is no refcount table", 56, "refcount_table_clusters")
    tables = (
        ("L1 table", header.l1_offset, header.l1_size * 8, 40, "l1_table_offset"),
        ("refcount table", header.refcount_table_offset, header.refcount_table_size, 48, "refcount_table_offset"),
    )
    for name, offset, size, at, field in tables:
        if offset % cluster or (size and offset < cluster):
            raise _error(f"{name} at {offset:,} is not at the start of a cluster of its own", at, field)
        if offset + size > device.size:
            raise _error(f"{name} at {offset:,} lies past the end of the file ({device.size:,} bytes)", at, field)


def _parse(structure: Any, data: bytes, offset: int) -> Any:
    try:
        return structure.parse(data)
    except ConstructError as error:
        raise _error("header is cut short or is not one of qcow2", offset, "") from error


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="surrogateescape")


def _error(message: str, offset: int, field: str) -> FormatError:
    return FormatError(
        message,
        structure="qcow2 header",
        offset=offset,
        field=field,
        hint="The image is truncated or damaged: download it again, or check it with `qemu-img check`.",
    )
