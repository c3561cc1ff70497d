"""How far a boot came, told from what it said on the serial line. Pure text work; no machine here.

The marks are those of real transcripts: SeaBIOS says nothing on a serial line, OVMF repeats its console there; GRUB and
ISOLINUX show their menus; a kernel that is told `quiet` says nothing, and then init's words are the first.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Stage(StrEnum):
    """The stages of a boot, in order; the value is what a person calls it."""

    NOTHING = "nothing"
    FIRMWARE = "firmware"
    LOADER = "boot loader"
    KERNEL = "kernel"
    INIT = "init"
    GETTY = "login prompt"


_MARKS = (
    (Stage.GETTY, rb"login: "),
    (
        Stage.INIT,
        rb"systemd\[1\]: |\[ +OK +\]|Welcome to (?!GRUB)[A-Z]|INIT: version|OpenRC [0-9]|Begin: Running /scripts",
    ),
    (Stage.KERNEL, rb"Linux version [0-9]|\[ +[0-9]+\.[0-9]{6}\] |Kernel panic|EFI stub: "),
    (
        Stage.LOADER,
        (
            rb"GNU GRUB|Welcome to GRUB|GRUB loading|grub> |ISOLINUX [0-9]|SYSLINUX [0-9]|EXTLINUX [0-9]|boot: |"
            rb"Booting [`'a-z]|Loading (Linux|initial ramdisk|vmlinuz)|systemd-boot|automatically in [0-9]"
        ),
    ),
    (Stage.FIRMWARE, rb"BdsDxe: |SeaBIOS|iPXE|UEFI Interactive Shell|PXE over"),
)


def reached(transcript: bytes) -> Stage:
    """The last stage that left a mark; FIRMWARE too if there are words that nothing here knows."""
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", transcript)  # menus are drawn with the cursor
    for stage, mark in _MARKS:
        if re.search(mark, text):
            return stage
    return Stage.FIRMWARE if text.strip() else Stage.NOTHING
