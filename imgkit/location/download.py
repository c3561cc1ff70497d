"""One file of a source into the cache: resumed after a broken connection, bounded in size and time, checked.

A cached file is named by its checksum, so that it is never out of date, and read again before it is used. It appears
under its name only when it is whole and on the disk, by one rename. Until then it is a `.part` that its writer has
locked: a second process waits, and finds the file there; what a killed process left is gone on with, where a checksum
will tell whether that was right.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgkit.errors import ChecksumError, LocationError, OutputError
from imgkit.installers.trees import is_web_page
from imgkit.location.source import CHUNK, InterruptedTransferError, too_large
from imgkit.remote.object import RetryPolicy
from imgkit.remote.url import shown
from imgkit.storage.durable import no_space, sync_directory, write_all
from imgkit.storage.syscalls import start_writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imgkit.location.source import Source, Stream


@dataclass(frozen=True, slots=True)
class Limits:
    """What a transfer may take.

    `size` of a file in bytes; `retry` for connections that break, where `CHUNK` bytes of progress begin a new count;
    at least `rate` bytes a second over any `window` seconds.
    """

    size: int = 4 << 30
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    rate: int = 1024
    window: float = 60.0


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of a source: its path there, its address for messages, its checksum ("sha256:…") or "" for none known."""

    source: Source
    path: str
    address: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Cached:
    """A file of the cache, its SHA-256, and whether it agrees with a checksum that was known before."""

    path: Path
    sha256: str
    verified: bool


class _Part:
    """A file that grows: its bytes so far, and their checksums."""

    def __init__(self, fd: int, path: Path, checksum: str) -> None:
        self._fd = fd
        self.path = path
        self.size = 0
        self._wanted = checksum
        self._algorithms = dict.fromkeys(("sha256", checksum.partition(":")[0] or "sha256"))
        self._hashes = {name: _hash(name) for name in self._algorithms}

    def adopt(self) -> None:
        """Take over what an earlier process left."""
        while chunk := os.pread(self._fd, CHUNK, self.size):
            self._count(chunk)

    def restart(self) -> None:
        """Begin again with nothing."""
        os.ftruncate(self._fd, 0)
        self.size = 0
        self._hashes = {name: _hash(name) for name in self._algorithms}

    def append(self, chunk: bytes) -> None:
        """Add bytes. Raises OutputError where there is no space."""
        try:
            write_all(self._fd, chunk, self.size)
        except OSError as error:
            raise no_space(self.path, error) from error
        start_writing(self._fd, self.size, len(chunk))  # so that little is left to do when all is there
        self._count(chunk)

    def is_right(self) -> bool:
        """Whether the bytes agree with the checksum that they should have."""
        return self.checksum(self._wanted.partition(":")[0]) == self._wanted

    def checksum(self, algorithm: str) -> str:
        """Checksum ("sha256:…") of all bytes so far."""
        return f"{algorithm}:{self._hashes[algorithm].hexdigest()}"

    def publish(self, path: Path) -> None:
        """Give the file, which is whole, its name."""
        try:
            os.fsync(self._fd)
            self.path.rename(path)
            sync_directory(path.parent)
        except OSError as error:
            raise no_space(path, error) from error

    def _count(self, chunk: bytes) -> None:
        for digest in self._hashes.values():
            digest.update(chunk)
        self.size += len(chunk)


class _Pace:
    """Whether bytes come fast enough, looked at once in a window."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._begun = time.monotonic()
        self._bytes = 0

    def keeps_up(self, more: int) -> bool:
        """Count bytes that came; False at the end of a window that had too few."""
        self._bytes += more
        passed = time.monotonic() - self._begun
        if passed < self._limits.window:
            return True
        enough = self._bytes >= self._limits.rate * passed
        self._begun, self._bytes = time.monotonic(), 0
        return enough


def download(wanted: Wanted, cache: Path, *, insecure: bool, limits: Limits, progress: Callable[[int], None]) -> Cached:
    """Bring a file into the cache, unless it is there. `progress` is called with the bytes that are there so far.

    Raises ChecksumError where the file is not the one that its checksum stands for, unless `insecure`; LocationError
    where it cannot be had; OutputError where the cache cannot be written.
    """
    found = _cached(cache, wanted.checksum)
    if found is None:
        with _locked_part(cache, wanted) as part:
            found = _cached(cache, wanted.checksum)
            if found is not None:
                part.path.unlink()  # another process was as fast
            else:
                left = part.size
                _transfer(wanted, part, limits, progress)
                if left and not part.is_right():  # what was left here may have been of another file
                    part.restart()
                    _transfer(wanted, part, limits, progress)
                found = _checked(wanted, part, cache, insecure=insecure)
    progress(found.path.stat().st_size)
    return found


def _cached(cache: Path, checksum: str) -> Cached | None:
    """The file of a checksum, if it is in the cache and still whole. Raises OutputError where that cannot be told."""
    path = cache / checksum.replace(":", "-")
    try:
        if not checksum or not path.is_file():
            return None
        with path.open("rb", buffering=0) as file:
            part = _Part(file.fileno(), path, checksum)
            part.adopt()
        if not part.is_right():
            path.unlink(missing_ok=True)
            return None
    except OSError as error:
        raise _unusable(cache, error) from error
    return Cached(path, part.checksum("sha256").partition(":")[2], verified=True)


def _checked(wanted: Wanted, part: _Part, cache: Path, *, insecure: bool) -> Cached:
    found = part.checksum(wanted.checksum.partition(":")[0] or "sha256")
    agrees = found == wanted.checksum
    if wanted.checksum and not agrees and not insecure:
        raise ChecksumError(
            f"{shown(wanted.address)}: checksum mismatch: {found} instead of {wanted.checksum}",
            hint="Try another mirror: this one is damaged or changing. --insecure uses the file as it is.",
        )
    sha256 = part.checksum("sha256")
    path = cache / (wanted.checksum if agrees else sha256).replace(":", "-")
    part.publish(path)
    return Cached(path, sha256.partition(":")[2], verified=agrees)


@contextmanager
def _locked_part(cache: Path, wanted: Wanted) -> Iterator[_Part]:
    """The file that grows, ours alone. What is in it stays for the next attempt only if a checksum will judge it."""
    name = (wanted.checksum or f"address:{hashlib.sha256(wanted.address.encode()).hexdigest()}").replace(":", "-")
    path = cache / f"{name}.part"
    fd = _open_locked(path)
    try:
        part = _Part(fd, path, wanted.checksum)
        if wanted.checksum:
            part.adopt()
        else:
            part.restart()
        try:
            yield part
        except (ChecksumError, OutputError):
            path.unlink(missing_ok=True)
            raise
        except BaseException:
            if not wanted.checksum:
                path.unlink(missing_ok=True)
            raise
    finally:
        os.close(fd)


def _open_locked(path: Path) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise _unusable(path.parent, error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(fd), path.stat()):
                return fd
        except FileNotFoundError:
            pass  # its last writer has renamed or removed it while we waited
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _transfer(wanted: Wanted, part: _Part, limits: Limits, progress: Callable[[int], None]) -> None:
    """Make the part whole, over as many connections as it takes."""
    version, failures, heard = "", 0, time.monotonic()
    while True:
        if not (wanted.checksum or version):
            part.restart()  # nothing would tell whether the rest is of the same file
        before = part.size
        try:
            with wanted.source.stream(wanted.path, part.size, version) as stream:
                version = stream.version
                _take(wanted, stream, part, limits, progress)
        except InterruptedTransferError:
            if part.size >= before + CHUNK:
                failures, heard = 0, time.monotonic()
            else:
                failures += 1
            if limits.retry.is_over(failures, heard):
                raise
            limits.retry.wait(failures)
        else:
            return


def _take(wanted: Wanted, stream: Stream, part: _Part, limits: Limits, progress: Callable[[int], None]) -> None:
    """Append what one connection brings. Raises InterruptedTransferError where that is not all."""
    if stream.offset not in (0, part.size):
        raise LocationError(f"{shown(wanted.address)}: the server sent a different range than requested")
    if stream.offset != part.size:
        part.restart()
    if (stream.size or 0) > limits.size:
        raise too_large(wanted.address, limits.size)
    pace = _Pace(limits)
    while chunk := stream.read():
        if part.size == 0 and is_web_page(chunk):
            raise LocationError(
                f"{shown(wanted.address)}: is a web page, not the file", hint="Open the address in a browser."
            )
        part.append(chunk)
        if part.size > limits.size:
            part.restart()
            raise too_large(wanted.address, limits.size)
        progress(part.size)
        if not pace.keeps_up(len(chunk)):
            raise _broken(wanted, f"the server sent fewer than {limits.rate:,} bytes per second")
    if stream.size is not None and part.size != stream.size:
        told, size = stream.size, part.size
        if size > told:
            part.restart()
        raise _broken(wanted, f"{size:,} of {told:,} bytes came")


def _unusable(cache: Path, error: OSError) -> OutputError:
    return OutputError(f"{cache}: the cache cannot be used ({error.strerror})", hint="Name another folder: --cache.")


def _broken(wanted: Wanted, why: str) -> InterruptedTransferError:
    return InterruptedTransferError(
        f"{shown(wanted.address)}: cannot be read ({why})",
        hint="Try again: the download resumes if the checksum is known. Or use another mirror.",
    )


def _hash(algorithm: str) -> hashlib._Hash:
    # MD5 and SHA-1 are what some trees give; they tell damage, not malice.
    return hashlib.new(algorithm, usedforsecurity=False)
