"""Images for tests, as `fixtures/README.md` describes them: shared ones to read, private copies to write to."""

from __future__ import annotations

from pathlib import Path

from fixtures.catalog import fixture
from tests.support import oracle

__all__ = ["fixture", "private_copy"]


def private_copy(name: str, folder: Path) -> Path:
    """Copy a fixture, with its backing or data files, to `folder`, writable; path of its main file.

    Holes stay holes, and where the file system shares extents the copy takes no space.
    """
    shared = fixture(name)
    for file in shared.parent.iterdir():
        if file.suffix != ".log":
            oracle.run("cp", "--reflink=auto", "--sparse=always", file, folder)
            (folder / file.name).chmod(0o644)
    return folder / shared.name
