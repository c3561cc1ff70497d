r"""The kernel argument areas of Fedora CoreOS and its kin, which `coreos-installer iso kargs` edits in place.

/coreos/kargs.json tells where in each configuration file an area of a fixed size starts. It holds the arguments, an
end ("\n") and padding ("#", which makes a comment of it). All areas must hold the same arguments. So the console goes
into the areas, their sizes stay, and when a line before an area grows, the offset in kargs.json grows with it.

The format: https://github.com/coreos/coreos-installer/blob/main/src/live/embed.rs
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs
from imgkit.configtext.checks import KernelLine
from imgkit.configtext.text import decode, encode
from imgkit.errors import ConfigError, UnsupportedError
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_INFO = "/coreos/kargs.json"
_OFFSET = re.compile(r'("offset"\s*:\s*)([0-9]{1,18})')
_MARK = b"COREOS_KARG_EMBED_AREA"
_MAX_AREA = 1 << 20
_MAX_FILE = 1 << 27  # a kernel and its initial RAM disk, on s390x


@dataclass(frozen=True, slots=True)
class Area:
    """One area: its file in the tree, offset and size in bytes, what ends the arguments, and the padding's byte."""

    file: str
    offset: int
    size: int
    end: bytes
    pad: bytes


def find_areas(edits: TreeEdits) -> tuple[Area, ...]:
    """The areas that kargs.json names, in its order; none without it. Raises ConfigError where it makes no sense."""
    path = edits.spelled(_INFO)
    text = edits.text(path) if path else None
    if path is None or text is None:
        return ()
    with named(path):
        areas = tuple(_areas(edits, _parsed(text)))
        if [area.offset for area in areas] != [int(match[2]) for match in _OFFSET.finditer(text)]:
            raise ConfigError("the offsets do not belong to the files one by one")
    return areas


def check_unlisted(edits: TreeEdits, files: tuple[str, ...]) -> None:
    """Refuse areas that kargs.json does not name: places outside of files point to them, in releases of 2021."""
    for file in files:
        if _MARK in (edits.read(file) or b""):
            raise UnsupportedError(
                f"{file}: holds an area for kernel arguments that {_INFO} does not name, so it must not move",
                hint="Use coreos-installer: iso kargs modify -a console=tty0 -a console=ttyS0,115200n8 IMAGE.",
            )


def enable(edits: TreeEdits, areas: tuple[Area, ...], console: SerialConsole, options: EnableOptions) -> None:
    """Put the console among the arguments of each area. Raises ConfigError where an area has no room for it."""
    for area in areas:
        before = _read(edits, area)
        after = kernelargs.set_console(kernelargs.remove(before, options.removed), console)
        if after != before:
            edits.edit_bytes(area.file, partial(_fill, area=area, words=kernelargs.join(after)))


def follow(edits: TreeEdits, areas: tuple[Area, ...], before: tuple[bytes, ...]) -> None:
    """Give kargs.json the offsets at which the areas are now; `before` are what `contents` gave before they moved."""
    offsets = [_find(edits, area, held) for area, held in zip(areas, before, strict=True)]
    path = edits.spelled(_INFO)
    if path is not None and areas:
        found = iter(offsets)
        edits.edit(path, lambda text: _OFFSET.sub(lambda match: f"{match[1]}{next(found)}", text))


def contents(edits: TreeEdits, areas: tuple[Area, ...]) -> tuple[bytes, ...]:
    """The bytes of each area."""
    return tuple((edits.read(area.file) or b"")[area.offset : area.offset + area.size] for area in areas)


def kernels(edits: TreeEdits) -> Iterator[KernelLine]:
    """The command line in each area."""
    for area in find_areas(edits):
        line = (edits.read(area.file) or b"").count(b"\n", 0, area.offset) + 1 if area.end == b"\n" else 0
        yield KernelLine(area.file, line, "Fedora CoreOS", _read(edits, area), is_recovery=False)


def _parsed(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError("is not a JSON object")
    return found


def _areas(edits: TreeEdits, info: dict[str, object]) -> Iterator[Area]:
    size, files = info.get("size"), info.get("files")
    if not isinstance(size, int) or not 0 < size <= _MAX_AREA or not isinstance(files, list):
        raise ConfigError("has no size of the areas, or no files")
    for entry in files:
        match entry:
            case {"path": str(name), "offset": int(offset)} if offset >= 0:
                file = edits.spelled(f"/{name.lstrip('/')}")
            case _:
                raise ConfigError(f"a file without path or offset: {entry!r}")
        end, pad = str(entry.get("end", "\n")).encode(), str(entry.get("pad", "#")).encode()
        if len(end) != 1 or len(pad) != 1:
            raise ConfigError(f"end and padding are not one byte each: {entry!r}")
        if file is None or len(edits.read(file, limit=_MAX_FILE) or b"") < offset + size:
            raise ConfigError(f"names an area that does not exist: {name} at byte {offset:,}")
        yield Area(file, offset, size, end, pad)


def _read(edits: TreeEdits, area: Area) -> kernelargs.Arguments:
    (held,) = contents(edits, (area,))
    with named(area.file):
        words, end, padding = held.partition(area.end)
        if not end or padding.strip(area.pad):
            raise ConfigError(f"the area at byte {area.offset:,} does not hold arguments and padding")
        return kernelargs.split(decode(words))


def _fill(data: bytes, *, area: Area, words: str) -> bytes:
    held = encode(words) + area.end
    if len(held) > area.size:
        raise ConfigError(
            f"the area at byte {area.offset:,} is full: {len(held)} bytes of {area.size}",
            hint="Remove arguments first, for example with --quiet-off.",
        )
    return data[: area.offset] + held.ljust(area.size, area.pad) + data[area.offset + area.size :]


def _find(edits: TreeEdits, area: Area, held: bytes) -> int:
    """Where the area's bytes are now. They are long and padded, so that there is one such place."""
    data = edits.read(area.file) or b""
    if data[area.offset : area.offset + area.size] == held:
        return area.offset
    found = data.find(held)
    if found < 0 or data.find(held, found + 1) >= 0:
        raise ConfigError("the area of kernel arguments cannot be followed", path=area.file)
    return found
