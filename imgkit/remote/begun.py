"""What is under way at a store, noted in a local file: so that whoever comes after a kill can clear it away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class UploadNote:
    """A note of things, each a dict of strings, that a store holds for us until we are done; None keeps no note."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def add(self, thing: dict[str, str]) -> None:
        """Note down one more."""
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(thing) + "\n")

    def things(self) -> Iterator[dict[str, str]]:
        """All that was noted down. A line that a power failure tore is left out."""
        if self._path is None or not self._path.exists():
            return
        for line in self._path.read_text().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def clear(self) -> None:
        """Nothing is under way any more."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
