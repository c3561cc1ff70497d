"""GRUB legacy (0.97): menu.lst and grub.conf."""

import re
from typing import TYPE_CHECKING

from imgkit.bootloaders.files import Places

if TYPE_CHECKING:
    from imgkit.treeedits import TreeEdits

_ON_ESP = re.compile(r"boot\w*\.conf", re.IGNORECASE)


def is_copy_of_grub2(edits: "TreeEdits", path: str) -> bool:
    """Whether a BOOT*.conf of an ESP, which was GRUB legacy's before Fedora had GRUB 2, is a script of the latter."""
    return bool(re.search(rb"^[^\S\n]*+menuentry\s", edits.read(path) or b"", re.MULTILINE))


def _accepts(edits: "TreeEdits", path: str) -> bool:
    name = path.rpartition("/")[2]
    return not _ON_ESP.fullmatch(name) or not is_copy_of_grub2(edits, path)


PLACES = Places(
    installed=("/boot/grub/menu.lst", "/boot/grub/grub.conf"),
    media=("/boot/grub/menu.lst", "/boot/grub/grub.conf", "/menu.lst", "/grub/menu.lst", "/EFI/*/boot*.conf"),
    accepts=_accepts,
)
