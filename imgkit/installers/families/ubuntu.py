"""Ubuntu's installers: until 20.04 Debian's, then live systems, whose kernel loads the rest of its system from an ISO.

https://documentation.ubuntu.com/server/how-to/installation/how-to-netboot-the-server-installer-on-amd64/
https://canonical-subiquity.readthedocs-hosted.com/en/latest/intro-to-autoinstall.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imgkit.errors import UnsupportedError
from imgkit.installers import AnswerKind, Family, InstallerFamily
from imgkit.installers.families import debian
from imgkit.installers.trees import Layout, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.installers.trees import InstallTree, TreeSource

# Menus in which netboot folders name the ISO that their kernel loads.
_MENUS = ("grub/grub.cfg", "pxelinux.cfg/default")
_ISO = re.compile(r"(?<![\w-])((?:iso-)?url=https?://[^\s\"';]+\.iso)(?![^\s])")


def _answered(tree: InstallTree | None, answers: str, is_url: bool) -> tuple[str, ...]:
    """A preseed file for Debian's installer; a folder with user-data and meta-data for the live system's."""
    if tree is None or "casper" not in tree.kernel:
        return debian.FAMILY.answered(tree, answers, is_url)
    if not is_url:
        raise UnsupportedError(
            "Ubuntu's installer does not look for its answers in the initial RAM disk",
            hint="Serve a folder with user-data and meta-data over HTTP, and give its URL.",
        )
    return ("autoinstall", f"ds=nocloud-net;s={answers.rstrip('/')}/")


def _on_medium(kind: AnswerKind, path: str, label: str) -> tuple[str, ...]:
    """A folder with user-data for the live system's; before 20.04 a preseed file."""
    if kind is AnswerKind.AUTOINSTALL:
        return ("autoinstall", f"ds=nocloud;s=/cdrom{path.rpartition('/')[0]}/")
    return debian.FAMILY.on_medium(kind, path, label)


def _layouts(machine: str, _location: str) -> Iterator[Layout]:
    """The netboot folders of live systems: an initial RAM disk that is not called initrd.gz, as Debian's is."""
    name = debian.NAMES.get(machine, machine)
    for folder in (f"{name}/", f"netboot/{name}/", ""):
        kernel, initrd = f"{folder}linux", f"{folder}initrd"
        yield Layout(Family.UBUNTU, "Ubuntu", machine, kernel, initrd, needs_iso=True, more=_iso_arguments)


def _iso_arguments(source: TreeSource) -> tuple[str, ...]:
    """The ISO that a netboot folder's own boot menus name; none where they do not."""
    for path in _MENUS:
        found = _ISO.search(text(source, path) or "")
        if found is not None:
            return (found[1], "ip=dhcp")
    return ()


FAMILY = InstallerFamily(
    marks=("/casper",),
    first_page=r"Continue in (rich|basic) mode|[Ss]elect your language|login: ",
    kept_behind=debian.FAMILY.kept_behind,
    answers=debian.FAMILY.answers,
    layouts=_layouts,
    answered=_answered,
    on_medium=_on_medium,
)
