"""/etc/securetty: the terminals on which root may log in. A system without the file lets root in on any.

Debian dropped the file in its release 11, Fedora in 30.

The format: https://man7.org/linux/man-pages/man5/securetty.5.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imgkit.configtext.text import Setting, insert_lines, lines, splice

if TYPE_CHECKING:
    from imgkit.configtext.serial import SerialConsole

_FAMILY = re.compile(r"(?<!\d)\d+$")


def facts(text: str) -> tuple[Setting, ...]:
    """The terminals of the file, each as a setting without value."""
    names = ((line.number, line.body.partition("#")[0].strip()) for line in lines(text))
    return tuple(Setting(number, name.removeprefix("/dev/"), "") for number, name in names if name)


def enable(text: str, console: SerialConsole) -> str:
    """`text` in which root may log in on the console: behind the ports of its kind, or else at the end."""
    found = facts(text)
    if any(setting.name == console.port for setting in found):
        return text
    family = _FAMILY.sub("", console.port)
    behind = max((setting.line for setting in found if _FAMILY.sub("", setting.name) == family), default=0)
    start = next((line.start for line in lines(text) if line.number == behind + 1), len(text)) if behind else len(text)
    return splice(text, [insert_lines(text, start, [console.port])])
