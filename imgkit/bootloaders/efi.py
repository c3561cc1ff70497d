"""What an EFI program is, told by its own bytes: a boot loader with a configuration, or a kernel that has none.

A unified kernel image has its command line in a section ".cmdline"; a Linux kernel with an EFI stub takes none from a
medium's firmware.

Sections: https://uapi-group.org/specifications/specs/unified_kernel_image/ and the PE format's section table.
The kernel's header: https://docs.kernel.org/arch/x86/boot.html ("HdrS" at 0x202); on arm64 the magic number at 56.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.treeedits import TreeEdits

_X86_MAGIC = (0x202, b"HdrS")
_ARM64_MAGIC = (0x38, b"ARM\x64")
_REMOVABLE = re.compile(r"boot(?:x64|ia32|aa64|arm|riscv64|loongarch64)\.efi", re.IGNORECASE)
_SECTIONS = 4096  # the section table follows the headers
_MAX_COMMAND_LINE = 64 << 10
_MAX_READ = 256 << 20  # the command line stands in front of kernel and initial RAM disk as a rule
HEAD = 4096
"""How many bytes of a program tell what it is."""


class EfiProgram(Enum):
    """Kinds of EFI programs that boot Linux without a configuration that could be edited, and all others."""

    UNIFIED_KERNEL = auto()
    KERNEL = auto()
    OTHER = auto()


def is_started_by_firmware(path: str) -> bool:
    """Whether UEFI firmware starts a program of this name by itself from removable media, if it is in EFI/BOOT."""
    return bool(_REMOVABLE.fullmatch(path.rpartition("/")[2]))


def identify(head: bytes) -> EfiProgram:
    """What the program is that begins with `head`, of which `HEAD` bytes are enough."""
    if not head.startswith(b"MZ"):
        return EfiProgram.OTHER
    if _has_sections(head[:_SECTIONS]):
        return EfiProgram.UNIFIED_KERNEL
    is_kernel = any(head[at : at + len(magic)] == magic for at, magic in (_X86_MAGIC, _ARM64_MAGIC))
    return EfiProgram.KERNEL if is_kernel else EfiProgram.OTHER


def _has_sections(head: bytes) -> bool:
    """Whether the section table names a kernel's parts: ".linux", each name in eight bytes padded with zeros."""
    start = int.from_bytes(head[0x3C:0x40], "little")
    return head[start : start + 4] == b"PE\0\0" and head.find(b".linux\0\0", start) > 0


def command_lines(edits: TreeEdits, path: str) -> list[str]:
    """The command lines in a unified kernel image: one, or one for each of its profiles; none where it has none."""
    sections = [place for name, *place in _sections(edits.head(path, HEAD)) if name == b".cmdline"]
    found = []
    for size, start in sections:
        if size <= _MAX_COMMAND_LINE and start + size <= _MAX_READ:
            data = edits.head(path, start + size)[start:]
            found.append(" ".join(data.rstrip(b"\0").decode(errors="replace").split()))
    return found


def _sections(head: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, size in bytes, and offset in the file of each section that the table in `head` lists."""
    start = int.from_bytes(head[0x3C:0x40], "little")
    if not head.startswith(b"MZ") or head[start : start + 4] != b"PE\0\0":
        return
    count = int.from_bytes(head[start + 6 : start + 8], "little")
    table = start + 24 + int.from_bytes(head[start + 20 : start + 22], "little")
    for at in range(table, min(table + 40 * count, len(head) - 39), 40):
        used, _, stored, offset = (int.from_bytes(head[n : n + 4], "little") for n in range(at + 8, at + 24, 4))
        yield head[at : at + 8].rstrip(b"\0"), min(used, stored) or stored, offset
