"""A boot menu as its user meets it: what can be chosen, what boots by itself, and what of it fits a serial line.

Each boot loader's module reads its configuration into a `BootMenu`; what is good or bad about that is decided here, by
the marks that installers themselves put on their kernels' command lines and initial RAM disks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Marks on the words of a command line, initial RAM disks included, in the order in which they tell most. Debian's
# graphical installer has an initial RAM disk of its own, in a folder "gtk"; its speech synthesis uses the same one.
_MARKS = (
    ("speaks instead of showing text", re.compile(r"speakup\.synth=.*|accessibility=on")),
    ("is the graphical installer", re.compile(r"(?:.*[/=])?gtk/.*|DEBIAN_FRONTEND=gtk")),
    ("starts a rescue system", re.compile(r"rescue|rescue/enable=true|inst\.rescue|rescue=1")),
    ("only checks the medium", re.compile(r"mediacheck=1|MENU=/bin/cdrom-checker-menu|integrity-check")),
)


_NUMBER = re.compile(r"[0-9]{1,9}")


def number(value: str) -> int | None:
    """The value of a setting that is a number; None where it is none, or too large to mean anything."""
    return int(value) if _NUMBER.fullmatch(value) else None


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of a menu: where it stands, its title, and what it loads; `kernel` is "" where that is no Linux.

    `name` is what the boot loader's setting of the default calls it, "" where no name is sure to mean it.
    """

    file: str
    line: int
    title: str
    name: str
    kernel: str = ""
    arguments: tuple[str, ...] = ()
    initrds: tuple[str, ...] = ()
    is_recovery: bool = False

    def unfitness(self) -> str:
        """Why it should not boot by itself on a serial line, as the end of a sentence; "" where it may."""
        if not self.kernel:
            return "starts no Linux"
        if self.is_recovery:
            return "starts a rescue system"
        words = (*self.arguments, *self.initrds)
        return next((reason for reason, mark in _MARKS if any(map(mark.fullmatch, words))), "")


@dataclass(frozen=True, slots=True)
class BootMenu:
    """A menu that shows by itself. `file` is its configuration, `choices` are those of the first page.

    `default` boots when nobody does anything, None where nothing does. `seconds` is how long the menu waits, None: for
    ever; `timer` are the file and line that say so, line 0 where none does.
    """

    file: str
    choices: tuple[Choice, ...]
    default: Choice | None
    seconds: float | None
    timer: tuple[str, int]

    def better_default(self) -> Choice | None:
        """The choice that should boot by itself instead; None where the default is right, or nothing is better.

        Among those that fit, one with the same kernel as the default comes first, then the first of the menu.
        """
        if self.default is not None and not self.default.unfitness():
            return None
        kernel = self.default.kernel if self.default else ""
        fit = [choice for choice in self.choices if choice.name and not choice.unfitness()]
        return next((choice for choice in fit if choice.kernel == kernel), next(iter(fit), None))
