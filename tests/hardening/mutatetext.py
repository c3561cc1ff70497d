"""Mutated settings: a parser takes any text or refuses it with ConfigError, and enabling twice is enabling once."""

from __future__ import annotations

import random

from imgkit.bootloaders.bls import config as bls
from imgkit.bootloaders.grub2 import defaults
from imgkit.bootloaders.grub_legacy import config as grub_legacy
from imgkit.configtext.serial import SerialConsole

CONSOLE = SerialConsole()
_ENTRY = "title x\nversion 6.1\nlinux /vmlinuz\ninitrd /initrd\noptions root=UUID=1 ro quiet $tuned_params\n"
_DEFAULTS = (
    'GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\n# GRUB_TERMINAL=console\nGRUB_CMDLINE_LINUX_DEFAULT="quiet splash"\n'
    "GRUB_CMDLINE_LINUX=''\nif [ -e /x ]; then\n  GRUB_DISABLE_OS_PROBER=true\nfi\n"
)
_LEGACY = (
    "default=0\ntimeout=5\ntitle x\n\troot (hd0,0)\n\tkernel /vmlinuz ro root=/dev/sda1 rhgb quiet\n\tinitrd /initrd\n"
)
_CMDLINE = "root=/dev/sda1 ro quiet --- x\n"


def _enable_defaults(text: str) -> str:
    files = {defaults.MAIN: text}
    made = defaults.enable_files(files, CONSOLE, drop_in=None, recovery=True, remove=(), timeout=5)
    return made.get(defaults.MAIN, text)


EDITS = {
    "bls": (_ENTRY, lambda text: bls.enable(text, CONSOLE)),
    "cmdline": (_CMDLINE, lambda text: bls.enable_cmdline(text, CONSOLE)),
    "defaults": (_DEFAULTS, _enable_defaults),
    "legacy": (_LEGACY, lambda text: grub_legacy.enable(text, CONSOLE)),
}
"""What enables a console, by the settings that it edits: a text to begin with, and the edit."""

_PIECES = (
    "\r",
    "\n",
    "\r\n",
    "\t",
    " ",
    '"',
    "'",
    "\\",
    "$x",
    "${x",
    "`",
    "#",
    "--",
    "---",
    "=",
    "console=ttyS0",
    "{",
    "}",
    "é",
    "\x0b",
)


def case(noise: random.Random) -> str:
    """One text through one edit, twice; what is wrong with that, or ""."""
    name = noise.choice(list(EDITS))
    text, edit = EDITS[name]
    for _ in range(noise.randint(1, 6)):
        at = noise.randrange(len(text) + 1)
        text = text[:at] + noise.choice((*_PIECES, "")) + text[at + noise.choice((0, 0, 1, 4)) :]
    once = edit(text)
    twice = edit(once)
    return "" if once == twice else f"{name}: twice is not once: {text!r} {once!r} {twice!r}"
