"""A boot menu as its user meets it: what can be chosen, what boots by itself, and when another choice may instead.

Each boot loader's module reads its configuration into a `BootMenu`; what its choices do is told here, by the marks that
installers put on their kernels' command lines and initial RAM disks, not by titles, which are translated and reworded.

What boots by itself stays: the local disk, a live system, an installation that asks nothing. Two things may change, and
only for an installer that asks: its graphical variant becomes the same installer in text, and a menu that waits for a
key without end starts it after some seconds.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from imgkit.configtext.unattended import is_unattended

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_TIMEOUT = 10
"""Seconds after which a menu starts an installer that asks, where it would wait without end."""


class Behaviour(StrEnum):
    """What a choice does, as the end of a sentence about it."""

    NO_LINUX = "does not boot Linux"
    UNATTENDED = "may install without asking"
    RESCUE = "starts a rescue system"
    CHECK = "only checks the medium"
    SPEECH = "is the installer with speech synthesis"
    GRAPHICAL = "is the graphical installer"
    DESKTOP = "is a graphical installer that shows nothing on a serial line"
    LIVE = "starts a live system"
    INSTALLER = "asks in text"


# Marks on the words of a command line, initial RAM disks included, in the order in which they tell most. Debian's
# graphical installer has an initial RAM disk of its own, in a folder "gtk"; its speech synthesis uses the same one.
_MARKS = (
    (Behaviour.RESCUE, re.compile(r"rescue|rescue/enable=true|inst\.rescue|rescue=1")),
    (Behaviour.CHECK, re.compile(r"mediacheck=1|MENU=/bin/cdrom-checker-menu|integrity-check")),
    (Behaviour.SPEECH, re.compile(r"speakup\.synth=.*|accessibility=on")),
    (Behaviour.GRAPHICAL, re.compile(r"(?:.*[/=])?gtk/.*|DEBIAN_FRONTEND=gtk", re.DOTALL)),
    (Behaviour.DESKTOP, re.compile(r"only-ubiquity|liveinst|livecd-installer|install-gui|live-installer/enable=true")),
    (
        Behaviour.LIVE,
        re.compile(r"boot=(?:live|casper).*|rd\.live\.image|root=live:.*|archiso\w+=.*|maybe-ubiquity|cdroot"),
    ),
)
_AUTOMATED_TITLE = re.compile(r"auto(?!mount)|unattend|kickstart|preseed|wipe|erase|destroy", re.IGNORECASE)
_GRAPHICAL_TITLE = re.compile(r"graphical|\bGUI\b", re.IGNORECASE)
# What the graphical variant has and its text twin lacks, or the other way round.
_OF_A_VARIANT = re.compile(
    r"(?:vga|video|xdriver|console|speakup\.synth|accessibility|DEBIAN_FRONTEND|initrd|theme\.gfx)=.*"
    r"|quiet|splash|nomodeset|inst\.(?:text|graphical)|textmode=1|text|proxtui|-{2,3}"
)
_NUMBER = re.compile(r"[0-9]{1,9}")


def number(value: str) -> int | None:
    """The value of a setting that is a number; None where it is none, or too large to mean anything."""
    return int(value) if _NUMBER.fullmatch(value) else None


def of_words(words: Iterable[str]) -> Behaviour:
    """What a kernel with these arguments and initial RAM disks does, whether or not it asks."""
    words = tuple(words)
    return next((kind for kind, mark in _MARKS if any(map(mark.fullmatch, words))), Behaviour.INSTALLER)


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of a menu: where it stands, its title, and what it loads; `kernel` is "" where that is no Linux.

    `name` is what the boot loader's setting of the default calls it, "" where no name is sure to mean it. `submenus`
    are the titles of the menus that lead to it, outermost first; () for the first page.
    """

    file: str
    line: int
    title: str
    name: str
    kernel: str = ""
    arguments: tuple[str, ...] = ()
    initrds: tuple[str, ...] = ()
    is_recovery: bool = False
    submenus: tuple[str, ...] = ()

    @property
    def full_title(self) -> str:
        """Its title behind those of its submenus, as `--default` takes it: "Advanced>Expert"."""
        return ">".join((*self.submenus, self.title))

    def behaviour(self) -> Behaviour:
        """What it does when it boots."""
        if not self.kernel:
            return Behaviour.NO_LINUX
        if is_unattended(self.arguments, self.initrds):
            return Behaviour.UNATTENDED
        if self.is_recovery:
            return Behaviour.RESCUE
        return of_words((*self.arguments, *self.initrds))

    def unfitness(self) -> str:
        """Why another choice could be better where nothing but a serial line is there; "" where none could."""
        behaviour = self.behaviour()
        return "" if behaviour in (Behaviour.INSTALLER, Behaviour.LIVE) else str(behaviour)

    def asks(self) -> bool:
        """Whether it is an installer that is sure to ask before it writes to a disk."""
        kinds = (Behaviour.INSTALLER, Behaviour.GRAPHICAL, Behaviour.SPEECH, Behaviour.DESKTOP)
        return self.behaviour() in kinds and not _AUTOMATED_TITLE.search(self.title)

    def essence(self) -> tuple[str, Counter[str]]:
        """What stays when only the way to ask differs: kernel and arguments without those of a variant."""
        words = (word for word in self.arguments if not _OF_A_VARIANT.fullmatch(word))
        return self.kernel.replace("/gtk/", "/"), Counter(words)


@dataclass(frozen=True, slots=True)
class BootMenu:
    """A menu that shows by itself. `file` is its configuration, `choices` are those of all its pages, the first first.

    `default` boots when nobody does anything, None where nothing does. `on_enter` boots when somebody presses Enter at
    once, where that is another one. `seconds` is how long the menu waits, None: without end; `timer` are the file and
    line that say so, line 0 where none does. `start` is the configuration that leads to it, where that is another one;
    `is_chosen_by_machine` says that a program on the medium picks the default, by the processor as a rule; `others` are
    what conditions in the configuration may choose instead of `default`.
    """

    file: str
    choices: tuple[Choice, ...]
    default: Choice | None
    seconds: float | None
    timer: tuple[str, int]
    on_enter: Choice | None = None
    start: str = ""
    is_chosen_by_machine: bool = False
    others: tuple[Choice, ...] = ()

    @property
    def starts(self) -> tuple[Choice, ...]:
        """All that may start without that anybody chooses it."""
        return tuple(choice for choice in (self.default, self.on_enter, *self.others) if choice is not None)

    def text_twin(self, choice: Choice | None) -> Choice | None:
        """The same installer in text, where `choice` is its graphical or speaking variant; None where there is none.

        An automated installation has none: it asks nothing, and Debian's falls back to text on a serial line.
        """
        if choice is None or self.is_chosen_by_machine:
            return None
        graphical = (Behaviour.SPEECH, Behaviour.GRAPHICAL, Behaviour.DESKTOP)
        is_called_so = choice.asks() and _GRAPHICAL_TITLE.search(choice.title) is not None
        if choice.behaviour() not in graphical and not is_called_so:
            return None
        if _AUTOMATED_TITLE.search(choice.title):
            return None
        twins = (
            twin
            for twin in sorted(self.choices, key=lambda other: other.submenus != choice.submenus)
            if twin.name and twin != choice and not twin.unfitness() and twin.essence() == choice.essence()
        )
        fit = (twin for twin in twins if not _GRAPHICAL_TITLE.search(twin.title))
        return next((twin for twin in fit if not _AUTOMATED_TITLE.search(twin.title)), None)

    def titled(self, title: str) -> Choice | None:
        """The choice of this title, with those of its submenus before it where it has any; None where there is none.

        A title alone is enough where only one choice has it. Case and surrounding blanks do not count.
        """
        wanted = _plain(title)
        found = [choice for choice in self.choices if _plain(choice.full_title) == wanted]
        found = found or [choice for choice in self.choices if wanted in (_plain(choice.title), _plain(choice.name))]
        return found[0] if len(found) == 1 else None

    def may_start_itself(self) -> bool:
        """Whether a menu that waits without end may be given a time: what it would start asks before it writes."""
        return self.seconds is None and bool(self.starts) and all(choice.asks() for choice in self.starts)


def titles(menus: Iterable[BootMenu]) -> list[str]:
    """The titles that `--default` takes, each once, in their order."""
    named = (choice.full_title for menu in menus for choice in menu.choices if choice.name)
    return list(dict.fromkeys(title for title in named if title))


def _plain(title: str) -> str:
    return ">".join(part.strip().casefold() for part in title.split(">"))
