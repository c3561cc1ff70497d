"""Putting files into an initial RAM disk: an archive of their own, after those that are there.

The kernel unpacks one archive after the other, compressed or not, each at a multiple of four bytes, with zeros between;
so neither the compression nor the contents of what is there matters, and a file that is there already is replaced.

The format ("newc"): https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from imgkit.errors import LocationError, OutputError, UnsupportedError, UsageError
from imgkit.storage.copy import copy_to_file
from imgkit.storage.durable import no_space, sync_directory, write_all
from imgkit.storage.host import unreadable
from imgkit.storage.syscalls import rename_without_clobber
from imgkit.storage.temporary import temporary_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_ALIGNMENT = 4
_MAX_FILE = 1 << 30
_MAX_PATH = 1024
_DIRECTORY = stat.S_IFDIR | 0o755
_BOOTCONFIG = b"#BOOTCONFIG\n"  # https://docs.kernel.org/admin-guide/bootconfig.html


def inject(initrd: Path, files: Mapping[str, Path], output: Path) -> None:
    """Write a copy of `initrd` with more files to `output`, which must not exist.

    `files` are host files by the absolute path that they get, as "/preseed.cfg". They belong to root; what may be
    executed here may be there. Directories on the way are made, with mode 0755 also where they exist.

    Raises UsageError for paths that lead nowhere, LocationError for files that cannot be read, UnsupportedError for
    an initial RAM disk whose end is taken, OutputError where `output` exists or cannot be written.
    """
    added = archive({path: _read(file) for path, file in files.items()}, executable=_executable(files))
    try:
        source = os.open(initrd, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(initrd, error) from error
    try:
        size = os.fstat(source).st_size
        if os.pread(source, len(_BOOTCONFIG), max(0, size - len(_BOOTCONFIG))) == _BOOTCONFIG:
            raise UnsupportedError(
                f"{initrd}: ends with a boot configuration, after which nothing can be appended",
                hint="Remove it first: `bootconfig -d INITRD`.",
            )
        with _new_file(output) as target:
            copy_to_file(source, target, size)
            write_all(target, added, -(-size // _ALIGNMENT) * _ALIGNMENT)
    finally:
        os.close(source)


def archive(files: Mapping[str, bytes], *, executable: frozenset[str] = frozenset()) -> bytes:
    """The archive of files by absolute path, with the directories that they need. UsageError for other paths."""
    paths = {path: _inner(path) for path in files}
    folders = {str(parent) for path in paths.values() for parent in path.parents if parent.name}
    clash = folders & {str(path) for path in paths.values()}
    if clash or len(set(paths.values())) < len(paths):
        raise UsageError("two of the files have the same path in the initial RAM disk", hint="Give each its own path.")
    members = [_member(i, name, _DIRECTORY, b"") for i, name in enumerate(sorted(folders), 1)]
    for i, (path, data) in enumerate(sorted(files.items()), len(members) + 1):
        mode = stat.S_IFREG | (0o755 if path in executable else 0o644)
        members.append(_member(i, str(paths[path]), mode, data))
    return b"".join([*members, _member(0, "TRAILER!!!", 0, b"")])


def _member(inode: int, name: str, mode: int, data: bytes) -> bytes:
    encoded = os.fsencode(name) + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    # inode, mode, uid, gid, links, time, size, device and special device (two words each), length of the name, sum
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + encoded
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)


def _inner(path: str) -> PurePosixPath:
    inside = PurePosixPath(path)
    if not path.startswith("/") or path.endswith("/") or ".." in inside.parts or "\0" in path or len(path) > _MAX_PATH:
        raise UsageError(f"{path!r} is not an absolute path", hint="Give its absolute path, as /preseed.cfg.")
    return inside.relative_to(inside.anchor)


def _read(file: Path) -> bytes:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise UsageError(f"{file}: is not a regular file", hint="Name the files of a directory one by one.")
        if file.stat().st_size > _MAX_FILE:
            raise LocationError(
                f"{file}: is too large for an initial RAM disk, which has to fit into memory",
                hint="Let the installer download it.",
            )
        return file.read_bytes()
    except OSError as error:
        raise unreadable(file, error) from error


def _executable(files: Mapping[str, Path]) -> frozenset[str]:
    return frozenset(path for path, file in files.items() if file.stat().st_mode & stat.S_IXUSR)


@contextmanager
def _new_file(output: Path) -> Iterator[int]:
    """A file that gets its name when it is complete and on the disk; it never replaces another one."""
    if output.exists():
        raise _exists(output)
    with temporary_file(output) as (fd, temporary):
        try:
            yield fd
            os.fchmod(fd, 0o644)
            os.fsync(fd)
            rename_without_clobber(temporary, output)
            sync_directory(output.parent)
        except FileExistsError as error:
            raise _exists(output) from error
        except OSError as error:
            raise no_space(output, error) from error


def _exists(output: Path) -> OutputError:
    return OutputError(f"{output}: exists", hint="Name another file, or remove it.")
