"""Locations over NFS, read in user space by libnfs's `nfs-cat` and `nfs-ls`: nothing is mounted, root is not needed.

Addresses, with their arguments after "?": https://github.com/sahlberg/libnfs/blob/master/README
An unprivileged user calls from a high port; the server's export has to allow that ("insecure" in exports(5)).
"""

from __future__ import annotations

import posixpath
import select
import subprocess
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from imgkit.errors import EngineError
from imgkit.location.source import CHUNK, InterruptedTransferError, Stream, missing, too_large
from imgkit.remote.url import below, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

_ABSENT = ("ERR_NOENT", "ERR_NOTDIR")
_LONG_COLUMNS = 6  # mode, links, owner, group, size, name


class NfsSource:
    """The files below an address."""

    def __init__(self, location: str, timeout: float) -> None:
        self._location = location
        self._timeout = timeout
        self._listings: dict[str, dict[str, int]] = {}

    def read(self, path: str, limit: int) -> bytes | None:
        """As `Source.read`."""
        if self.size(path) is None:
            return None
        data = bytearray()
        with self.stream(path, 0, "") as stream:
            while chunk := stream.read():
                data += chunk
                if len(data) > limit:
                    raise too_large(below(self._location, path), limit)
        return bytes(data)

    def size(self, path: str) -> int | None:
        """As `Source.size`; a folder is listed once."""
        folder, name = posixpath.split(path)
        if folder not in self._listings:
            self._listings[folder] = self._list(folder)
        return self._listings[folder].get(name)

    @contextmanager
    def stream(self, path: str, _offset: int, _version: str) -> Iterator[Stream]:
        """As `Source.stream`; always from the beginning, because the tool knows no other way."""
        size = self.size(path)
        if size is None:
            raise missing(below(self._location, path))
        with tempfile.TemporaryFile() as complaints:
            command = ["nfs-cat", below(self._location, path)]
            with _started(command, complaints) as process:
                assert process.stdout is not None
                output = process.stdout
                try:
                    yield Stream(0, size, "", lambda: self._next(path, process, output, complaints))
                finally:
                    process.kill()

    def _list(self, folder: str) -> dict[str, int]:
        """Sizes of the regular files of a folder; none where no such directory."""
        address = below(self._location, f"{folder}/" if folder else "")
        try:
            with tempfile.TemporaryFile() as complaints, _started(["nfs-ls", address], complaints) as process:
                try:
                    listing, _ = process.communicate(timeout=self._timeout)
                finally:
                    process.kill()
                said = _said(complaints)
        except subprocess.TimeoutExpired as error:
            raise self._broken(folder, "the server timed out") from error
        if process.returncode and not (folder and any(word in said for word in _ABSENT)):
            raise self._broken(folder, said)
        found = {}
        for line in listing.decode(errors="surrogateescape").splitlines():
            columns = line.split(None, _LONG_COLUMNS - 1)
            if line.startswith("-") and len(columns) == _LONG_COLUMNS and columns[4].isdigit():
                found[columns[5]] = int(columns[4])
        return found

    def _next(self, path: str, process: subprocess.Popen[bytes], output: IO[bytes], complaints: IO[bytes]) -> bytes:
        if not select.select([output], [], [], self._timeout)[0]:
            raise self._broken(path, "the server timed out")
        chunk = output.read(CHUNK)
        if not chunk and process.wait():
            raise self._broken(path, _said(complaints))
        return chunk

    def _broken(self, path: str, why: str) -> InterruptedTransferError:
        return InterruptedTransferError(
            f"{shown(below(self._location, path))}: cannot be read ({why})",
            hint="See that the export allows unprivileged ports; other versions and ports go into the address: "
            "nfs://HOST/PATH?version=4&nfsport=2049",
        )


def _started(command: list[str], complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, bufsize=0)
    except OSError as error:
        raise EngineError(
            f"{command[0]} of libnfs, which reads nfs:// in user space, cannot be started ({error.strerror})",
            hint="Install it (Debian: libnfs-utils), or mount the tree and give its folder.",
        ) from error


def _said(complaints: IO[bytes]) -> str:
    """What a tool said about its failure, in one line."""
    complaints.seek(0)
    return " ".join(complaints.read(2000).decode(errors="replace").split())[:300] or "no reason is given"
