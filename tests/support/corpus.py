"""The third-party test data named by IMGKIT_CORPUS: what is true of each file stands in its folder's MANIFEST.tsv."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import os
from pathlib import Path

import pytest

NO_CORPUS = "IMGKIT_CORPUS names no folder with the third-party test data"
"""The one reason for which tests that are marked `corpus` are skipped."""


def root() -> Path | None:
    """Folder of the corpus, or None where it is not at hand."""
    named = os.environ.get("IMGKIT_CORPUS")
    return Path(named) if named and Path(named).is_dir() else None


def manifest(folder: str) -> dict[str, str]:
    """What is true of each file of a folder: path relative to the corpus → truth. Empty without a corpus."""
    base = root()
    if base is None:
        return {}
    with (base / folder / "MANIFEST.tsv").open(newline="") as lines:
        return {row["file"]: row["what is true of it"] for row in csv.DictReader(lines, delimiter="\t")}


def path(name: str) -> Path:
    """Path of one file; skips the calling test where there is no corpus."""
    base = root()
    if base is None:
        pytest.skip(NO_CORPUS)
    return base / name


def content(name: str) -> bytes:
    """Contents of one file, decompressed when its suffix says that it is compressed."""
    data = path(name).read_bytes()
    match Path(name).suffix:
        case ".xz":
            return lzma.decompress(data)
        case ".gz":
            return gzip.decompress(data)
        case ".bz2":
            return bz2.decompress(data)
        case ".zst":
            import zstandard  # noqa: PLC0415

            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data
