"""The files that a GRUB script names: where they are in the tree of an image.

A device in a name does not matter here, since there is one image. What GRUB takes for its root is the file system that
the script is on, which may lie deeper in the tree: a boot partition, an ESP, a FAT image for UEFI.
"""

from __future__ import annotations

import posixpath
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol

from imgkit.bootloaders.grub2.variables import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.bootloaders.grub2.variables import Field

_MAX_MATCHES = 200
_DEVICE = re.compile(r"\([^()]*(?:\([^()]*\)[^()]*)*\)")


class Scripts(Protocol):
    """The files that GRUB can read."""

    def text(self, path: str) -> str | None:
        """Contents of a text file; None where there is none."""
        ...

    def read(self, path: str) -> bytes | None:
        """Contents of a file; None where there is none."""
        ...

    def size(self, path: str) -> int | None:
        """Size of a file, in bytes; None where there is none."""
        ...

    def spelled(self, path: str) -> str | None:
        """The path in the spelling that is there; None where nothing is."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names in a directory; none where there is no such directory."""
        ...


class Lookup:
    """Finds what the scripts that start with the file at `start` name."""

    def __init__(self, scripts: Scripts, start: str) -> None:
        self._scripts = scripts
        self._start = start
        self._matched: dict[str, list[str]] = {}

    def find(self, name: str) -> str | None:
        """The file that GRUB means by an absolute name; None where there is none, or the name is not known."""
        name = _DEVICE.sub("", name).lstrip(UNKNOWN)
        if not name.startswith("/") or UNKNOWN in name:
            return None
        for root in self._roots():
            found = self._scripts.spelled(posixpath.normpath(f"{root}/{name.lstrip('/')}"))
            if found is not None and self._scripts.size(found) is not None:
                return found
        return None

    def is_known(self, name: str) -> bool:
        """Whether it is known what file a name means, be it there or not."""
        path = _DEVICE.sub("", name)
        return UNKNOWN not in path or (path.startswith(UNKNOWN) and self.find(name) is not None)

    def expanded(self, field: Field) -> list[str]:
        """The names that a pattern matches; like GRUB, the pattern itself where it matches none."""
        device = _DEVICE.match(field.pattern)
        pattern = field.pattern[device.end() if device else 0 :]
        if not field.pattern or UNKNOWN in pattern:
            return [field.value]
        if not pattern:
            return [f"({UNKNOWN})"]
        if pattern not in self._matched:
            self._matched[pattern] = list(self._matches(pattern))
        return self._matched[pattern] or [field.value]

    def _matches(self, pattern: str) -> Iterator[str]:
        """Absolute names, as GRUB would spell them, that match a pattern, in order."""
        for root in self._roots():
            found = [""]
            for part in filter(None, pattern.split("/")):
                found = [
                    f"{folder}/{name}"
                    for folder in found
                    for name in sorted(self._scripts.names(f"{root}{folder}" or "/"))
                    if fnmatchcase(name, part)
                ][:_MAX_MATCHES]
            if found and found != [""]:
                yield from found
                return

    def _roots(self) -> Iterator[str]:
        folder = posixpath.dirname(self._start)
        while folder not in ("", "/"):
            yield folder
            folder = posixpath.dirname(folder)
        yield ""
