"""Fetching an install tree's kernel and initial RAM disk, against curl from the same server on loopback.

Usage: python -m benchmarks.locations [REPETITIONS]

Debian's netboot files, 47 MiB, by http.server in a process of its own. curl writes two files and does nothing else; the
library also reads the tree's files, checks, and makes both durable; the command is the same as a whole process.
"""

from __future__ import annotations

import hashlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.location.fetch import fetch
from imgkit.location.tree import find_tree
from tests.location import trees

if TYPE_CHECKING:
    from collections.abc import Callable


def measured(work: Callable[[], object], repetitions: int) -> float:
    """Median of the time that it takes, in seconds."""
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main(repetitions: int) -> None:
    """Measure and print."""
    folder = Path(tempfile.mkdtemp(prefix="imgkit-locations-"))
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder / "mirror"), "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        trees.debian_mirror(folder / "mirror")
        assert server.stdout is not None
        address = f"http://127.0.0.1:{server.stdout.readline().split('port ')[1].split()[0]}"
        report(address, folder, repetitions)
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)


def report(address: str, folder: Path, repetitions: int) -> None:
    """One line for each way, with its ratio to curl."""
    location = f"{address}/{trees.IMAGES}"
    kernel, initrd = (f"{location}/{name}" for name in (trees.KERNEL, trees.INITRD))
    cache = folder / "cache"
    command = Path(sys.executable).with_name("imgkit")

    def with_curl() -> None:
        subprocess.run(["curl", "-sf", kernel, "-o", folder / "kernel", initrd, "-o", folder / "initrd"], check=True)

    def with_curl_synced_and_summed() -> None:
        with_curl()
        subprocess.run(["sync", folder / "kernel", folder / "initrd"], check=True)
        subprocess.run(["sha256sum", folder / "kernel", folder / "initrd"], check=True, stdout=subprocess.DEVNULL)

    def with_library() -> None:
        shutil.rmtree(cache, ignore_errors=True)
        files = fetch(find_tree(location, architecture="amd64"), cache)
        assert files.verified

    def with_command() -> None:
        shutil.rmtree(cache, ignore_errors=True)
        words = [command, "location", "fetch", location, "--arch", "amd64", "--cache", cache]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    def cached() -> None:
        fetch(find_tree(location, architecture="amd64"), cache)

    base = measured(with_curl, repetitions)
    for name, work in (
        ("curl", with_curl),
        ("curl, sync, sha256sum", with_curl_synced_and_summed),
        ("library", with_library),
        ("imgkit location fetch", with_command),
        ("library, from the cache", cached),
    ):
        took = measured(work, repetitions)
        print(f"{name:24} {took:6.3f} s  {took / base:5.2f} x curl")
    assert hashlib.sha256((folder / "initrd").read_bytes()).hexdigest() in {path.name[7:] for path in cache.iterdir()}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
