"""Systems that ostree deploys (bootc, CoreOS, Silverblue, Endless): where in a file system their root is.

Below /ostree/deploy/NAME are `deploy/CHECKSUM.SERIAL`, a root each, and `var`. What boots is named by `ostree=` of the
loader entry, through a link: /ostree/boot.1/NAME/CHECKSUM/0.

https://ostreedev.github.io/ostree/deployment/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imgkit.errors import TreeError
from imgkit.tree import FileType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.filesystem.base import FileSystem

_DEPLOY = "/ostree/deploy"
_DEPLOYMENT = re.compile(r"[0-9a-f]+\.\d+")
_BOOT_LINKS = re.compile(r"boot\.[01](?:\.[01])?")


def find_deployment(file_system: FileSystem) -> str | None:
    """The folder of the deployment that boots; None where the file system has none.

    It is the one that a boot link leads to, else the newest.
    """
    there = list(_deployments(file_system))
    if not there:
        return None
    linked = [folder for folder in _linked(file_system) if folder in there]
    return linked[0] if linked else max(there, key=lambda folder: (file_system.stat(folder).mtime, folder))


def var_of(deployment: str) -> str:
    """The folder that a deployment has as /var."""
    return f"{deployment.rpartition('/deploy/')[0]}/var"


def _deployments(file_system: FileSystem) -> Iterator[str]:
    for system in _names(file_system, _DEPLOY):
        folder = f"{_DEPLOY}/{system}/deploy"
        names = [name for name in _names(file_system, folder) if _DEPLOYMENT.fullmatch(name)]
        yield from (f"{folder}/{n}" for n in names if file_system.stat(f"{folder}/{n}").type is FileType.DIRECTORY)


def _linked(file_system: FileSystem) -> Iterator[str]:
    """Where the first boot link of each system and kernel leads, that of the newest boot version first."""
    for version in sorted((n for n in _names(file_system, "/ostree") if _BOOT_LINKS.fullmatch(n)), reverse=True):
        for system in _names(file_system, f"/ostree/{version}"):
            for checksum in _names(file_system, f"/ostree/{version}/{system}"):
                try:
                    target = file_system.readlink(f"/ostree/{version}/{system}/{checksum}/0")
                except TreeError:
                    continue
                yield f"{_DEPLOY}/{target.partition('/deploy/')[2]}"


def _names(file_system: FileSystem, folder: str) -> list[str]:
    try:
        return file_system.listdir(folder)
    except TreeError:
        return []
