"""What was fetched from an install tree: kernel and initial RAM disk on this host, and their checksums."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.errors import LocationError

if TYPE_CHECKING:
    from pathlib import Path

_CHECKSUM = re.compile(r"(md5|sha1|sha256|sha512):([0-9a-f]{32,128})")


@dataclass(frozen=True, slots=True)
class BootFiles:
    """Kernel and initial RAM disk on this host, and their SHA-256.

    `verified` says that both agree with checksums that were at hand.
    """

    kernel: Path
    initrd: Path
    kernel_sha256: str
    initrd_sha256: str
    verified: bool


def checksum(text: str) -> str:
    """A checksum in its one form, "sha256:…" in lower case. Raises LocationError for anything else."""
    lowered = text.strip().lower()
    if _CHECKSUM.fullmatch(lowered) is None:
        raise LocationError(
            f"{text[:80]!r} is not a checksum that imgkit knows",
            hint="Write it as sha256:DIGITS; md5, sha1 and sha512 are known too.",
        )
    return lowered
