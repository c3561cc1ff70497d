"""Lists of checksums as distributions write them: text in, checksums by path out.

`sha256sum` and `md5sum` write "DIGITS  ./path"; SUSE's CHECKSUMS is the same, and its older file `content` has lines
"HASH SHA256 DIGITS  path".
"""

from __future__ import annotations

import re

# No two repetitions of the same characters meet in these: a list may be made to take for ever.
_SUM = re.compile(r"^([0-9a-f]{32,128}) [ *](?:\./)?(.+)$", re.MULTILINE)
_HASH = re.compile(r"^HASH[ \t]+(MD5|SHA1|SHA256|SHA512)[ \t]+([0-9a-f]{32,128})[ \t]+(\S+)", re.MULTILINE)
_BY_DIGITS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}


def sums(text: str, *, folder: str = "") -> dict[str, str]:
    """Checksums ("sha256:…") by path below the tree; `folder`, ending in "/", is where the list itself is."""
    found = _SUM.findall(text)
    return {
        folder + path.rstrip(): f"{_BY_DIGITS[len(digits)]}:{digits}"
        for digits, path in found
        if len(digits) in _BY_DIGITS
    }


def content_hashes(text: str) -> dict[str, str]:
    """Checksums of SUSE's `content`, by path."""
    return {path: f"{algorithm.lower()}:{digits}" for algorithm, digits, path in _HASH.findall(text)}
