"""Files of a tree, copied out to a new folder of the host.

The folder appears under its name when it is complete. Nothing is written outside of it: it is made anew, names come
from directories one at a time, and symbolic links are made as they are stored but never followed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.errors import OutputError, TreeError
from imgkit.storage.durable import no_space
from imgkit.storage.host import exists
from imgkit.storage.output import umask
from imgkit.storage.syscalls import rename_without_clobber
from imgkit.storage.temporary import temporary_folder
from imgkit.tree import FileType

if TYPE_CHECKING:
    from pathlib import Path

    from imgkit.tree import Stat, Tree

_WRITABLE = 0o600
_FOLDER_BITS = 0o1777  # the sticky bit guards what is in a folder; set-user-ID bits give rights, and are not taken


@dataclass(slots=True)
class Extracted:
    """What was copied: how many files and bytes, and the paths of devices and the like, which were left out."""

    files: int = 0
    size: int = 0
    skipped: tuple[str, ...] = ()


def extract(tree: Tree, path: str, folder: Path) -> Extracted:
    """Copy the directory at `path`, or the one file, into `folder`, which must not exist.

    Permission bits are kept as far as the umask allows, and modification times; owners are not. Raises OutputError, and
    what reading raises; the folder is then not there.
    """
    if exists(folder):
        raise OutputError(f"{folder}: exists", hint="Name a directory that does not exist yet.")
    done = Extracted()
    try:
        with temporary_folder(folder) as work:
            _copy(tree, path, work, done)
            work.chmod(0o777 & ~umask())
            rename_without_clobber(work, folder)
    except OSError as error:
        raise no_space(folder, error) from error
    return done


def _copy(tree: Tree, path: str, work: Path, done: Extracted) -> None:
    if tree.stat(path).type is not FileType.DIRECTORY:
        _copy_file(tree, path, tree.stat(path), work / path.rpartition("/")[2], done)
        return
    pending = [(path.rstrip("/"), work)]
    folders: list[tuple[Path, Stat]] = []
    while pending:
        source, target = pending.pop()
        for name in tree.listdir(source or "/"):
            here, there = f"{source}/{name}", target / name
            stat = tree.stat(here, follow=False)
            match stat.type:
                case FileType.DIRECTORY:
                    there.mkdir(mode=0o700)
                    folders.append((there, stat))
                    pending.append((here, there))
                case FileType.FILE:
                    _copy_file(tree, here, stat, there, done)
                case FileType.LINK:
                    there.symlink_to(_target(tree, here))
                case _:
                    done.skipped = (*done.skipped, here)
    mask = umask()
    for there, stat in reversed(folders):  # last, or a folder without write permission could not be filled
        there.chmod(stat.mode & _FOLDER_BITS & ~mask | 0o700)
        os.utime(there, (stat.mtime, stat.mtime))


def _target(tree: Tree, path: str) -> str:
    target = tree.readlink(path)
    if not target or "\0" in target:
        raise TreeError(f"has the target {target!r}, which is not possible for a link", path=path)
    return target


def _copy_file(tree: Tree, path: str, stat: Stat, there: Path, done: Extracted) -> None:
    with there.open("xb") as file:
        for chunk in tree.read_chunks(path):
            file.write(chunk)
        os.fchmod(file.fileno(), stat.mode & 0o777 & ~umask() | _WRITABLE)
    os.utime(there, (stat.mtime, stat.mtime))
    done.files += 1
    done.size += stat.size
