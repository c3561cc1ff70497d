"""A process of its own that edits an image, to be killed: `python -m tests.support.committer IMAGE [NEW]`."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from imgkit.formats.image import open_image
from imgkit.storage.output import InPlace, NewFile, deliver

_NOISE = random.Random(11)
WRITES = [(100, b"a" * 700), (70_000, b"b" * 20_000), (1_500_000, b"c" * 3), (2_900_000, _NOISE.randbytes(9000))]


def edit(image: Path, new: Path | None = None, undo: Path | None = None) -> None:
    """Make WRITES in the image itself, or in a new file."""
    with open_image(image, writable=new is None) as opened:
        for offset, data in WRITES:
            opened.disk.write_at(offset, data)
        deliver(opened.host, opened.plan(), NewFile(new) if new else InPlace(), mtime_ns=5, undo=undo)


if __name__ == "__main__":
    edit(*map(Path, sys.argv[1:]))
