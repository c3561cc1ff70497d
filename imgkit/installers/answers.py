"""Files on a medium that answer an installer's questions, so that an entry may ask nothing though it seems to.

Only their names count. What an entry names in its arguments belongs to that entry alone, and is judged there. An
initial RAM disk may hold such a file as well: that is the usual way to automate Debian's installer.

The archive: https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from imgkit.bootloaders.bootmenu import BootMenu, Choice
    from imgkit.treeedits import TreeEdits

_ZSTD, _BZIP2, _LZMA = b"\x28\xb5\x2f\xfd", b"BZh", b"\x5d\0\0"
_GZIP, _XZ, _TRAILER, _ZEROS = b"\x1f\x8b", b"\xfd7zXZ\0", b"TRAILER!!!\0", bytes(64)
_MAX_INITRD = 256 << 20
_PIECE = 1 << 18
_OVERLAP = 256
_DEVICE = re.compile(r"^\(.*?\)")
# A header of cpio's "newc" format: its magic number, thirteen fields of eight digits, and the name.
_NAMES = re.compile(rb"07070[12][0-9A-Fa-f]{104}(?:\./|/)?(?:preseed\.cfg|ks\.cfg|autoinst\.xml|answer\.toml)\0")

_FOLDERS = ("/", "/nocloud", "/server")
# Installers look for these by themselves: Ubuntu's, Proxmox's, Alpine's.
_FOUND_BY_THEMSELVES = re.compile(
    r"autoinstall\.ya?ml|auto-installer-mode\.toml|.*\.apkovl\.tar\.gz|user-data", re.IGNORECASE
)
# Installers find these in an initial RAM disk or on a volume of a certain name, or an entry names them.
_ANSWERS = re.compile(
    r"(?:preseed|ks|kickstart|anaconda-ks|autoinst|autoyast|auto_inst\.cfg|answers?|answerfile|unattend(?:ed)?)"
    r"(?:\.(?:cfg|ks|xml|pl|toml|txt|seed|json))?",
    re.IGNORECASE,
)


class Decompressor(Protocol):
    """What `zlib` and `lzma` have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed data was reached."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What follows that end."""
        ...

    def decompress(self, data: bytes, /) -> bytes:
        """The next piece."""
        ...


def answer_file(edits: TreeEdits, menus: Iterable[BootMenu]) -> str:
    """The path of a file of answers that may serve any entry; "" where there is none."""
    used = " ".join(word for menu in menus for choice in menu.choices for word in choice.arguments)
    for folder in _FOLDERS:
        found = edits.spelled(folder)
        for name in edits.names(found) if found else []:
            loose = _ANSWERS.fullmatch(name) and name not in used
            path = f"{folder.rstrip('/')}/{name}"
            if (loose or _FOUND_BY_THEMSELVES.fullmatch(name)) and edits.size(path) is not None:
                return path
    return ""


@dataclass(slots=True)
class Answers:
    """What is known of answers on a medium, as far as somebody asked. `file` is one that may serve any entry, or ""."""

    edits: TreeEdits
    file: str
    _known: dict[str, bool] = field(default_factory=dict)

    def serve(self, choice: Choice) -> bool:
        """Whether an installer may find answers: on the medium, or in an initial RAM disk that it is started with.

        Those are read as a whole, some 300 MB a second: only for what is about to boot by itself instead, or sooner.
        What is compressed with LZ4 or LZO is not looked into.
        """
        return self.file != "" or any(self._hold(path) for path in self._initrds(choice))

    def _initrds(self, choice: Choice) -> Iterator[str]:
        folder = choice.file.rpartition("/")[0]
        for initrd in choice.initrds:
            name = _DEVICE.sub("", initrd)
            places = [name] if name.startswith("/") else [f"{folder}/{name}", f"/{name}"]
            yield from [path for place in places if (path := self.edits.spelled(place))][:1]

    def _hold(self, path: str) -> bool:
        if path not in self._known:
            self._known[path] = any(_NAMES.search(piece) for piece in _archive(self.edits, path))
        return self._known[path]


def _archive(edits: TreeEdits, path: str) -> Iterator[bytes]:
    """What an initial RAM disk unpacks to, in pieces that overlap by the length of a header with its name.

    Archives, compressed or not, may stand one behind the other, with zeros between them.
    """
    size = edits.size(path)
    data = b"".join(edits.tree.read_chunks(path)) if size is not None and size <= _MAX_INITRD else b""
    at = 0
    while at < len(data):
        if data.startswith(_ZEROS, at) or data[at] == 0:
            at = len(data) - len(data[at:].lstrip(b"\0"))
        elif data.startswith(_GZIP, at):
            at = yield from _unpacked(zlib.decompressobj(wbits=31), data, at)
        elif data.startswith(_ZSTD, at):
            at = yield from _unpacked(_Zstandard(), data, at)
        elif data.startswith(_BZIP2, at):
            at = yield from _unpacked(bz2.BZ2Decompressor(), data, at)
        elif data.startswith((_XZ, _LZMA), at):
            at = yield from _unpacked(lzma.LZMADecompressor(), data, at)
        else:
            end = data.find(_TRAILER, at)
            stop = len(data) if end < 0 else end + len(_TRAILER)
            yield data[at:stop]
            at = stop


class _Zstandard:
    """A `Decompressor` for one frame; what is damaged raises EOFError, as elsewhere."""

    def __init__(self) -> None:
        import zstandard  # noqa: PLC0415 - for such archives only

        self._stream, self._error = zstandard.ZstdDecompressor().decompressobj(), zstandard.ZstdError

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, /) -> bytes:
        try:
            return self._stream.decompress(data)
        except self._error as error:
            raise EOFError from error


def _unpacked(stream: Decompressor, data: bytes, at: int) -> Generator[bytes, None, int]:
    """The pieces of one compressed archive; returns where it ends. What is damaged ends it."""
    tail = b""
    while at < len(data) and not stream.eof:
        try:
            piece = stream.decompress(data[at : at + _PIECE])
        except (zlib.error, lzma.LZMAError, OSError, EOFError):  # OSError is bz2's
            return len(data)
        at = min(at + _PIECE, len(data))
        yield tail + piece
        tail = (tail + piece)[-_OVERLAP:]
    return at - len(stream.unused_data)
