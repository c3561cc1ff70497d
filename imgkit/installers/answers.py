"""Files on a medium that answer an installer's questions, so that an entry may ask nothing though it seems to.

Only their names count. What an entry names in its arguments belongs to that entry alone, and is judged there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgkit.bootloaders.bootmenu import BootMenu
    from imgkit.treeedits import TreeEdits

_FOLDERS = ("/", "/nocloud", "/server")
# Installers look for these by themselves: Ubuntu's, Proxmox's, Alpine's.
_FOUND_BY_THEMSELVES = re.compile(
    r"autoinstall\.ya?ml|auto-installer-mode\.toml|.*\.apkovl\.tar\.gz|user-data", re.IGNORECASE
)
# Installers find these in an initial RAM disk or on a volume of a certain name, or an entry names them.
_ANSWERS = re.compile(
    r"(?:preseed|ks|kickstart|anaconda-ks|autoinst|autoyast|auto_inst\.cfg|answers?|answerfile|unattend(?:ed)?)"
    r"(?:\.(?:cfg|ks|xml|pl|toml|txt|seed|json))?",
    re.IGNORECASE,
)


def answer_file(edits: TreeEdits, menus: Iterable[BootMenu]) -> str:
    """The path of a file of answers that may serve any entry; "" where there is none."""
    used = " ".join(word for menu in menus for choice in menu.choices for word in choice.arguments)
    for folder in _FOLDERS:
        found = edits.spelled(folder)
        for name in edits.names(found) if found else []:
            loose = _ANSWERS.fullmatch(name) and name not in used
            path = f"{folder.rstrip('/')}/{name}"
            if (loose or _FOUND_BY_THEMSELVES.fullmatch(name)) and edits.size(path) is not None:
                return path
    return ""
