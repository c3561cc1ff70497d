"""Opening an image: its format is told from its bytes, its backing chain is opened, and an overlay is put above it."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from imgkit.errors import FormatError, StaleImageError, UnsupportedError
from imgkit.remote.url import Url
from imgkit.storage.commit import recover
from imgkit.storage.copy import no_progress
from imgkit.storage.host import HostFile, exists, real_path
from imgkit.storage.journal import State, find_pending
from imgkit.storage.overlay import Overlay
from imgkit.storage.result import Result

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from imgkit.remote.url import Address
    from imgkit.storage.copy import Progress
    from imgkit.storage.device import BlockDevice, BlockReader
    from imgkit.storage.host import ImageFile
    from imgkit.storage.overlay import PatchPlan

_MAX_CHAIN = 64
_QCOW2_SUFFIXES = (".qcow2", ".qcow", ".qc2")
_PROTOCOL = re.compile(r"[A-Za-z0-9+.-]+:")  # QEMU's path_has_protocol: json:, nbd://, file:

# Other formats and packed files, told by the bytes at an offset, and how to make an image of them.
_CONVERT = "qemu-img convert -O qcow2 {} NEW.qcow2"
_FOREIGN = (
    (0, b"KDMV", "a VMDK image", _CONVERT),
    (0, b"# Disk DescriptorFile", "a VMDK descriptor", _CONVERT),
    (0, b"vhdxfile", "a VHDX image", _CONVERT),
    (0, b"conectix", "a VHD image", _CONVERT),
    (0x40, b"\x7f\x10\xda\xbe", "a VDI image", _CONVERT),
    (0, b"QED\0", "a QED image", _CONVERT),
    (0, b"QFI\xfb\0\0\0\1", "a qcow image of version 1", _CONVERT),
    (0, b"\x1f\x8b", "compressed with gzip", "gunzip -k {}"),
    (0, b"\xfd7zXZ\0", "compressed with xz", "unxz -k {}"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", "unzstd {}"),
    (0, b"BZh", "compressed with bzip2", "bunzip2 -k {}"),
    (0, b"PK\x03\x04", "a ZIP archive", "unzip {}"),
)


class Format(StrEnum):
    """How an image holds its disk."""

    RAW = "raw"
    QCOW2 = "qcow2"


@dataclass(frozen=True, slots=True)
class Image:
    """An open image. All edits go to `disk`; `plan()` says what they come to in the host file.

    `chain` names the files behind it: backing files and an external data file. `notices` are facts that whoever edits
    the image should hear. `pending` tells of an edit that was interrupted, and how to go on; "" where there is none.
    `descriptors` are those of the files on this host that are open for it.
    """

    path: Address
    format: Format
    host: ImageFile
    overlay: Overlay
    disk: BlockDevice
    chain: tuple[Path, ...]
    notices: tuple[str, ...]
    pending: str = ""
    descriptors: tuple[int, ...] = ()

    def plan(self) -> PatchPlan:
        """The staged edits as patches of the host file."""
        return self.overlay.plan()

    def plain_file(self, reader: str) -> Path:
        """The image's file, for another program to read: what is in it has to be what is shown here.

        `reader` names that program. Raises UnsupportedError for an image by URL, StaleImageError for one with an edit
        that was interrupted.
        """
        if isinstance(self.path, Url):
            raise UnsupportedError(f"{self.path}: {reader} needs a local file", hint="Download the image first.")
        if self.pending:
            raise StaleImageError(
                f"{self.path}: an edit was interrupted, and {reader} would read the image as it is",
                hint=f"Finish it first: `imgkit recover {self.path}`.",
            )
        assert not isinstance(self.host.path, Url)
        return self.host.path


@contextmanager
def open_image(
    path: Address,
    *,
    writable: bool = False,
    image_format: Format | None = None,
    allow: Collection[Path] = (),
    progress: Progress = no_progress,
) -> Iterator[Image]:
    """Open an image for the time of a `with` block; errors that leave it name the image.

    `writable` is for in-place commits only: edits always go to the overlay. An edit that was interrupted is finished
    first if `writable`, else the image is shown as it will be then, and nothing is written. `allow` names files outside
    the image's own folder that it may refer to. `progress` is told of the download that a URL needs if its server
    cannot send ranges. Raises UnclassifiedImageError, FormatError, UnsupportedError, InUseError, StaleImageError (a
    journal that is not to be believed), OutputError (writable, but may not be written).
    """
    with ExitStack() as stack:
        try:
            if isinstance(path, Url):
                from imgkit.remote.file import RemoteFile  # noqa: PLC0415 - few images are read from elsewhere

                remote = stack.enter_context(RemoteFile(path, progress=progress))
                yield _open(path, remote, image_format, _NoChain(path), remote.notices)
            else:
                host: ImageFile
                pending = ""
                if writable:
                    recover(path)
                    host = stack.enter_context(HostFile(path, writable=True))
                else:
                    host, pending = _open_as_it_will_be(stack, path)
                image = _open(path, host, image_format, _Chain(stack, host, allow))
                yield replace(image, pending=pending)
        except FormatError as error:
            error.path = error.path or str(path)
            raise


def _open_as_it_will_be(stack: ExitStack, path: Path) -> tuple[ImageFile, str]:
    """A file as recovery would leave it, and what is to be said of that."""
    host = stack.enter_context(HostFile(path))
    pending = find_pending(host)
    if pending is None:
        return host, ""
    if pending.is_stale:
        told = f"{pending.journal} is the journal of another file of this name; it is ignored"
        return host, f"{path}: {told}. If this image is whole, remove it"
    go_on = f"`imgkit recover {path}`"
    if pending.state is State.OLD:
        return host, f"{path}: an edit was interrupted before it changed anything; {go_on} removes its journal"
    told = f"{path}: an edit was interrupted; the image is shown as it will be after {go_on}"
    return Result(host, pending.record.plan), told


def _open(
    path: Address,
    host: ImageFile,
    image_format: Format | None,
    chain: _Chain | _NoChain,
    notices: tuple[str, ...] = (),
) -> Image:
    named = image_format is Format.QCOW2 or _is_named_qcow2(path)
    image_format = image_format or detect_format(host)
    overlay = Overlay(host)
    disk: BlockDevice = overlay
    if image_format is Format.QCOW2:
        if not named:
            _refuse_references(overlay, str(path), "Only if it is a qcow2 image and no raw disk: --format qcow2.")
        disk, lost = _open_qcow2(overlay, str(host.path), chain)
        notices += lost
    return Image(
        path,
        image_format,
        host,
        overlay,
        disk,
        tuple(chain.files[1:]),
        notices,
        descriptors=tuple(chain.descriptors),
    )


def detect_format(host: ImageFile) -> Format:
    """Tell an image's format. Raises UnsupportedError for other disk formats and for compressed files."""
    head = host.read_at(0, min(host.size, 512))
    for offset, magic, name, remedy in _FOREIGN:
        if head.startswith(magic, offset):
            raise UnsupportedError(f"{host.path}: is {name}", hint=f"Convert it first: {remedy.format(host.path.name)}")
    return Format.QCOW2 if head.startswith(b"QFI\xfb") else Format.RAW


def _is_named_qcow2(path: Address) -> bool:
    return any(suffix in _QCOW2_SUFFIXES for suffix in PurePosixPath(path.name.lower()).suffixes)


def _refuse_references(device: BlockReader, name: str, hint: str) -> None:
    """Refuse a file that is qcow2 by its bytes alone and names another file.

    A guest can write what it likes to its disk: the header of a qcow2 image to a raw one, with a neighbour's disk as
    the backing file. What reads it by its bytes would show it the neighbour's files.
    """
    from imgkit.formats.qcow2 import parse_header  # noqa: PLC0415 - construct takes 25 ms to import

    header = parse_header(device)
    for role, other in (("backing file", header.backing_file), ("external data file", header.data_file)):
        if other:
            raise UnsupportedError(
                f"{name}: begins as a qcow2 image that names the {role} {other!r}, but nothing says that it is one: "
                "the guest of a raw disk can write such bytes",
                hint=hint,
            )


class _NoChain:
    """The chain of a remote image: it stands alone."""

    def __init__(self, url: Url) -> None:
        self.files: list[Path] = []
        self.descriptors: list[int] = []
        self._url = url

    def open(self, name: str, role: str, *, always_ask: bool = False) -> ImageFile:  # noqa: ARG002 - as _Chain has it
        """Refuse it."""
        raise UnsupportedError(
            f"{self._url}: has a {role}, {name!r}, which cannot be opened from its server",
            hint="Download both, and use the files.",
        )


class _Chain:
    """The files that an image refers to, opened read-only; hostile names are refused."""

    def __init__(self, stack: ExitStack, host: ImageFile, allow: Collection[Path]) -> None:
        assert not isinstance(host.path, Url)
        self.files = [host.path]
        self.descriptors = [_descriptor(host)]
        self._stack = stack
        self._folder = host.path.parent
        self._allowed = {real_path(path) for path in allow}

    def open(self, name: str, role: str, *, always_ask: bool = False) -> ImageFile:
        """Open the file that the last opened image calls `name`."""
        owner = self.files[-1]
        if _PROTOCOL.match(name.split("/", 1)[0]):
            raise UnsupportedError(f"{owner}: {role} {name!r} is not a plain file", hint=_FLATTEN)
        path = real_path(owner.parent / name)
        outside = not path.is_relative_to(self._folder)
        if (outside or always_ask) and path not in self._allowed:
            why = f"lies outside of {self._folder}" if outside else "is a second file"
            raise UnsupportedError(f"{owner}: {role} {path} {why}", hint=f"If you trust the image: --allow {path}")
        if path in self.files or len(self.files) > _MAX_CHAIN:
            raise FormatError(f"chain of backing files loops at {path}", structure="qcow2 header", offset=8)
        if not exists(path):
            raise FormatError(
                f"{role} {path} is missing", structure="qcow2 header", offset=8, hint="Restore it, then try again."
            )
        self.files.append(path)
        host = _open_as_it_will_be(self._stack, path)[0]
        self.descriptors.append(_descriptor(host))
        return host


def _descriptor(host: ImageFile) -> int:
    """The open file behind what is read of this host."""
    below = host.host if isinstance(host, Result) else host
    assert isinstance(below, HostFile)
    return below.fd


_FLATTEN = "Merge the chain into one file: `qemu-img convert -O qcow2 IMAGE NEW`."


def _open_qcow2(overlay: Overlay, name: str, chain: _Chain | _NoChain) -> tuple[BlockDevice, tuple[str, ...]]:
    from imgkit.formats.qcow2 import Qcow2Disk, parse_header  # noqa: PLC0415 - construct takes 25 ms to import

    header = parse_header(overlay)
    data = chain.open(header.data_file, "external data file", always_ask=True) if header.data_file else None
    backing: BlockReader | None = None
    if header.backing_file:
        try:
            backing = _open_backing(header.backing_file, header.backing_format, chain)
        except FormatError as error:
            error.path = error.path or name
            raise
    disk = Qcow2Disk(overlay, backing=backing, data=data)
    lost = "its persistent dirty bitmaps become invalid: the next incremental backup has to be a full one"
    return disk, ((lost,) if disk.loses_bitmaps else ())


def _open_backing(name: str, recorded_format: str | None, chain: _Chain | _NoChain) -> BlockReader:
    host = chain.open(name, "backing file")
    if recorded_format not in (None, *Format):
        raise UnsupportedError(f"{chain.files[-2]}: backing file is of format {recorded_format!r}", hint=_FLATTEN)
    if (recorded_format or detect_format(host)) == Format.RAW:
        return host
    overlay = Overlay(host)
    if recorded_format is None:
        hint = f"If it is a qcow2 image: qemu-img rebase -u -b {name} -F qcow2 {chain.files[-2]}"
        _refuse_references(overlay, str(host.path), hint)
    return _open_qcow2(overlay, str(host.path), chain)[0]
