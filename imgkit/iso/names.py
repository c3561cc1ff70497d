"""Names for new files of a volume: what each kind of tree can hold, and what it makes of a name that it cannot.

ECMA-119, 7.5 and 7.6; Joliet, "Joliet Directory Specification".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imgkit.errors import UnsupportedError
from imgkit.iso.directory import Naming, plain_name

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

_BASE, _EXTENSION, _DIRECTORY = 8, 3, 8
_LONGEST_PLAIN = 30
_LONGEST_JOLIET = 103  # as mkisofs -joliet-long and xorriso have it; Joliet itself has 64
_LONGEST_ENHANCED = 207
_NOT_IN_JOLIET = re.compile(r"[*/:;?\\\x00-\x1f\ud800-\udfff]|[^\x00-\uffff]")
_NOT_A_D_CHARACTER = re.compile(r"[^A-Z0-9_]")
_VERSION = ";1"


def identifier(name: str, naming: Naming, taken: AbstractSet[bytes], *, directory: bool, versioned: bool) -> bytes:
    """The file identifier of a new file in one tree, different from all that are `taken` there.

    Where names come from Rock Ridge or Joliet, the plain identifier beside them may be any that is valid: it is made
    of 8 and 3 characters, which every reader takes. `naming` is that of the tree whose record it is, and PLAIN for a
    tree that has no other names: it takes only what it can show. Raises UnsupportedError for a name that does not fit.
    """
    version = _VERSION if versioned and not directory else ""
    if naming is Naming.JOLIET:
        if len(name) > _LONGEST_JOLIET or _NOT_IN_JOLIET.search(name):
            raise UnsupportedError(
                f"{name!r} is not a valid name in a Joliet tree",
                hint=f"Use at most {_LONGEST_JOLIET} characters, and none of * : ; ? and backslash.",
            )
        return (name + version).encode("utf-16-be")
    if naming is Naming.ENHANCED:
        found = name.encode("utf-8", "surrogateescape")
        if len(found) > _LONGEST_ENHANCED:
            raise UnsupportedError(
                f"{name!r} is not a valid name in a tree of ISO 9660:1999",
                hint=f"Use at most {_LONGEST_ENHANCED} bytes.",
            )
        return found
    if naming is Naming.PLAIN:
        return (_plain(name, directory=directory) + version).encode()
    for number in range(1000):
        found = (_short(name, number, directory=directory) + version).encode()
        if found not in taken:
            return found
    raise UnsupportedError(f"too many names in the directory resemble {name!r}", hint="Give it another name.")


def _plain(name: str, *, directory: bool) -> str:
    base, dot, extension = name.upper().rpartition(".") if not directory else ("", "", name.upper())
    base, extension = (base, extension) if dot else (extension, "")
    if len(base + extension) > _LONGEST_PLAIN or any(map(_NOT_A_D_CHARACTER.search, (base, extension))) or not base:
        raise UnsupportedError(
            f"{name!r} is not a valid name on an ISO without Rock Ridge and Joliet",
            hint="Use letters, digits, underscores and one dot, 30 in all.",
        )
    return base if directory else f"{base}.{extension}"


def _short(name: str, number: int, *, directory: bool) -> str:
    base, _, extension = name.upper().rpartition(".")
    if not base or directory:
        base, extension = plain_name(name.upper()), ""
    base = _NOT_A_D_CHARACTER.sub("_", base)[: _DIRECTORY if directory else _BASE]
    if number:
        digits = f"{number:03d}"
        base = base[: _BASE - len(digits)] + digits
    return base if directory else f"{base}.{_NOT_A_D_CHARACTER.sub('_', extension)[:_EXTENSION]}"


def sort_key(found: bytes, naming: Naming) -> tuple[bytes, bytes]:
    """What orders the records of a directory (ECMA-119, 10.3): file name and extension, filled up with spaces."""
    if naming in (Naming.JOLIET, Naming.ENHANCED):
        return found, b""
    base, _, extension = found.partition(b";")[0].partition(b".")
    return base.ljust(_LONGEST_PLAIN), extension.ljust(_LONGEST_PLAIN)
