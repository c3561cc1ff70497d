"""Images for tests, as `fixtures/README.md` describes them: shared ones to read, private copies to write to."""

from __future__ import annotations

from pathlib import Path

from fixtures import catalog
from fixtures.store import default_store
from tests.support import lane, oracle


def fixture(name: str) -> Path:
    """Path of a fixture's main file, built first if it is not there; the quick lane builds none."""
    if lane.is_quick():
        path = catalog.RECIPES[name].path(default_store())
        lane.need(path.exists(), "images that are not built", "")
    return catalog.fixture(name)


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
