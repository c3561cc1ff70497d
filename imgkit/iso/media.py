"""Checksums that an ISO carries about itself: lists of sums of its files, and isomd5sum's over the whole image.

Installers check them ("check the integrity of the medium", `rd.live.check`), and refuse an image where they are not
right. A line of a list changes only if it had the sum of a file that has changed, and names that file. What is
added to the image or removed from it gains or loses its line.

isomd5sum keeps its sums in the primary volume descriptor, in the bytes for the application's use:
https://github.com/rhinstaller/isomd5sum. For those of SUSE, which stand in the same place, see `checkmedia`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgkit.errors import FormatError
from imgkit.iso import layout
from imgkit.tree import FileType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.iso.tree import IsoTree
    from imgkit.iso.volume import IsoVolume
    from imgkit.storage.device import BlockReader

# In this order: a list may hold the sum of one before it.
_LISTS = {"/md5sum.txt": "md5", "/sha256sum.txt": "sha256", "/sha512sum.txt": "sha512", "/CHECKSUMS": "sha256"}
_SIGNATURES = {"/CHECKSUMS": "/CHECKSUMS.asc"}
_LINE = re.compile(rb"^(?P<sum>[0-9a-fA-F]{32,128})(?P<gap> [ *])(?P<path>[^\r\n]+)", re.MULTILINE)

_MAGIC = b"ISO MD5SUM = "
_PIECE = 32 * 1024
_DIGITS_OF_ALL_FRAGMENTS = 60
_MOST_SKIPPED = 1 << 20


@dataclass(slots=True)
class Sums:
    """The sums that files had before they were edited, by path and name of the sum; and what came and went.

    `stale` are the lists that are no longer right and were left so, because they are signed.
    """

    before: dict[str, dict[str, str]] = field(default_factory=dict)
    added: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    stale: list[str] = field(default_factory=list)

    def note(self, tree: IsoTree, path: str) -> None:
        """Keep the sums of a file, as far as lists of them are there, unless they are kept already."""
        if path not in self.before and path not in self.added:
            names = {name for place, name in _LISTS.items() if _is_file(tree, place)}
            self.before[path] = file_sums(tree, path, names)


def carried_sums(tree: IsoTree) -> tuple[str, ...]:
    """The checksums that an image carries: paths of lists, "isomd5sum", and "checkmedia"."""
    lists = tuple(place for place in _LISTS if _is_file(tree, place))
    told = _application_use(tree.volume)
    found = {"isomd5sum": _MAGIC in told, "checkmedia": _has_tags(told)}
    return (*lists, *(name for name, there in found.items() if there))


def refresh(tree: IsoTree, sums: Sums) -> None:
    """Bring all checksums up to date after edits; nothing is written where nothing has changed."""
    if tree.volume.device.plan().is_empty:
        return
    for place, name in _LISTS.items():
        if _is_file(tree, place) and (sums.before or sums.added or sums.removed):
            _refresh_list(tree, sums, place, name)
    volume = tree.volume
    old = _application_use(volume)
    if _MAGIC in old:
        new = isomd5sum(volume.device, volume.primary.space.stop, volume.primary.position, old)
        volume.device.write_at(volume.primary.position + layout.APPLICATION_USE_OFFSET, new)
    if _has_tags(old):
        from imgkit.iso import checkmedia  # noqa: PLC0415  few images have its tags

        checkmedia.refresh(volume)


def _has_tags(application_use: bytes) -> bool:
    if b"=" not in application_use:
        return False
    from imgkit.iso import checkmedia  # noqa: PLC0415  as above

    return checkmedia.is_tagged(application_use)


def _refresh_list(tree: IsoTree, sums: Sums, place: str, name: str) -> None:
    changed = {}
    for path, before in sums.before.items():
        if name in before and _is_file(tree, path):
            changed[before[name].encode(), tree.identity(path)] = file_sums(tree, path, {name})[name].encode()
    olds = {old for old, _ in changed}

    def updated(line: re.Match[bytes]) -> bytes:
        old = line["sum"].lower()
        if old not in olds:
            return line[0]
        path = line["path"].decode("utf-8", "surrogateescape")
        new = changed.get((old, tree.identity("/" + path.removeprefix("./").lstrip("/"))), line["sum"])
        return new + line["gap"] + line["path"]

    listed = tree.read(place)
    refreshed = _with_added(tree, sums, _LINE.sub(updated, _without_removed(sums, listed)), place, name)
    if refreshed == listed:
        return
    if place in _SIGNATURES and _is_file(tree, _SIGNATURES[place]):
        sums.stale.append(place)
    else:
        tree.write(place, refreshed)


def _without_removed(sums: Sums, listed: bytes) -> bytes:
    """The list without the lines of files that were removed."""
    gone = {path.encode("utf-8", "surrogateescape") for path in sums.removed - sums.added}
    lines = listed.splitlines(keepends=True)
    return b"".join(line for line in lines if not (found := _LINE.match(line)) or _listed_path(found) not in gone)


def _with_added(tree: IsoTree, sums: Sums, listed: bytes, place: str, name: str) -> bytes:
    """The list with lines of files that were added, written as its last line is; an empty list stays empty."""
    lines = list(_LINE.finditer(listed))
    if not lines:
        return listed
    prefix = lines[-1]["path"][: -len(_listed_path(lines[-1]).lstrip(b"/"))]
    present = {_listed_path(line) for line in lines}
    ending = b"\r\n" if listed.endswith(b"\r\n") else b"\n"
    new = b""
    for path in sorted(sums.added - {place}):
        raw = path.encode("utf-8", "surrogateescape")
        if raw not in present and _is_file(tree, path) and b"\n" not in raw:
            new += file_sums(tree, path, {name})[name].encode() + lines[-1]["gap"] + prefix + raw.lstrip(b"/") + ending
    return listed + (b"" if listed.endswith(b"\n") or not new else ending) + new


def _listed_path(line: re.Match[bytes]) -> bytes:
    """The path in a line, absolute."""
    return b"/" + line["path"].removeprefix(b"./").lstrip(b"/")


def file_sums(tree: IsoTree, path: str, names: set[str]) -> dict[str, str]:
    """Checksums of a file, by the names that hashlib has for them."""
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in names}
    if digests:
        for chunk in tree.read_chunks(path):
            for digest in digests.values():
                digest.update(chunk)
    return {name: digest.hexdigest() for name, digest in digests.items()}


def isomd5sum(device: BlockReader, size: int, descriptor: int, old: bytes) -> bytes:
    """The 512 bytes for the application's use with the sums of an image whose volume ends at `size`.

    The sums cover all but the last sectors, with blanks in the place of these 512 bytes. How many sectors and
    fragments there are is as in `old`, which is at the position of the primary descriptor plus 883. FormatError for an
    `old` that cannot be understood.
    """
    skipped = _number(old, rb"SKIPSECTORS = (\d+)", descriptor)
    fragments = _number(old, rb"FRAGMENT COUNT = (\d+)", descriptor) if b"FRAGMENT COUNT" in old else 0
    if skipped > _MOST_SKIPPED or fragments > _DIGITS_OF_ALL_FRAGMENTS:
        raise _damage("impossible numbers", descriptor)
    total = size - skipped * layout.SECTOR
    blanked = descriptor + layout.APPLICATION_USE_OFFSET
    digest = hashlib.md5(usedforsecurity=False)
    digits, last = "", 0
    for start, piece in _pieces(device, total, blanked):
        digest.update(piece)
        current = start * (fragments + 1) // total
        if fragments and current != last:
            # One hexadecimal digit of each byte: the first, which is the only one of a byte below 16.
            digits += "".join(f"{byte:x}"[0] for byte in digest.digest()[: _DIGITS_OF_ALL_FRAGMENTS // fragments])
            last = current
    new = re.sub(rb"(?<=ISO MD5SUM = )[0-9a-f]{32}", digest.hexdigest().encode(), old, count=1)
    return re.sub(rb"(?<=FRAGMENT SUMS = )[0-9a-f]{1,60}(?=;)", lambda found: _fitted(digits, found[0]), new, count=1)


def _fitted(digits: str, old: bytes) -> bytes:
    return digits.encode()[: len(old)].ljust(len(old), b"0")


def _pieces(device: BlockReader, total: int, blanked: int) -> Iterator[tuple[int, bytes]]:
    """The first `total` bytes in the pieces in which isomd5sum reads them, with blanks for what it writes itself."""
    for start in range(0, total, _PIECE):
        piece = device.read_at(start, min(_PIECE, total - start))
        if start <= blanked < start + len(piece):
            at = blanked - start
            piece = piece[:at] + b" " * layout.APPLICATION_USE_SIZE + piece[at + layout.APPLICATION_USE_SIZE :]
        yield start, piece


def _application_use(volume: IsoVolume) -> bytes:
    position = volume.primary.position + layout.APPLICATION_USE_OFFSET
    return volume.device.read_at(position, layout.APPLICATION_USE_SIZE)


def _is_file(tree: IsoTree, path: str) -> bool:
    return tree.exists(path) and tree.stat(path).type is FileType.FILE


def _number(text: bytes, pattern: bytes, descriptor: int) -> int:
    found = re.search(pattern, text)
    if found is None or len(found[1]) > 18:  # noqa: PLR2004
        raise _damage("no number where one belongs", descriptor)
    return int(found[1])


def _damage(message: str, descriptor: int) -> FormatError:
    return FormatError(
        f"isomd5sum's data cannot be understood: {message}",
        structure="primary volume descriptor",
        offset=descriptor + layout.APPLICATION_USE_OFFSET,
        field="application use",
        hint="Remove it with `implantisomd5 --force` once the image is edited.",
    )
